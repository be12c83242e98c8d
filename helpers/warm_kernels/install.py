"""Let this environment's ``python3`` kernel start warm: ``python -m helpers.warm_kernels.install``.

Every notebook has that kernel's standard name, so all of them start warm here, and anywhere else as
they would without the course.
"""

import json
import sys
from pathlib import Path

from helpers.files import write_atomically

PROVISIONER = "course-warm"  # the entry point of pyproject.toml


def install(prefix: Path | None = None) -> Path:
    """Name the provisioner in the kernelspec that ipykernel has installed; return its path.

    Jupyter servers of this environment are told to prepare for their first kernel.
    """
    prefix = prefix or Path(sys.prefix)
    extension = {"ServerApp": {"jpserver_extensions": {"helpers.warm_kernels": True}}}
    config = prefix / "etc" / "jupyter" / "jupyter_server_config.d" / "course.json"
    write_atomically(config, json.dumps(extension) + "\n")
    path = prefix / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec.setdefault("metadata", {})["kernel_provisioner"] = {"provisioner_name": PROVISIONER}
    write_atomically(path, json.dumps(spec, indent=1) + "\n")
    return path


if __name__ == "__main__":
    install()
