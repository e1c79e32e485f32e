"""What is published: it is built from the tracked files, holds what it should, and works alone."""

from __future__ import annotations

import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest

import tbwatch

pytest.importorskip("build", reason="the packages are built with the extra `test`")

ROOT = Path(__file__).resolve().parents[1]
VERSION = tbwatch.__version__
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
# What no package holds: it serves the repository.
REPOSITORY_ONLY = (".gitignore", ".ci/run")


def tracked() -> list[str]:
    """The files of the repository, new ones included; outside of a clone, those of the folder."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        ask = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
        names = listed.stdout.split("\0")
        return sorted(name for name in names if name and (ROOT / name).is_file())
    left_out = r"(.*/)?(__pycache__|\.[a-z_]+|build|dist|logs|_build|[^/]*\.egg-info)/.*|PKG-INFO"
    paths = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return sorted(path for path in paths if not re.fullmatch(left_out, path))


def command(arguments: Sequence[str | Path], cwd: Path) -> str:
    """What a program prints that must end well, and sees neither this source nor its settings."""
    hidden = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME")
    done = subprocess.run(
        list(map(str, arguments)),
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, the wheel made out of it, and what was told."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    # Isolation would download setuptools.
    told = command([sys.executable, "-m", "build", "--no-isolation", "."], source)
    (source / "dist" / "told.txt").write_text(told)
    return source / "dist"


def test_an_editable_install_is_a_path(built: Path, tmp_path: Path) -> None:
    """No finder of its own: a program beside the clone would import the clone's folder instead."""
    program = f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"
    command([sys.executable, "-c", program], built.parent)
    (editable,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(editable) as files:
        (path,) = (name for name in files.namelist() if name.endswith((".pth", ".py")))
        assert Path(files.read(path).decode().strip()).resolve() == built.parent.resolve()


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The one wheel, for every platform."""
    (found,) = built.glob(f"tbwatch-{VERSION}-py3-none-any.whl")
    return found


def complaints(told: str) -> list[str]:
    """Lines that warn, but for patterns in MANIFEST.in of what a clean clone does not have."""
    lines = re.findall(r"(?i)^.*(?:warning|deprecat).*$", told, re.MULTILINE)
    return [line for line in lines if "no previously-included" not in line]


def test_nothing_is_complained_of(built: Path) -> None:
    """Neither by the build tool nor by setuptools."""
    assert complaints((built / "told.txt").read_text()) == []
    assert complaints("ok\nSetuptoolsDeprecationWarning: x\n") == [
        "SetuptoolsDeprecationWarning: x"
    ]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Each tracked file below tbwatch, among them the page of the tab; no tests, no pages."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"tbwatch-{VERSION}.dist-info/"
    package = {name for name in names if not name.startswith(about)}
    assert package == {name for name in tracked() if name.startswith("tbwatch/")}
    assert {"tbwatch/py.typed", "tbwatch/tab/static/index.js", "tbwatch/__main__.py"} <= package


def test_the_source_archive_holds_the_repository(built: Path) -> None:
    """Who has it can run the tests and build the site."""
    with tarfile.open(built / f"tbwatch-{VERSION}.tar.gz") as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    made = {name for name in names if name == "PKG-INFO" or name.startswith("tbwatch.egg-info/")}
    assert names - made == set(tracked()) - set(REPOSITORY_ONLY)


@pytest.fixture(scope="module")
def about(wheel: Path) -> Message:
    """The metadata."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"tbwatch-{VERSION}.dist-info/METADATA").decode("utf-8")
    return email.message_from_string(text)


def test_metadata(about: Message, wheel: Path) -> None:
    """What an index shows: name, version, licence with its text, and the README."""
    assert (about["Name"], about["Version"], about["License"]) == ("tbwatch", VERSION, "Apache-2.0")
    assert about["Requires-Python"] == ">=3.10"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload().strip() == (ROOT / "README.md").read_text("utf-8").strip()
    assert 20 < len(about["Summary"]) < 200
    with zipfile.ZipFile(wheel) as archive:
        licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
        assert archive.read(licences[0]) == (ROOT / "LICENSE").read_bytes()
    needed = [line for line in about.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[^\w-]", line)[0] for line in needed}
    assert names == {"tensorflow", "keras", "tensorboard", "numpy", "pillow"}


def test_the_readme_is_whole_in_the_metadata(about: Message) -> None:
    """As Markdown it has its title, its tables, and no fence that was left open."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    shown = markdown.render(about.get_payload())
    assert "<h1>tbwatch</h1>" in shown
    assert shown.count("<table>") == 2
    assert "```" not in shown


# A real training, and TensorBoard that is asked for the tab.
TRAINS = """
import json, os, urllib.request
import keras, numpy as np
import tbwatch
from tbwatch import notebook

x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, name="out")])
model.compile("sgd", "mse")
watch = tbwatch.Watch("logs/run1")
model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[watch])
url = notebook.show("logs").url.removesuffix("#tbwatch")
listed = json.load(urllib.request.urlopen(url + "data/plugins_listing"))
page = urllib.request.urlopen(url + "data/plugin/tbwatch/static/index.js").read()
print(json.dumps([tbwatch.__file__, watch.report(), "tbwatch" in listed, len(page)]), flush=True)
# As a notebook ends: an interpreter that waits for no thread may abort in those of TensorBoard.
os._exit(0)
"""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and beside it the dependencies of the running one."""
    home = tmp_path_factory.mktemp("env") / "env"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    (target,) = home.glob("lib/python*/site-packages")
    command([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps",
             "--no-index", wheel], home)  # fmt: skip
    # Paths in a .pth file are searched, but .pth files in them are not read: an editable
    # installation of this source does not show through.
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (target / "dependencies.pth").write_text("\n".join(others))
    return home


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    """As a program, and as a module."""
    assert command([installed / "bin" / "tbwatch", "--version"], tmp_path).strip().endswith(VERSION)
    told = command([installed / "bin" / "python", "-m", "tbwatch", "--help"], tmp_path)
    assert told.startswith("usage: tbwatch")


