"""Keep TensorFlow's notices to its developers out of notebooks.

TensorFlow 2.21 writes them past every log level that it knows (its issue 100442), and a newcomer
reads "WARNING" and "could not find cuda drivers" as a fault of their own.
"""

import importlib.abc
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

NOTICES = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ")
FILTER = """
import sys
for line in sys.stdin.buffer:
    if not line.startswith(NOTICES):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
# 1 hides notices. 3 hides errors too, such as the one that a machine without GPU gets from its CUDA
# stub: what really fails there is raised as an exception all the same.
LOG_LEVEL = "1" if shutil.which("nvidia-smi") else "3"
# Every training and every prediction compiles a step of its own, which TensorFlow's warning about
# "frequent retracing" takes for a mistake.
COMPILED_ANEW = ("<function TensorFlowTrainer.", "<function _outputs.", "<function gradient_step.")


class _TensorFlowFinder(importlib.abc.MetaPathFinder):
    """Find TensorFlow as ever, and wrap the one execution of its module."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self)
        spec = next(filter(None, (f.find_spec(name, path, target) for f in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _without_notices(spec.loader.exec_module)
        return spec


def _without_notices(execute: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def exec_module(module: ModuleType) -> None:
        # The notices are written by C++ code, so the file descriptor has to be redirected; and a
        # process of its own filters it, since an import may abort: then the reason is to be read.
        command = [sys.executable, "-I", "-S", "-c", f"{NOTICES = }\n{FILTER}"]
        try:
            stderr = os.dup(2)
            reader = subprocess.Popen(command, stdin=subprocess.PIPE)
        except OSError:  # no standard error to keep clean, or no process to do it
            execute(module)
            return
        assert reader.stdin is not None
        os.dup2(reader.stdin.fileno(), 2)
        try:
            execute(module)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            reader.stdin.close()
            reader.wait()

    return exec_module


def install() -> None:
    """Hide the notices of a later ``import tensorflow`` or ``import keras``."""
    logging.getLogger("tensorflow").addFilter(
        lambda record: not any(name in record.getMessage() for name in COMPILED_ANEW)
    )
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _TensorFlowFinder())
