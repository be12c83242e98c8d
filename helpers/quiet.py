"""Keep TensorFlow's notices to its developers out of notebooks.

TensorFlow 2.21 writes them past every log level that it knows (its issue 100442), and a newcomer
reads "WARNING" and "could not find cuda drivers" as a fault of their own.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

NOTICES = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ")
FILTER = f"""
import sys
for line in sys.stdin.buffer:
    if not line.startswith({NOTICES}):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
# 1 hides notices. 3 hides errors too, such as the one that a machine without GPU gets from its CUDA
# stub: what really fails there is raised as an exception all the same.
LOG_LEVEL = "1" if shutil.which("nvidia-smi") else "3"


class _TensorFlowFinder(MetaPathFinder):
    """Finds TensorFlow as ever, and wraps the one execution of its module."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        if spec and isinstance(spec.loader, SourceFileLoader):  # and not executed before a fork
            spec.loader.exec_module = partial(_execute_quietly, spec.loader.exec_module)
        return spec


def _execute_quietly(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Execute a module, and filter what its C++ code writes to standard error's descriptor.

    A process of its own does it, since an import may abort: then the reason is to be read.
    """
    try:
        stderr = os.dup(2)
        reader = subprocess.Popen([sys.executable, "-ISc", FILTER], stdin=subprocess.PIPE)
    except OSError:  # no standard error to keep clean, or no process to do it
        execute(module)
        return
    os.dup2(reader.stdin.fileno(), 2)
    try:
        execute(module)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        reader.stdin.close()
        reader.wait()


def install() -> None:
    """Hide the notices of a later ``import tensorflow`` or ``import keras``."""
    # Every training and every prediction compiles a step of its own, which is meant.
    logging.getLogger("tensorflow").addFilter(
        lambda record: "triggered tf.function retracing" not in record.getMessage()
    )
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _TensorFlowFinder())
