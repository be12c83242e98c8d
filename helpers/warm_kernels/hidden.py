"""Packages that were imported before a kernel was forked, and that it finds when it imports them.

What a package decides at its import (a backend, a number of threads, a configuration) is decided by
the kernel's environment at that moment, as in a kernel that starts cold.
"""

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# What is imported beforehand, with all that it brings along.
PACKAGES = (
    *("numpy", "pandas", "PIL.Image", "scipy.stats", "sklearn.datasets", "sklearn.manifold"),
    *("sklearn.linear_model", "sklearn.neighbors", "sklearn.cluster", "sklearn.decomposition"),
    *("sklearn.pipeline", "filelock", "tqdm.auto", "threadpoolctl"),
    *("matplotlib.pyplot", "seaborn", "tensorflow", "keras"),
)
# The group of a package; all others belong to NumPy's. Groups come back together, a dependency
# first. Keras and Matplotlib can be imported anew, compiled libraries cannot.
GROUPS = {"keras": "keras", "tensorflow": "tensorflow"}
GROUPS |= dict.fromkeys(
    ("matplotlib", "matplotlib_inline", "mpl_toolkits", "seaborn"), "matplotlib"
)
TOGETHER = {"numpy": ("numpy",), "matplotlib": ("numpy", "matplotlib")}
TOGETHER |= dict.fromkeys(("tensorflow", "keras"), ("numpy", "keras", "tensorflow"))
# What compiled libraries read as they are loaded, which cannot be done again.
READ_ONCE = (
    *("TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE", "TF_ENABLE_ONEDNN_OPTS"),
    *("TF_ENABLE_ZENDNN_OPTS", "TF_ENABLED_DEVICE_TYPES", "TF_USE_LEGACY_KERAS"),
    *("TF_FUNCTION_JIT_COMPILE_DEFAULT", "TF_USE_MODULAR_FILESYSTEM", "NPY_DISABLE_CPU_FEATURES"),
    *("OMP_PLACES", "OMP_PROC_BIND", "OMP_DYNAMIC", "OPENBLAS_CORETYPE", "LD_LIBRARY_PATH"),
)
THREADS = {"openmp": ("OMP_NUM_THREADS",), "blas": ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}


class HiddenPackages(MetaPathFinder, Loader):
    """Imports packages, hides them, and gives them back to who imports them."""

    def __init__(self) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # see _begin_numpy
        self._read = _what_is_read()
        before = set(sys.modules)
        for name in PACKAGES:
            importlib.import_module(name)
        # The standard library stays; what a notebook sees of the course is imported anew.
        stay = {*sys.stdlib_module_names, "helpers"}
        added = [n for n in sys.modules if n not in before and n.partition(".")[0] not in stay]
        self._modules = {name: sys.modules[name] for name in added}
        self._libraries = sys.modules["threadpoolctl"].ThreadpoolController()

    def hide(self) -> None:
        """Make as if nobody had imported the packages yet."""
        for name in self._modules:
            sys.modules.pop(name, None)
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a hidden module; None for any other, which Python then looks for itself."""
        if name not in self._modules or name not in self._unchanged(_group(name)):
            return None
        module = self._modules[name]
        spec = ModuleSpec(name, self, loader_state=(module, module.__spec__))
        spec.origin = getattr(module, "__file__", None)
        spec.submodule_search_locations = getattr(module, "__path__", None)
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Bring back a group of packages, and those that it needs."""
        for group in TOGETHER[_group(spec.name)]:
            modules = self._unchanged(group)
            for name in modules:
                sys.modules.setdefault(name, self._modules.pop(name))
            if modules:
                getattr(self, f"_begin_{group}", lambda: None)()
        return spec.loader_state[0]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module was executed before the fork."""
        module.__spec__ = module.__spec__.loader_state[1]

    def _unchanged(self, group: str) -> list[str]:
        """Return the hidden modules of a group; none if they are to be imported anew."""
        names = [name for name in self._modules if _group(name) == group]
        if _what_is_read().get(group) == self._read.get(group):
            return names
        for name in names:
            del self._modules[name]
        return []

    def _begin_numpy(self) -> None:
        """Seed and set threads, as NumPy and its libraries do when they are loaded.

        OpenBLAS has had one thread so far: more of them, started before the kernel is, would spin
        for a tenth of a second, and slow down every copy of a shared page meanwhile.
        """
        sys.modules["numpy"].random.seed()  # or all kernels would draw the same
        numbers = {"blas": len(os.sched_getaffinity(0))}
        for api, names in THREADS.items():
            given = [os.environ[name].partition(",")[0] for name in names if name in os.environ]
            if given and given[0].isdecimal() and int(given[0]):
                numbers[api] = int(given[0])
        self._libraries.limit(limits=numbers)

    def _begin_matplotlib(self) -> None:
        if backend := os.environ.get("MPLBACKEND"):
            sys.modules["matplotlib"].rcParams["backend"] = backend

    def _begin_tensorflow(self) -> None:
        now = _what_is_read()["once"]
        if changed := [name for name in READ_ONCE if now[name] != self._read["once"][name]]:
            sys.stderr.write(
                f"{', '.join(changed)} was set after this kernel had loaded TensorFlow, and has no "
                "effect: save the notebook and restart the kernel, which then starts cold, or set "
                "COURSE_WARM=0 before Jupyter starts\n"
            )


def _group(module: str) -> str:
    return GROUPS.get(module.partition(".")[0], "numpy")


def _what_is_read() -> dict[str, dict[str, Any]]:
    """Return what packages read as they are imported: variables, and files with their times."""
    env, home, rc = os.environ, Path.home(), "matplotlibrc"
    default = Path(env.get("XDG_CONFIG_HOME", home / ".config")) / "matplotlib"
    folder, given = Path(env.get("MPLCONFIGDIR", default)), Path(env.get("MATPLOTLIBRC", rc))
    styles = sorted(folder.glob("stylelib/*.mplstyle"))
    files = {
        "keras": [Path(env.get("KERAS_HOME", home / ".keras")) / "keras.json"],
        "matplotlib": [Path(rc), given, given / rc, folder / rc, *styles],
    }
    prefixes = {"keras": "KERAS_", "matplotlib": ("MPLCONFIG", "MATPLOTLIBRC", "XDG_CONFIG")}
    read: dict[str, dict[str, Any]] = {"once": {name: env.get(name) for name in READ_ONCE}}
    for group, prefix in prefixes.items():
        read[group] = {name: value for name, value in env.items() if name.startswith(prefix)}
        read[group] |= {str(p): p.stat().st_mtime_ns for p in files[group] if p.is_file()}
    return read
