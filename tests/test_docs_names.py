"""The documentation leaves out no name: public ones, quantities, commands, tags and modules."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tbwatch
from tbwatch import cli_parser, format
from tbwatch.alerts import STATES
from tbwatch.detectors import DETECTORS
from tbwatch.histogram import MAGNITUDES
from tbwatch.quantities import ACTIVATION_NAMES, NAMES
from tbwatch.record import UPDATE_VALUES
from tests import program
from tests.doc_pages import BLOCK, DOCS, ROOT


def code_in(text: str) -> str:
    """All fenced blocks and code spans of a page."""
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return "\n".join([*(match[2] for match in BLOCK.finditer(text)), *spans])


def missing(names: Iterable[str], text: str) -> list[str]:
    """Those that do not occur as whole words."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


def test_public_names_are_documented() -> None:
    """Each public name occurs as code on some page."""
    assert missing(tbwatch.__all__, "\n".join(map(code_in, DOCS.values()))) == []


def test_quantities_are_documented() -> None:
    """Each has a row of its own."""
    rows = re.findall(r"^\| `(\w+)` \|", DOCS["quantities.md"], re.MULTILINE)
    assert [row for row in rows if row in NAMES] == list(NAMES)
    assert [row for row in rows if row in ACTIVATION_NAMES] == list(ACTIVATION_NAMES)


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
