"""What a person sees of runs: each notebook as HTML, a page of all, and ``results.json``."""

import functools
import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.runs.results import INTERRUPTED, Run, RunResult

TEMPLATES = Path(__file__).with_name("templates")
PAGE, RESULTS, TABLE = "index.html", "results.json", "results.csv"
MARK = "course"  # in the metadata of an executed notebook: the digest of its sources
MATHEMATICS = re.compile(
    r"(?P<code>```.*?```|`[^`]*`)|\$\$(?P<block>.+?)\$\$|(?<![\w\\])\$(?P<inline>[^$]+?)\$(?!\w)",
    re.DOTALL,
)
EXPORTING = threading.Lock()  # an exporter keeps what it is at


def write_report(runs: Sequence[Run], results: Sequence[RunResult], out: Path) -> Path:
    """Write ``results.json`` and ``index.html``, each whole or not at all; return the latter.

    Parameters
    ----------
    runs, results
        One for each notebook, in the same order.
    out
        The folder where the notebooks' HTML lies.
    """
    write_results(results, out)
    pages = {path.stem for path in out.glob("*.html")}
    rows = []
    for result in results:  # what was interrupted may have the page of an earlier run
        has_page = result["notebook"] in pages and result["status"] != INTERRUPTED
        rows.append({**result, "page": result["notebook"] if has_page else None})
    pictures = {row["page"]: _picture(out / f"{row['page']}.ipynb") for row in rows if row["page"]}
    fallbacks = find_fallbacks(runs, results)
    write_page("notebooks", out / PAGE, rows=rows, pictures=pictures, fallbacks=fallbacks)
    return out / PAGE


def write_results(results: Sequence[RunResult], out: Path) -> None:
    """Write ``results.json``, whole or not at all."""
    text = json.dumps(list(results), indent=2, allow_nan=False)
    write_atomically(out / RESULTS, text + "\n")


def mark_as_executed(notebook: Any) -> None:
    """Note in a notebook that a run has written it, so that another one may write over it."""
    notebook["metadata"][MARK] = _digest_of_sources(notebook)


def require_own_files(out: Path, notebooks: Sequence[str] = ()) -> None:
    """Refuse to write over what no run has written, and notebooks that were changed since.

    Parameters
    ----------
    out
        The folder of results.
    notebooks
        Names of notebooks that would be written there.

    Raises
    ------
    CourseError
        Names the first such file.
    """
    rows = _kept_rows(out)
    kept = bool(rows) or any(out.glob("runs/*/status.json"))
    listed = {row.get("notebook") for row in rows}
    foreign = [out / name for name in (PAGE, RESULTS, TABLE) if not kept and (out / name).exists()]
    for name in notebooks:
        path, page = out / f"{name}.ipynb", out / f"{name}.html"
        if path.is_file() and not _is_executed(path, name in listed):
            foreign.append(path)
        elif page.is_file() and not path.exists():
            foreign.append(page)
    if foreign:
        raise CourseError(
            f"{foreign[0]} is there already, and it is not as a run has left it; expected a folder "
            "of results, or a new one: choose another --out"
        )


def _kept_rows(out: Path) -> list[dict[str, Any]]:
    with suppress(OSError, ValueError, RecursionError):
        rows = json.loads((out / RESULTS).read_text(encoding="utf-8"))
        if isinstance(rows, list) and all(isinstance(row, dict) and "key" in row for row in rows):
            return rows
    return []


def _is_executed(path: Path, is_listed: bool) -> bool:
    """Tell whether a run has written a notebook, and nobody has changed its sources since."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        mark = notebook["metadata"].get(MARK)
        return is_listed if mark is None else mark == _digest_of_sources(notebook)
    return False


def _digest_of_sources(notebook: Mapping[str, Any]) -> str:
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    return hashlib.blake2b(json.dumps(sources).encode(), digest_size=8).hexdigest()


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write a page from a template of this package, whole or not at all."""
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES, encoding="utf-8")
    found = Environment(autoescape=True, loader=loader).get_template(f"{template}.html.j2")
    write_atomically(path, found.render(**values))


def find_fallbacks(runs: Sequence[Run], results: Sequence[RunResult]) -> list[tuple[str, str]]:
    """Return each pair of a dataset that was asked for and the other one that was used."""
    pairs = set()
    for run, result in zip(runs, results, strict=True):
        asked, used = (run.notebook.defaults | run.parameters).get("dataset"), result["dataset"]
        if not isinstance(asked, str) or not asked or not used:
            continue
        # A set that was asked for by its path is named after the file.
        if used not in {asked, Path(asked).name, Path(asked).stem}:
            pairs.add((asked, used))
    return sorted(pairs)


def _picture(notebook: Path) -> dict[str, str] | None:
    """Return the first picture of an executed notebook: its kind, content and alternative."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):  # it has not run, or not to its end
        return None
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    for output in outputs:
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                content = "".join(output["data"][kind]).replace("\n", "")
                return {"kind": kind, "content": content, "alt": alt}
    return None


@functools.cache
def _exporter() -> Any:
    """Return the exporter of this process: imports and templates take it half a second once."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            return super().markdown2html(context, MATHEMATICS.sub(_mathml, source))

        def default_filters(self) -> Any:
            yield from super().default_filters()
            # It would parse what Pygments made of the code, which is clean: a third of the time.
            yield "clean_html", lambda html: html

    config = Config({"TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {"hide"}}})
    return Exporter(config, template_name="course", extra_template_basedirs=[str(TEMPLATES)])


def _mathml(found: re.Match[str]) -> str:
    """Turn LaTeX into MathML, which a browser shows without a script from the network."""
    from latex2mathml.converter import convert

    if found["code"]:
        return found["code"]
    try:
        if found["block"]:
            return convert(found["block"], display="block")
        return convert(found["inline"])
    except Exception:  # what is no mathematics, or not to the converter, stays as it is
        return found[0]


def export_html(notebook: Any, title: str) -> str:
    """Return an executed notebook as one self-contained HTML page."""
    with EXPORTING:
        page, _ = _exporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    return page
