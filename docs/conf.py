"""The site: every Markdown page of the repository, and the reference made from docstrings.

    python -m sphinx -W -c docs . docs/_build

The source directory is the root of the repository, not `docs`, so that README, CHANGELOG and
CONTRIBUTING are pages like all others, and a link between two files holds on the site and on a
repository page alike. Nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the reference is that of this checkout, installed or not
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tbwatch import __version__  # noqa: E402

project = "tbwatch"
author = "tbwatch developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "docs/api/*.rst", "examples/**.md", "benchmarks/**.md"]
# Without these, each build would walk through them in search of pages.
exclude_patterns = ["docs/_build", "tests", "tbwatch", "build", "dist", "logs", "**/.*", ".*"]

myst_heading_anchors = 4  # the anchors that a repository page gives to headings
nitpicky = True  # a reference that leads nowhere is a warning, and -W makes it an error
# Names of other packages lead nowhere offline.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|google|keras|np|npt|numpy|os|pathlib|tensorflow|typing)(\..*)?"),
]

nitpick_ignore = [("py:class", "tbwatch.selection.Selection")]  # an argument not meant for users

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # `WIDEST`, not its value, as the code says it
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = True  # types of the fields of a dataclass
default_role = "py:obj"  # docstrings put code into single backticks, as Markdown does

maximum_signature_line_length = 88  # beyond it, one argument a line

html_theme = "furo"
html_title = f"tbwatch {release}"
html_copy_source = False
templates_path = ["_templates"]


def _title(heading: str) -> str:
    return heading.strip("# \n").replace("`", "")


def _pages_of_index(text: str) -> Iterator[tuple[str, list[str]]]:
    """The headings of `docs/index.md`, and the pages linked below each: the site's menu."""
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        links = re.findall(r"\]\(([^)#:]+)\.md[#)]", part)
        pages = [os.path.normpath(os.path.join("docs", link)) for link in links]
        if pages:
            yield _title(part.partition("\n")[0]), pages


def _menu(caption: str, pages: list[str]) -> str:
    entries = "\n".join(f"/{page}" for page in pages)
    option = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{option}\n{entries}\n```\n" if pages else ""


def add_menus(app: Sphinx, docname: str, content: list[str]) -> None:
    """Add the tables of contents that Sphinx wants, so that pages need not hold any.

    The menu of the site is that of `docs/index.md`. Pages in a folder that is called like a page
    stand below that page, and what nobody has linked comes last.
    """
    found = sorted(app.env.found_docs)
    below = {page: page.rpartition("/")[0] for page in found if page.rpartition("/")[0] in found}
    if docname == root_doc:
        placed = {root_doc, *below}
        for caption, pages in _pages_of_index(content[0]):
            fresh = [page for page in dict.fromkeys(pages) if page not in placed]
            placed.update(fresh)
            content[0] += _menu(caption, fresh)
        content[0] += _menu("More", [page for page in found if page not in placed])
    elif not re.search(r"^# ", content[0], re.MULTILINE) and content[0].startswith("#"):
        # What a program has written begins with the heading of its first table.
        text = re.sub("^##(?=#)", "#", content[0], flags=re.MULTILINE)
        content[0] = f"# {docname.rpartition('/')[2]}\n\n{text}"
    mine = [page for page, folder in below.items() if folder == docname]
    mine.sort(key=lambda page: f"{content[0]}{page}".find(page.removeprefix("docs/")))
    content[0] += _menu("", mine)  # in the order in which the page links them


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """A page that is new, or gone, changes the menus of others."""
    return sorted(env.found_docs) if changes[0] or changes[2] else []


def code_or_link(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Code in single backticks leads to the name that it is, if it is a public one."""
    if node.get("refdomain") != "py" or node.get("reftype") not in ("obj", "exc"):
        return None
    domain = env.domains.python_domain
    found = domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"tbwatch.{node['reftarget']}", node, contnode
    )
    return found or contnode


def first_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """`index.html`, where a browser begins: it leads to the page of `docs/index.md`."""
    yield "index", {"target": f"{root_doc}.html"}, "redirect.html"


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", add_menus)
    app.connect("env-get-outdated", outdated)
    app.connect("missing-reference", code_or_link)
    app.connect("html-collect-pages", first_page)
