"""The documentation: its programs run, its links lead somewhere, and it leaves out no name."""

from __future__ import annotations

import argparse
import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tbwatch
from tbwatch import cli_parser, format
from tbwatch.alerts import SEVERITIES, STATES
from tbwatch.detectors import DETECTORS, DIAGNOSES, ORDER, VariableRule
from tbwatch.histogram import MAGNITUDES
from tbwatch.quantities import ACTIVATION_NAMES, NAMES
from tbwatch.record import UPDATE_VALUES
from tbwatch.testing import make_record, run
from tests import event_files, program
from tests.alert_cases import make_alert
from tests.board import write_run
from tests.detectors.test_contract import SICK

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

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


def code_in(text: str) -> str:
    """All fenced blocks and code spans of a page."""
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return "\n".join([*(match[2] for match in BLOCK.finditer(text)), *spans])


def anchors(text: str) -> set[str]:
    """Anchors of the headings: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(names: Iterable[str], text: str) -> list[str]:
    """Those that do not occur as whole words."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


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


DOCS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
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


def test_public_names_are_documented() -> None:
    """Each public name occurs as code on some page."""
    assert missing(tbwatch.__all__, "\n".join(map(code_in, DOCS.values()))) == []


def test_quantities_are_documented() -> None:
    """Each has a row of its own."""
    rows = re.findall(r"^\| `(\w+)` \|", DOCS["quantities.md"], re.MULTILINE)
    assert [row for row in rows if row in NAMES] == list(NAMES)
    assert [row for row in rows if row in ACTIVATION_NAMES] == list(ACTIVATION_NAMES)


# Each diagnosis with the rule that gives it.
RULES = {**{name: name for name in DETECTORS}, "learning_rate_too_low": "loss_stuck"}
# What one wants to know of a diagnosis, in the order of a page.
SECTIONS = [
    "In a real run",
    "Remedy",
    "Test",
    "Not to be confused with",
    "Source",
    "Parameters",
    "How to silence it honestly",
]
ALERT_PICTURES = ROOT / "docs" / "images" / "alerts"


def page_of(diagnosis: str) -> str:
    """The text that the link of an alert leads to."""
    return (ROOT / make_alert(diagnosis=diagnosis).link).read_text(encoding="utf-8")


def severities_of(page: str) -> set[str]:
    """Those that the first paragraph below the title names."""
    first = page.partition("\n\n")[2].partition("\n\n")[0]
    return set(re.findall(r"\*\*(info|warning|critical)\*\*", first))


def numbers() -> dict[str, dict[str, object]]:
    """What the programs of the pictures gave, by diagnosis."""
    return json.loads((ALERT_PICTURES / "alerts.json").read_text(encoding="utf-8"))


def test_every_diagnosis_has_a_rule() -> None:
    """The table above leaves none out."""
    assert sorted(RULES) == sorted(DIAGNOSES)


@pytest.mark.parametrize("diagnosis", RULES)
def test_diagnoses_are_documented(diagnosis: str) -> None:
    """Each has a page with its name, its severity, its parameters, and all one wants to know."""
    rule, page = RULES[diagnosis], page_of(diagnosis)
    detector = DETECTORS[rule]()
    assert page.partition("\n\n")[2].startswith(f"`{diagnosis}`, **")
    severities = severities_of(page)
    if isinstance(detector, VariableRule):
        assert severities == {detector.severity}
    else:
        assert {alert.severity for alert in run(DETECTORS[rule](), SICK[rule])} <= severities
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings == SECTIONS
    texts = re.split(r"^## .+\n", page, flags=re.MULTILINE)[1:]
    assert [text for text in texts if len(text.strip()) < 20] == []
    assert f"\n`{detector!r}`\n" in page


@pytest.mark.parametrize("diagnosis", RULES)
def test_the_page_of_a_diagnosis_tells_of_a_real_run(diagnosis: str) -> None:
    """The alert and its numbers are those of alerts.json; a picture with a description is there."""
    from docs.pictures import pages
    from docs.pictures.programs import PROGRAMS

    page, found = page_of(diagnosis), numbers()[diagnosis]
    assert pages.written(page) == pages.section(PROGRAMS[diagnosis], found)
    severity = str(found["severity"])
    assert severity in severities_of(page)
    start = f"{severity.upper()} {diagnosis} (raised) at update {found['update']}: "
    assert str(found["text"]).startswith(start)
    assert f"\n{found['text']}\n" in page
    pictures = re.findall(r"!\[([^\]]+)\]\(\.\./images/alerts/(\w+)\.png\)", page)
    assert [name for _, name in pictures] == [diagnosis]
    assert len(pictures[0][0]) > 60, "says what is to be seen"
    assert (ALERT_PICTURES / f"{diagnosis}.png").stat().st_size < 120_000


