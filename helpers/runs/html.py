"""Notebooks and results as pages on which nothing of a notebook runs, or loads from the network."""

import functools
import re
import threading
from pathlib import Path
from typing import Any

from helpers.files import write_atomically

TEMPLATES = Path(__file__).with_name("templates")
MATHEMATICS = re.compile(
    r"(?P<code>```.*?```|`[^`]*`)|\$\$(?P<block>.+?)\$\$|(?<![\w\\])\$(?P<inline>[^$]+?)\$(?!\w)",
    re.DOTALL,
)
# What nh3 would take away: MathML, and what tables and course cells look like.
MATHML = {
    *("math", "semantics", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mfrac", "msqrt"),
    *("mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
    *("mstyle", "mpadded", "mphantom", "menclose", "mmultiscripts", "mprescripts", "none"),
}
MATHML_ATTRIBUTES = {
    *(
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "separator",
        "form",
        "accent",
        "linethickness",
    ),
    *("columnalign", "columnspacing", "rowspacing", "width", "height", "depth", "lspace", "rspace"),
    *("displaystyle", "scriptlevel", "minsize", "maxsize", "largeop", "movablelimits", "symmetric"),
}
STYLES = {
    *("color", "background-color", "border", "border-collapse", "border-radius"),
    *("border-left", "border-right", "border-top", "border-bottom", "padding", "padding-left"),
    *("margin-left", "text-align", "vertical-align", "text-decoration"),
    *("font-size", "font-family", "font-weight", "font-style", "font-variant-numeric"),
    *("line-height", "white-space", "width", "max-width", "height", "max-height", "display", "gap"),
}
EXPORTING = threading.Lock()  # an exporter keeps what it is at


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write a page from a template of this package, whole or not at all."""
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(TEMPLATES, encoding="utf-8")
    page = Environment(autoescape=True, loader=loader).get_template(f"{template}.html.j2")
    write_atomically(path, page.render(**values))


def export_html(notebook: Any, title: str) -> str:
    """Return an executed notebook as one self-contained HTML page."""
    with EXPORTING:
        page, _ = _exporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    return page


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
            yield "clean_html", _clean

    config = Config({"TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {"hide"}}})
    return Exporter(
        config, template_name="course", extra_template_basedirs=[str(TEMPLATES)],
        sanitize_html=True,
    )  # fmt: skip


def _clean(html: str | bytes) -> str:
    """Return HTML without what could run, load, cover the page or send something away."""
    return _cleaner().clean(html.decode(errors="replace") if isinstance(html, bytes) else html)


@functools.cache
def _cleaner() -> Any:
    import nh3

    attributes = {name: set(allowed) for name, allowed in nh3.ALLOWED_ATTRIBUTES.items()}
    attributes |= dict.fromkeys(MATHML, MATHML_ATTRIBUTES)
    attributes["*"] = {"class", "id", "style", "title", "role"}
    return nh3.Cleaner(
        tags={*nh3.ALLOWED_TAGS, *MATHML},
        attributes=attributes,
        attribute_filter=_filter_attribute,
        generic_attribute_prefixes={"data-", "aria-"},
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=STYLES,
    )


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    """Keep pictures that the page holds itself, and links that lead somewhere else."""
    is_data = value.strip().lower().startswith("data:")
    return None if (name == "src" and not is_data) or (name == "href" and is_data) else value


def _mathml(match: re.Match[str]) -> str:
    """Turn LaTeX into MathML, which a browser shows without a script from the network."""
    from latex2mathml.converter import convert

    if match["code"]:
        return match["code"]
    try:
        if match["block"]:
            return convert(match["block"], display="block")
        return convert(match["inline"])
    except Exception:  # what is no mathematics, or not to the converter, stays as it is
        return match[0]
