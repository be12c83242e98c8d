"""Is this machine ready for the course? Each finding says what is there, and how to mend it."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import hardware
from helpers.datasets import catalog
from helpers.errors import CourseError
from helpers.vision import weights

GB = 1 << 30
PACKAGE = "deep-learning-course"


@dataclass(frozen=True)
class Finding:
    """One line of ``course check``."""

    subject: str
    ok: bool
    found: str
    fix: str = ""


def check_environment() -> list[Finding]:
    """Look at Python, packages, kernel, processor, GPU, memory, disk and data."""
    machine, version = hardware.detect(), sys.version_info
    features = "".join(f", {feature}" for feature in machine.features)
    return [
        Finding(
            "Python",
            (3, 11) <= version < (3, 14),
            ".".join(map(str, version[:3])),
            "install Python 3.11 to 3.13, remove .venv, and run make setup PYTHON=python3.12",
        ),
        *_packages(),
        _kernel(),
        Finding("processor", True, f"{machine.cpu}, {machine.count_cores()}{features}"),
        _gpu(machine),
        Finding(
            "memory",
            machine.memory >= 4 * GB * 0.9,  # what is sold as 4 GB shows as a little less
            f"{machine.memory / GB:.1f} GB",
            "4 GB are needed: close other programs, or lower n_samples in the notebooks",
        ),
        _disk(),
        *_data(),
    ]


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    python = Path(sys.executable).name
    try:
        required = map(Requirement, importlib.metadata.requires(PACKAGE) or [])
    except importlib.metadata.PackageNotFoundError as error:
        raise CourseError(
            f"The package {PACKAGE} is not installed in {sys.executable}: run 'make setup', or "
            "'pip install -e .' in the clone"
        ) from error
    for package in required:
        if package.marker and not package.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(package.name)
            fits = package.specifier.contains(version, prereleases=True)
        except importlib.metadata.PackageNotFoundError:
            version, fits = "missing", False
        fix = f"{package.specifier} is needed: make setup, or {python} -m pip install '{package}'"
        yield Finding(package.name, fits, version, fix)


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    fix = f"{Path(sys.executable).name} -m ipykernel install --sys-prefix --name python3"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("kernel", False, "no kernel named python3", fix)
    # jupyter_client replaces a bare "python" by the interpreter that it runs in itself.
    program = spec.argv[0]
    is_ours = program in (Path(program).name, sys.executable)
    found = "python3, of this environment" if is_ours else f"python3 starts {program}"
    return Finding("kernel", is_ours, f"{found}, {_warmth(spec.metadata)}", fix)


def _warmth(metadata: dict[str, Any]) -> str:
    """Tell whether kernels start with their packages imported."""
    from helpers.warm_kernels.install import PROVISIONER
    from helpers.warm_kernels.owner import WarmUnavailable, require_forking

    if metadata.get("kernel_provisioner", {}).get("provisioner_name") != PROVISIONER:
        return "starting cold (python -m helpers.warm_kernels.install makes it start warm)"
    try:
        require_forking()
    except WarmUnavailable as reason:
        return f"starting cold ({reason})"
    return "starting warm"


def _gpu(machine: hardware.Hardware) -> Finding:
    required = os.environ.get("COURSE_REQUIRE_GPU", "0") not in {"", "0"}
    if not machine.gpus:
        found = "none: the course runs on the processor"
        fix = "COURSE_REQUIRE_GPU is set: install the NVIDIA driver until nvidia-smi lists a GPU"
        return Finding("GPU", not required, found, fix)
    packages = importlib.metadata.distributions()
    cuda = any(package.name.startswith("nvidia-cudnn") for package in packages)
    lack = "" if cuda else ", which TensorFlow cannot use without its CUDA packages"
    return Finding("GPU", cuda, ", ".join(machine.gpus) + lack, "pip install -e '.[gpu]'")


def _disk() -> Finding:
    folder = catalog.cache_dir()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    found = f"{free / GB:.0f} GB free" + ("" if writable else ", but read-only")
    fix = "2 GB are needed, writable: make room, or set COURSE_CACHE to another folder"
    return Finding("disk", free >= 2 * GB and writable, found, fix)


def _data() -> Iterator[Finding]:
    for name in catalog.manifest():
        copies = list(catalog.copies(name))
        good = [where for where, damage in copies if damage is None]
        missing = f"not here; {download_size(name)} are downloaded when first used"
        found = good or [f"{where}: {damage}" for where, damage in copies] or [missing]
        fix = f"course data fetch {name}"
        yield Finding(f"data {name}", bool(good) or not copies, found[0], fix)
    for name, entry in weights.known().items():
        found = [where for _, where in weights.places(entry["file"])]
        missing = f"not here; 'course data fetch {name}' downloads {entry['bytes'] / 1e6:.0f} MB"
        looked = f" (looked for {entry['file']} in {weights.searched()})"
        yield Finding(f"weights {name}", True, found[0] if found else missing + looked)
    yield Finding("data embedded", True, ", ".join(catalog.EMBEDDED))


def download_size(name: str) -> str:
    """Return the size of a dataset's download, to be read by a person."""
    total = sum(file["bytes"] for file in catalog.manifest()[name]["files"])
    return f"{total / 1e6:.0f} MB"
