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
from helpers.errors import CourseError, DatasetError
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
    machine = hardware.detect()
    return [
        _python(),
        *_packages(),
        _kernel(),
        Finding(
            "processor",
            True,
            f"{machine.cpu}, {machine.count_cores()}" + "".join(f", {f}" for f in machine.features),
        ),
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


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CourseError(
            f"The package {PACKAGE} is not installed in {sys.executable}: run 'make setup', or "
            "'pip install -e .' in the clone"
        ) from error


def _python() -> Finding:
    version = sys.version_info
    return Finding(
        "Python",
        (3, 11) <= version < (3, 14),
        ".".join(map(str, version[:3])),
        "install Python 3.11 to 3.13, remove .venv, and run make setup PYTHON=python3.12",
    )


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    for text in _requirements():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        fits = bool(version) and requirement.specifier.contains(version, prereleases=True)
        yield Finding(
            requirement.name,
            fits,
            version or "missing",
            f"{requirement.specifier} is needed: make setup, or "
            f"{Path(sys.executable).name} -m pip install '{requirement}'",
        )


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    fix = f"{Path(sys.executable).name} -m ipykernel install --sys-prefix --name python3"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("kernel", False, "no kernel named python3", fix)
    # jupyter_client replaces a bare "python" by the interpreter that it runs in itself.
    program = spec.argv[0]
    own = Path(program).name == program or Path(program) == Path(sys.executable)
    found = "python3, of this environment" if own else f"python3 starts {program}"
    return Finding("kernel", own, f"{found}, {_warmth(spec.metadata)}", fix)


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
    cuda = any(
        distribution.name.startswith("nvidia-cudnn")
        for distribution in importlib.metadata.distributions()
    )
    names = ", ".join(machine.gpus)
    found = names if cuda else f"{names}, which TensorFlow cannot use without its CUDA packages"
    return Finding("GPU", cuda, found, "pip install -e '.[gpu]'")


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
        found, damage = "", ""
        for place in catalog.find(name):
            try:
                catalog.read(name, place)
                found = place.source(name)
                break
            except DatasetError as error:
                damage = f"{place.label}: {error}"
        if found:
            yield Finding(f"data {name}", True, found)
        elif damage:
            yield Finding(f"data {name}", False, damage, f"course data fetch {name}")
        else:
            size = download_size(name)
            yield Finding(f"data {name}", True, f"not here; {size} are downloaded when first used")
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
