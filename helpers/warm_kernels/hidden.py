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

# What is imported beforehand, in groups, each with the groups that it needs. What others bring
# along belongs to the first group.
PACKAGES = {
    "numpy": (
        *("numpy", "pandas", "PIL.Image", "scipy.stats", "sklearn.datasets", "sklearn.manifold"),
        *("sklearn.linear_model", "sklearn.neighbors", "sklearn.cluster", "sklearn.decomposition"),
        *("sklearn.pipeline", "filelock", "tqdm.auto", "threadpoolctl"),
    ),
    "matplotlib": ("matplotlib.pyplot", "seaborn"),
    "tensorflow": ("tensorflow",),
    "keras": ("keras",),
}
NEEDS = {"matplotlib": ["numpy"], "tensorflow": ["numpy", "keras"]}
NEEDS["keras"] = ["numpy", "tensorflow"]
# What compiled libraries read as they are loaded, which cannot be done again.
READ_ONCE = (
    *("TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE", "TF_ENABLE_ONEDNN_OPTS"),
    *("TF_ENABLE_ZENDNN_OPTS", "TF_ENABLED_DEVICE_TYPES", "TF_USE_LEGACY_KERAS"),
    *("TF_FUNCTION_JIT_COMPILE_DEFAULT", "TF_USE_MODULAR_FILESYSTEM", "NPY_DISABLE_CPU_FEATURES"),
    *("OMP_PLACES", "OMP_PROC_BIND", "OMP_DYNAMIC", "OPENBLAS_CORETYPE", "LD_LIBRARY_PATH"),
)
THREADS = {
    "openmp": ("OMP_NUM_THREADS",),
    "blas": ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
}


class HiddenPackages(MetaPathFinder, Loader):
    """Imports packages, hides them, and gives them back to who imports them."""

    def __init__(self) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # see _begin_numpy
        self._groups: dict[str, dict[str, ModuleType]] = {group: {} for group in PACKAGES}
        self._read = _what_is_read()
        before = set(sys.modules)
        for group, names in PACKAGES.items():
            for name in names:
                importlib.import_module(name)
            for name in sys.modules.keys() - before:
                package = name.partition(".")[0]
                # The standard library stays; what a notebook sees of the course is imported anew.
                if package not in sys.stdlib_module_names and package != "helpers":
                    first = group if group == "matplotlib" else "numpy"
                    owner = package if package in PACKAGES else first
                    self._groups[owner][name] = sys.modules[name]
            before = set(sys.modules)
        from threadpoolctl import ThreadpoolController

        self._libraries = ThreadpoolController()

    def hide(self) -> None:
        """Make as if nobody had imported the packages yet."""
        for modules in self._groups.values():
            for name in modules:
                sys.modules.pop(name, None)
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a hidden module; None for any other, which Python then looks for itself."""
        group = next((g for g, modules in self._groups.items() if name in modules), None)
        if group is None or name not in self._unchanged(group):
            return None
        module = self._groups[group][name]
        spec = ModuleSpec(name, self, loader_state=(group, module, module.__spec__))
        spec.origin = getattr(module, "__file__", None)
        spec.submodule_search_locations = getattr(module, "__path__", None)
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Bring back a group of packages, and those that it needs."""
        group, module, _ = spec.loader_state
        for needed in (*NEEDS.get(group, ()), group):
            modules, self._groups[needed] = self._unchanged(needed), {}
            for name, hidden in modules.items():
                sys.modules.setdefault(name, hidden)
            if modules:
                getattr(self, f"_begin_{needed}", lambda: None)()
        return module

    def _unchanged(self, group: str) -> dict[str, ModuleType]:
        """Return the modules of a group; none if they are to be imported anew."""
        if _what_is_read().get(group) != self._read.get(group):
            self._groups[group] = {}
        return self._groups[group]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module was executed before the fork."""
        module.__spec__ = module.__spec__.loader_state[2]

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


def _what_is_read() -> dict[str, dict[str, Any]]:
    """Return what packages read as they are imported: variables, and files with their times."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME", home / ".config")) / "matplotlib"
    folder = Path(os.environ.get("MPLCONFIGDIR", config))
    given = Path(os.environ.get("MATPLOTLIBRC", "matplotlibrc"))
    files = {
        "keras": [Path(os.environ.get("KERAS_HOME", home / ".keras")) / "keras.json"],
        "matplotlib": [
            *(Path("matplotlibrc"), given, given / "matplotlibrc", folder / "matplotlibrc"),
            *sorted(folder.glob("stylelib/*.mplstyle")),
        ],
    }
    prefixes = {"keras": "KERAS_", "matplotlib": ("MPLCONFIG", "MATPLOTLIBRC", "XDG_CONFIG")}
    read: dict[str, dict[str, Any]] = {
        group: {name: value for name, value in os.environ.items() if name.startswith(prefix)}
        | {str(path): path.stat().st_mtime_ns for path in files[group] if path.is_file()}
        for group, prefix in prefixes.items()
    }
    return read | {"once": {name: os.environ.get(name) for name in READ_ONCE}}