def test_nothing_in_the_folder_of_alerts_is_left_over() -> None:
    """Each picture, page, program and set of numbers belongs to a diagnosis."""
    from docs.pictures.programs import PROGRAMS

    assert {file.stem for file in ALERT_PICTURES.glob("*.png")} == set(RULES)
    assert {file.stem for file in (ROOT / "docs" / "alerts").glob("*")} == set(RULES)
    assert set(numbers()) == set(PROGRAMS) == set(RULES)


QUICK = ["not_connected", "output_mismatch", "nonfinite"]


def test_programs_of_the_pictures_get_their_diagnosis(tmp_path: Path) -> None:
    """Three of them are trained: the alert comes with the fault, at its update, and not without."""
    code = f"""
import json
from docs.pictures.digits import digits
from docs.pictures.programs import PROGRAMS
from docs.pictures.training import RUNS, entry, train
from pathlib import Path
data = digits()
for name in {QUICK}:
    for run, faulty in RUNS.items():
        train(PROGRAMS[name], faulty, data, Path(name) / run)
    found = entry(PROGRAMS[name], Path(name), "digits")
    print(json.dumps([name, found["severity"], found["update"], found["runs"]["fixed"]["alerts"]]))
"""
    done = program.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    known = numbers()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[n, known[n]["severity"], known[n]["update"], []] for n in QUICK]


def test_a_program_without_its_diagnosis_is_noticed(tmp_path: Path) -> None:
    """No alert, or the alert without the fault too, is an error that says what was said."""
    from docs.pictures.program import Program
    from docs.pictures.training import entry

    records, alert = [make_record(1), make_record(2)], make_alert(variables=("dense/kernel",))
    program = Program("zero_gradient", lambda *_: None, "update_ratio")
    write_run(tmp_path / "faulty", records)
    write_run(tmp_path / "fixed", records, [alert])
    with pytest.raises(ValueError, match="no such alert; tbwatch said nothing"):
        entry(program, tmp_path, "")
    (tmp_path / "fixed").rename(tmp_path / "kept")
    (tmp_path / "faulty").rename(tmp_path / "fixed")
    (tmp_path / "kept").rename(tmp_path / "faulty")
    assert entry(program, tmp_path, "")["text"] == str(alert)
    write_run(tmp_path / "fixed", records, [alert])
    with pytest.raises(ValueError, match="raised without the fault"):
        entry(program, tmp_path, "")


