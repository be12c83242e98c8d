"""What a run's result depends on: the key of a kept run, and why it is stale later."""

import ast
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from helpers.datasets import catalog
from helpers.files import ROOT
from helpers.runs.notebook import Notebook
from helpers.runs.results import Run

PACKAGES = {"TensorFlow": "tensorflow", "Keras": "keras", "NumPy": "numpy"}
IMPORT = re.compile(r"^\s*(?:from|import)\s+\.*(\w+)", re.MULTILINE)
GIT = 10  # seconds that git may take


def keyed_runs(runs: Iterable[Run], now: "Surroundings | None" = None) -> dict[str, Run]:
    """Return runs by their keys, with what each depends on and where it comes from.

    A key is a digest of the notebook's code (its text and outputs do not count), the parameters,
    the data that they name, the working directory, the package and the notebook's own modules as
    they are now, and the versions of Python, TensorFlow, Keras, NumPy and of what the code imports.
    """
    now = now or Surroundings()
    keyed = {}
    for run in runs:
        depends = now.dependencies(run.notebook, run.parameters, run.folder)
        values = {**run.notebook.defaults, **run.parameters}
        is_elsewhere = run.folder != run.notebook.path.resolve().parent
        place = [str(run.folder)] if is_elsewhere else []
        key = digest([run.notebook.name, values, depends, *place])
        keyed[key] = replace(run, key=key, depends=depends, origin=now.origin)
    return keyed


class Surroundings:
    """The package, the libraries and the data as they are now; looked at once for many runs."""

    def __init__(self) -> None:
        sources = sorted((ROOT / "helpers").rglob("*.py"))
        self._package = digest([hashlib.blake2b(p.read_bytes()).hexdigest() for p in sources])
        self._versions = {"Python": platform.python_version()}
        for name, package in PACKAGES.items():
            try:
                self._versions[name] = version(package)
            except PackageNotFoundError:
                self._versions[name] = "none"
        self._data: dict[tuple[str, Path], str | None] = {}
        self._modules: dict[tuple[str, Path], tuple[dict[str, str], set[str]]] = {}

    @functools.cached_property
    def origin(self) -> dict[str, Any]:
        """The commit of this clone, and whether its files are those of the commit."""
        return _origin()

    def dependencies(
        self, notebook: Notebook, parameters: Mapping[str, Any], folder: Path
    ) -> dict[str, Any]:
        """Return what a run depends on besides its parameters, ready for JSON.

        Parameters
        ----------
        notebook, parameters
            Of the run.
        folder
            Its working directory, where its modules and its data are looked for.
        """
        values = {**notebook.defaults, **parameters}
        values.pop("checkpoint", None)  # what a run writes is none of its data
        texts = [value for value in values.values() if isinstance(value, str)]
        data = {text: found for text in texts if (found := self._data_digest(text, folder))}
        if (place := (notebook.snapshot, folder)) not in self._modules:
            self._modules[place] = _look_at_modules(notebook, folder)
        modules, imported = self._modules[place]
        return {
            "code": digest(notebook.code), "data": data, "package": self._package,
            "modules": modules, "versions": self._versions | _versions_of(imported),
        }  # fmt: skip

    def _data_digest(self, value: str, folder: Path) -> str | None:
        """Return what tells the data of a name from others of the same name; None if no data."""
        if (place := (value, folder)) not in self._data:
            if value in catalog.manifest():
                self._data[place] = digest(catalog.manifest()[value])
            elif value in catalog.PACKAGES:  # it comes with a library
                self._data[place] = version(catalog.PACKAGES[value])
            else:
                is_path = bool(value.strip())
                path = is_path and (catalog.existing(folder / value) or catalog.existing(value))
                self._data[place] = digest(sorted(_files(path))) if path else None
        return self._data[place]


@functools.cache
def _packages_of_modules() -> Mapping[str, list[str]]:
    """Return the packages that bring each module: a tenth of a second, once in a process."""
    return packages_distributions()


def _versions_of(modules: set[str]) -> dict[str, str]:
    """Return the versions of the packages that bring these modules."""
    packages = {package for name in modules for package in _packages_of_modules().get(name, [])}
    return {p: version(p) for p in sorted(packages - set(PACKAGES.values()))}


def _look_at_modules(notebook: Notebook, folder: Path) -> tuple[dict[str, str], set[str]]:
    """Return digests of the modules of one's own that a notebook may import, and all imports.

    These are files in the working directory whose name occurs in the code, also those that ``%run``
    or ``importlib`` get, and what they import in turn.
    """
    digests: dict[str, str] = {}
    imported = {name for source in notebook.code for name in _imports(source)}
    names = set(re.findall(r"\w+", "\n".join(notebook.code)))
    while names := {n for n in names if n.isidentifier()} - digests.keys() - {"helpers"}:
        further: set[str] = set()
        for name in names:
            if files := [path.read_bytes() for path in _sources(folder, name)]:
                digests[name] = digest([hashlib.blake2b(file).hexdigest() for file in files])
                further |= {n for file in files for n in _imports(file.decode(errors="replace"))}
        imported |= further
        names = further
    return digests, imported - {"helpers"}


def _imports(source: str) -> set[str]:
    """Return the first names of the modules that code imports."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):  # a cell with a magic
        return set(IMPORT.findall(source))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names += [node.module] if node.module else [alias.name for alias in node.names]
    return {name.partition(".")[0] for name in names}


def _sources(folder: Path, name: str) -> list[Path]:
    """Return the files of a module or a package in a folder; none of a name that cannot be one."""
    with suppress(OSError):  # too long a name, or a folder that may not be read
        package = folder / name
        inside = sorted(package.rglob("*.py")) if any(package.glob("*.py")) else []
        return [
            p for p in (folder / f"{name}.py", *inside) if p.is_file() and os.access(p, os.R_OK)
        ]
    return []


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield name, size and time of all files in a folder, or of one file."""
    inside = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    for file in inside or [path]:
        with suppress(OSError):  # a link to nowhere, or a file that goes just now
            found = file.stat()
            yield str(file.relative_to(path)), found.st_size, found.st_mtime_ns


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Tell in words what a kept result depended on and has changed since."""
    old, new = before.get("versions", {}), now["versions"]
    found = [f"{name} {old.get(name)} → {new[name]}" for name in new if old.get(name) != new[name]]
    for part, word in (("data", "data"), ("modules", "the module")):
        was = before.get(part, {})
        names = {**was, **now[part]}
        found += [f"{word} {n}" for n in names if was.get(n) != now[part].get(n)]
    parts = {"code": "the notebook's code", "package": "the package helpers"}
    return found + [words for part, words in parts.items() if before.get(part) != now[part]]


def _origin() -> dict[str, Any]:
    """Return the commit of this clone, and whether its files are those of the commit."""
    try:
        said = [
            subprocess.run(
                ["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=True,
                timeout=GIT,
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]  # fmt: skip
    except (OSError, subprocess.SubprocessError):  # no git, or no clone
        return {"commit": None, "clean": None}
    return {"commit": said[0], "clean": not said[1]}


def digest(content: Any) -> str:
    """Return what tells a content that JSON can hold from all others."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
