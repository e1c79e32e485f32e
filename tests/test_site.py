"""The site is built without a warning, its links lead somewhere, and its reference is complete."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import pytest

from tbwatch.detectors import DETECTORS
from tests import public_api

for package in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(package, reason="the site is built with the extra `docs`")

ROOT = Path(__file__).resolve().parents[1]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """The command of CONTRIBUTING; -E because nothing of an earlier build may be kept."""
    trees = target.with_suffix(".trees")
    command = ["-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-c", "docs", "-d"]
    return subprocess.run(
        [sys.executable, *command, str(trees), ".", str(target)],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built once."""
    target = tmp_path_factory.mktemp("site") / "html"
    done = build(ROOT, target)
    warnings = [line for line in done.stderr.splitlines() if "WARNING: " in line]
    assert done.returncode == 0, "\n".join(warnings) or done.stderr[-3000:]
    return target


def inventory(site: Path) -> set[str]:
    """The Python names that the reference holds, from the file that other sites link by."""
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def homes(value: object, name: str) -> list[str]:
    """Under which names an object may stand in the reference: one of its public ones."""
    same = [full for full, other in public_api.public() if other is value]
    return same or [f"{value.__module__}.{name}"]


def wanted() -> dict[str, list[str]]:
    """Every public name, member and detector -> the names under which it may stand."""
    found = {}
    for full, value in [
        *public_api.public(),
        *((f"{rule.__module__}.{rule.__name__}", rule) for rule in DETECTORS.values()),
    ]:
        found[full] = homes(value, full.rpartition(".")[2])
        for member in public_api.members(value) if inspect.isclass(value) else ():
            if value not in DETECTORS.values():
                found[f"{full}.{member}"] = [f"{home}.{member}" for home in found[full]]
    return found


def undocumented(names: set[str]) -> list[str]:
    """Public names that are not among those of the reference."""
    return [name for name, places in wanted().items() if names.isdisjoint(places)]


def test_the_reference_is_complete(site: Path) -> None:
    """Each public name of each module, each member of it, and each detector is there."""
    assert undocumented(inventory(site)) == []


def test_a_missing_name_is_noticed(site: Path) -> None:
    """The check above can fail: for a name, for what two modules offer, and for a member."""
    names = inventory(site)
    assert undocumented(names - {"tbwatch.reader.find_runs"}) == ["tbwatch.reader.find_runs"]
    gone = {"tbwatch.put_kernels_on_grid", "tbwatch.LoopWatch.close"}
    assert undocumented(names - gone) == [
        "tbwatch.LoopWatch.close",
        "tbwatch.put_kernels_on_grid",
        "tbwatch.kernels.put_kernels_on_grid",
    ]
    assert undocumented(names - {"tbwatch.detectors.dead_relu.DeadRelu"}) == [
        "tbwatch.detectors.dead_relu.DeadRelu"
    ]


def test_the_reference_promises_nothing_else(site: Path) -> None:
    """What is in it belongs to a public name."""
    public = {place for places in wanted().values() for place in places}
    # Classes are also listed under the module that they are written in.
    public |= {f"{v.__module__}.{v.__name__}" for _, v in public_api.public() if inspect.isclass(v)}
    names = inventory(site)
    assert [n for n in names if n not in public and n.rpartition(".")[0] not in public] == []


def test_every_page_is_there(site: Path) -> None:
    """README, CHANGELOG and CONTRIBUTING too, with the anchors of their headings."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs/api").glob("*.rst")]
    made = {page: (site / page.relative_to(ROOT)).with_suffix(".html") for page in pages}
    built = ROOT / "docs" / "_build"
    assert [page for page in made if not made[page].exists() and built not in page.parents] == []
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= {page.name for page in made}
    assert 'id="two-commands"' in made[ROOT / "README.md"].read_text("utf-8")


def test_the_first_page_leads_to_the_index(site: Path) -> None:
    """A browser that is given a directory opens `index.html`."""
    assert "url=docs/index.html" in (site / "index.html").read_text("utf-8")


def broken_links(site: Path, pages: Iterable[Path]) -> list[str]:
    """Links to files or places of the site that do not exist."""
    texts: dict[Path, str] = {}
    broken = []
    for page in pages:
        text = texts.setdefault(page, page.read_text("utf-8"))
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = unquote(target.replace("&amp;", "&")).partition("#")
            file = (page.parent / name.partition("?")[0]).resolve() if name else page
            if not file.is_file():
                broken.append(f"{page.relative_to(site)}: {target}")
            elif anchor and file.suffix == ".html":
                there = texts.setdefault(file, file.read_text("utf-8"))
                if f'id="{anchor}"' not in there and anchor != "":
                    broken.append(f"{page.relative_to(site)}: {target}")
    return broken


def test_links_of_the_site_resolve(site: Path) -> None:
    """Of every page, also to headings and to names in the reference."""
    assert broken_links(site, site.rglob("*.html")) == []


def test_a_broken_link_of_the_site_is_noticed(site: Path) -> None:
    """The check above can fail: for a file and for an anchor."""
    page = site / "broken.html"
    page.write_text('<a href="none.html"> <a href="README.html#none"> <a href="README.html">')
    try:
        found = broken_links(site, [page])
    finally:
        page.unlink()
    assert found == ["broken.html: none.html", "broken.html: README.html#none"]


def small_site(root: Path, **pages: str) -> Path:
    """A tree with our settings and these pages below docs."""
    (root / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "conf.py", root / "docs")
    shutil.copytree(ROOT / "docs" / "_templates", root / "docs" / "_templates")
    for name, text in pages.items():
        file = root / "docs" / f"{name.replace('__', '/')}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def test_what_is_wrong_fails_the_build(tmp_path: Path) -> None:
    """A link to nowhere, an anchor that is none, and a name that is none are told of."""
    wrong = (
        "# A\n\n[a](none.md) [b](index.md#none)\n\n```{eval-rst}\n:py:func:`tbwatch.none`\n```\n"
    )
    done = build(small_site(tmp_path, index="# I\n\n[a](a.md)\n", a=wrong), tmp_path / "out")
    assert done.returncode == 1
    for told in ("target not found: 'none.md'", "local id not found", "not found: tbwatch.none"):
        assert told in done.stderr


def test_the_menu_follows_the_index(tmp_path: Path) -> None:
    """Headings of the index, its links in their order, folders below pages, the rest at the end."""
    page = "# The page {}\n"
    index = "# I\n\n## First\n\n[b](b.md), [a](a.md#the-page-a)\n\n## Second\n\n[b](b.md)\n"
    pages = {name: page.format(name) for name in ("b", "a__one", "a__two", "new")}
    pages["a"] = page.format("a") + "\n[two](a/two.md), [one](a/one.md)\n"
    done = build(small_site(tmp_path, index=index, **pages), tmp_path / "out")
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "out" / "docs" / "index.html").read_text("utf-8")
    menu = html.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    shown = re.findall(r'caption-text">(\w+)|toctree-l(\d)[^>]*><a[^>]*>([^<]+)<', menu)
    assert ["".join(parts) for parts in shown] == [
        "First",
        "1The page b",
        "1The page a",
        "2The page a__two",
        "2The page a__one",
        "More",
        "1The page new",
    ]