def test_pictures_without_a_browser_are_refused_in_a_sentence(monkeypatch, capsys) -> None:
    """Before anything is trained."""
    from docs.pictures import __main__ as pictures
    from tests import browser

    monkeypatch.setattr(browser, "DRIVER", "")
    monkeypatch.setattr(pictures, "train", None)
    assert pictures.main(["--only", "not_connected"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("pictures need Chromium and its chromedriver on the PATH")


def test_the_order_of_diagnosis_is_documented() -> None:
    """The rows of its table are the rules in their order, and each other rule stands below."""
    text = DOCS["alerts.md"].partition("\n## The order of diagnosis\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE)
    assert rows[: len(ORDER)] == [rule.name for rule in ORDER]
    linked = re.findall(r"\[`(\w+)`\]\(alerts/(\w+)\.md\)", text)
    assert all(name == file for name, file in linked)
    assert sorted(name for name, _ in linked) == sorted(DETECTORS)


def test_all_diagnoses_are_in_one_table() -> None:
    """Each with a link to its page, the gravest severity that this names, and its meaning."""
    text = DOCS["alerts.md"].partition("\n## All diagnoses\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`(\w+)`\]\(alerts/(\w+)\.md\) \| (\w+) \| (.+) \|$", text, re.M)
    assert sorted(name for name, *_ in rows) == sorted(RULES)
    for name, file, severity, meaning in rows:
        assert file == name
        assert severity == max(severities_of(page_of(name)), key=SEVERITIES.index)
        assert 4 <= len(meaning.split()) <= 7


def test_states_are_documented() -> None:
    """Each has a row of its own."""
    table = DOCS["alerts.md"].partition("\n| state | when |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(STATES)


def test_detectors_are_documented() -> None:
    """Each name that `detectors=` takes occurs as code."""
    assert missing(DETECTORS, code_in(DOCS["alerts.md"])) == []


def test_commands_are_documented() -> None:
    """Each sub-command occurs with the program's name, and each option of one."""
    (commands,) = (
        action
        for action in cli_parser.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    assert commands.choices
    code = code_in(DOCS["command_line.md"])
    assert missing([f"tbwatch {name}" for name in commands.choices], code) == []
    for parser in commands.choices.values():
        options = [option for action in parser._actions for option in action.option_strings]
        assert missing([option for option in options if option not in ("-h", "--help")], code) == []


def test_tags_are_documented(tmp_path: Path) -> None:
    """Every tag that a faulty run with a convolution writes is in the table of tags."""
    done = program.run(
        [sys.executable, "-c", WRITES_EVERYTHING],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    accumulator = EventAccumulator(str(tmp_path / "logs" / "tbwatch"))
    accumulator.Reload()
    tags = accumulator.Tags()
    written = {tag for kind in ("scalars", "images", "tensors") for tag in tags[kind]}
    general = {
        re.sub(
            r"^(activations)/.*",
            r"\1/<activation>",
            re.sub(r"conv1/(kernel|bias)$", "<variable>", tag),
        ).replace("conv1", "<layer>")
        for tag in written
        if not tag.startswith("tbwatch/")
    }
    table = DOCS["quantities.md"].partition("\n## Tags\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    documented = {tag for row in rows for tag in re.findall(r"`([^`]+)`", row)}
    assert general == documented - {"tbwatch/..."}


def test_packed_series_are_documented() -> None:
    """Each that is not of one quantity has a row, with the number of its columns."""
    table = DOCS["quantities.md"].partition("\n## The packed series\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(tbwatch/\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert set(rows) == {tag for name, tag in vars(format).items() if name.endswith("_TAG")}
    assert rows[format.UPDATE_TAG].startswith(f"float32 `[{len(UPDATE_VALUES)}]`: ")
    assert f"`[V, {MAGNITUDES}]`" in rows[format.MAGNITUDES_TAG]


WRITES_EVERYTHING = """
import keras, numpy as np, tbwatch

layers = keras.layers
conv = layers.Conv2D(2, 3, name="conv1", bias_initializer=keras.initializers.Constant(-100.0))
model = keras.Sequential([keras.Input((6, 6, 1)), conv, layers.ReLU(), layers.Flatten()])
model.compile("sgd", "mse")
x = np.random.default_rng(0).normal(size=(120, 6, 6, 1)).astype("float32")
watch = tbwatch.Watch("logs", flight_recorder=5)
model.fit(x, np.ones((120, 32)), batch_size=4, verbose=0, callbacks=[watch])
assert watch.alerts
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_resolve(page: Path) -> None:
    """Each link to a file or a heading of this repository leads to one."""
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: for a file, and for a heading."""
    page = tmp_path / "page.md"
    page.write_text("# One `b`, two\n[a](#one-b-two) [b](#none) [c](page.md#x) ![d](d.png) [e](s:)")
    assert broken_links(page) == ["#none", "page.md#x", "d.png"]


def test_a_missing_name_is_noticed() -> None:
    """The check of names can fail: prose and parts of longer names do not count."""
    page = "Watch it with `WatchAll` or `tbwatch.Alert`.\n```python\nRecord(1)\n```\n"
    assert missing(["Watch", "Alert", "Record"], code_in(page)) == ["Watch"]


def test_architecture_names_existing_files_and_no_module_is_forgotten() -> None:
    """Each module is in the table of files, or its package is."""
    named = set(re.findall(r"`(\w+/|\w+\.py)`", DOCS["architecture.md"]))
    package = ROOT / "tbwatch"
    assert [name for name in named if not (package / name).exists()] == []
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py", "_version.py"}
    folders = {f"{file.parent.name}/" for file in package.glob("*/__init__.py")}
    assert (modules | folders) - named == set()


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