def test_a_training_is_watched_and_shown(installed: Path, tmp_path: Path) -> None:
    """By the wheel alone: records, the tab in TensorBoard by its entry point, and a report."""
    told = command([installed / "bin" / "python", "-c", TRAINS], tmp_path)
    (line,) = re.findall(r"^\[.*\]$", told, re.M)
    file, report, is_listed, size = json.loads(line)
    assert Path(file).is_relative_to(installed)
    assert report.startswith("No alerts")
    assert is_listed
    assert size == len((ROOT / "tbwatch/tab/static/index.js").read_bytes())
    command([installed / "bin" / "tbwatch", "report", "logs", "-o", "report.html"], tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "out/kernel" in page


def test_the_version_is_in_one_place() -> None:
    """No other file of the package or its settings holds it."""
    holding = [
        name
        for name in tracked()
        if name.startswith("tbwatch/") or name in ("setup.cfg", "pyproject.toml", "docs/conf.py")
        if f'"{VERSION}"' in (ROOT / name).read_text("utf-8", errors="replace")
    ]
    assert holding == ["tbwatch/_version.py"]
    assert SETTINGS["metadata"]["version"] == "attr: tbwatch._version.__version__"


def test_the_site_can_be_built_wherever_the_tests_run() -> None:
    """What `docs` asks for, `test` does too."""
    extras = SETTINGS["options.extras_require"]
    assert set(extras["docs"].split()) <= set(extras["test"].split())


def released() -> dict[str, str]:
    """Version -> date, of the headings of the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert text.count("\n## Unreleased\n") <= 1
    headings = re.findall(r"^## (?!Unreleased)(.*)$", text, re.M)
    found = [re.fullmatch(r"\[?(\d+\.\d+\.\d+)\]? - (\d{4}-\d\d-\d\d)", line) for line in headings]
    assert None not in found, headings
    return {match[1]: match[2] for match in found if match}


def test_the_citation() -> None:
    """It has the fields that the format asks for, this version, and its date once there is one."""
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    fields = dict(re.findall(r"^([\w-]+): *(.*)$", text, re.M))
    assert fields["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(fields)
    assert re.search(r"^authors:\n  - (name|family-names): \w", text, re.M)
    assert (fields["type"], fields["version"]) == ("software", VERSION)
    assert fields["license"] == SETTINGS["metadata"]["license"]
    assert fields.get("date-released") == released().get(VERSION)


def test_nothing_of_others_is_in_the_page_of_the_tab() -> None:
    """No library, font or icon: scripts and a style sheet that are written to be read."""
    files = sorted((ROOT / "tbwatch" / "tab" / "static").iterdir())
    assert {file.suffix for file in files} == {".js", ".css"}
    for file in files:
        text = file.read_text("utf-8")
        assert not re.search(r"https?://|@font-face|@import|sourceMappingURL|@?licen[sc]e|©", text)
        assert max(map(len, text.splitlines())) < 200, f"{file.name} may have been minified"
