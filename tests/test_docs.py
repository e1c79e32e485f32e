"""The documentation: its programs run, and its links and commands lead somewhere."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import event_files, program
from tests.doc_pages import BLOCK, DOCS, PAGES, ROOT

# Runs the blocks given as JSON [[page, given, [[line, code], ...]], ...], those of a page in one
# namespace. Every line printed is compared with the comment on the line that printed it, if there
# is one: it must begin with it.
DRIVER = r"""
import json, sys

wrong = []

def run(page, given, blocks):
    source = [""] * (max(line + code.count("\n") for line, code in blocks) + 1)
    for line, code in blocks:
        source[line - 1 : line - 1 + code.count("\n")] = code.splitlines()

    def checked_print(*values):
        line = sys._getframe(1).f_lineno
        text = " ".join(map(str, values))
        _, mark, comment = source[line - 1].rpartition("  # ")
        if mark and not comment.startswith(text):
            wrong.append(f"{page}:{line}: printed {text!r}, the comment says {comment!r}")

    namespace = {"__name__": "__main__", "print": checked_print}
    exec(given, namespace)
    for line, code in blocks:
        exec(compile("\n" * (line - 1) + code, page, "exec"), namespace)

for page, given, blocks in json.loads(sys.argv[1]):
    run(page, given, blocks)
sys.exit("\n".join(wrong) or 0)
"""

MODEL = """
import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
y = x[:, :1]
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
"""
# What a page says that its reader has.
# A TensorBoard with a run, in the place of the one that the reader has started.
BOARD = """
import atexit, time, urllib.request
from tbwatch.testing import make_record
from tests.board import Server, write_run
write_run("logs/run1", [make_record(1), make_record(2)])
server = Server("logs", "false")
atexit.register(server.stop)
ask, mine = urllib.request.urlopen, server.url + "/"
def asked(address):
    for _ in range(100):
        try:
            return ask(address.replace("http://localhost:6006/", mine))
        except urllib.error.HTTPError:
            time.sleep(0.2)  # it has not read the run yet
    raise TimeoutError(address)
urllib.request.urlopen = asked
"""
GIVEN = {"README.md": MODEL, "routes.md": BOARD}


def python_blocks(text: str) -> list[tuple[int, str]]:
    """(line, code) of each block fenced as Python, its first line from 1."""
    return [
        (text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in BLOCK.finditer(text)
        if match[1] == "python"
    ]


def anchors(text: str) -> set[str]:
    """Anchors of the headings: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Links of a page to local files or headings that do not exist."""
    broken = []
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    return broken


def run_blocks(pages: Iterable[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the Python blocks of pages in one process."""
    jobs = [
        (page.name, GIVEN.get(page.name, ""), python_blocks(page.read_text(encoding="utf-8")))
        for page in pages
    ]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return program.run(
        [sys.executable, "-c", DRIVER, json.dumps(jobs)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
    )


WITH_BLOCKS = [page for page in PAGES if python_blocks(DOCS[page.name])]

# Their blocks are small, and importing Keras takes seconds: all of them share a process.
OF_DIAGNOSES = [page for page in WITH_BLOCKS if page.parent.name == "alerts"]
ALONE = [page for page in WITH_BLOCKS if page not in OF_DIAGNOSES]


def test_python_blocks_of_the_diagnoses_run(tmp_path: Path) -> None:
    """What they show as before and as after runs."""
    done = run_blocks(OF_DIAGNOSES, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """They run, in order, and print what their comments say."""
    if page.name == "command_line.md":
        event_files.write(tmp_path / "logs" / "run1", event_files.simple_events([1, 2], "a/kernel"))
    done = run_blocks([page], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_all_pages_with_programs_are_found() -> None:
    """The search finds blocks in the README and below docs."""
    assert {"README.md", "getting_started.md", "kernels.md"} <= {page.name for page in ALONE}
    assert len(OF_DIAGNOSES) > 20
    assert len(DOCS) == len(PAGES)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "x = 1\n\nprint(x)  # 2: not so\n",
            "page.md:6: printed '1', the comment says '2: not so'",
        ),
        ("print(1)  # 1: it is\n1 / 0\n", 'page.md", line 5'),
    ],
)
def test_a_wrong_block_is_noticed(code: str, says: str, tmp_path: Path) -> None:
    """The check above can fail: by an exception, and by a comment that is not true."""
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```python\n{code}```\n")
    done = run_blocks([page], tmp_path)
    assert done.returncode == 1
    assert says in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_resolve(page: Path) -> None:
    """Each link to a file or a heading of this repository leads to one."""
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: for a file, and for a heading."""
    page = tmp_path / "page.md"
    page.write_text("# One `b`, two\n[a](#one-b-two) [b](#none) [c](page.md#x) ![d](d.png) [e](s:)")
    assert broken_links(page) == ["#none", "page.md#x", "d.png"]


def test_the_readmes_two_commands() -> None:
    """Each is one line that installs; the example, its option and the extra exist."""
    blocks = [match[2] for match in BLOCK.finditer(DOCS["README.md"]) if match[1] == "sh"]
    assert [block.count("\n") for block in blocks] == [1, 1]
    assert all(
        block.startswith("python3 -m venv .venv && .venv/bin/pip install ") for block in blocks
    )
    example, *options = blocks[0].split(" .venv/bin/python ")[1].split()
    assert (ROOT / example).is_file()
    sources = "".join(file.read_text("utf-8") for file in (ROOT / "examples").glob("*.py"))
    assert all(f'"{option}"' in sources for option in options if option.startswith("--"))
    (extra,) = re.findall(r'-e "\.\[(\w+)\]"', blocks[1])
    assert blocks[1].endswith("-m pytest\n")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "pytest" in setup["options.extras_require"][extra]
