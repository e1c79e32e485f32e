"""The worked examples for contributors work: their changes apply, their commands pass."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import program

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"^```sh\npython -m pytest -n0 (.*)\n```$", re.MULTILINE)

# Runs pytest with these arguments and then a program, in one process: TensorFlow is imported once.
DRIVER = """
import json, sys
import pytest

arguments, program = json.loads(sys.argv[1])
exit_code = pytest.main(["-n0", *arguments])
if exit_code:
    sys.exit(int(exit_code))
exec(program, {"__name__": "__main__"})
"""
# What is new, seen from outside: prints one line of JSON.
NEW_DETECTOR = """
import json
from tbwatch.detectors import make_detectors
from tbwatch.testing import make_record, run

small = {"weight_norm": 0.06, "decay_cosine": 0.9}
records = [make_record(step, **(small if step >= 30 else {})) for step in range(1, 61)]
names = [detector.name for detector in make_detectors(None)]
alerts = [(alert.step, alert.state, alert.diagnosis) for alert in run(None, records)]
print(json.dumps([names.count("weight_collapse"), alerts]))
"""
NEW_QUANTITY = """
import json
import numpy as np
import keras, tbwatch
from tbwatch.reader import read_run

model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, name="out")])
model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
kernel = np.ones((8, 2), "float32")
kernel[:3] = 0.0
model.layers[0].set_weights([kernel, np.zeros(2, "float32")])
x = np.ones((16, 8), "float32")
model.fit(x, x[:, :2], batch_size=8, verbose=0, callbacks=[tbwatch.Watch("logs")])
print(json.dumps(read_run("logs").records[0].quantity("weight_zero_fraction").tolist()))
"""
NEW_SINK = """
import json
import numpy as np
import keras, tbwatch
from tbwatch.sinks import JsonLines

model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, name="out")])
model.compile("sgd", "mse", jit_compile=False)
x = np.ones((48, 8), "float32")
ill = lambda record: "it is ill." if record.step == 3 else None
watch = tbwatch.Watch("logs", detectors=[ill], on_alert=JsonLines("alerts.jsonl"))
model.fit(x, x[:, :1], batch_size=8, verbose=0, callbacks=[watch])
lines = [json.loads(line) for line in open("alerts.jsonl", encoding="utf-8")]
assert lines == [alert.to_json() for alert in watch.alerts]
print(json.dumps([[line["step"], line["state"]] for line in lines]))
"""
PAGES = {
    "add_a_detector.md": (NEW_DETECTOR, [1, [[32, "raised", "weight_collapse"]]]),
    "add_a_quantity.md": (NEW_QUANTITY, [0.375, 1.0]),
    "add_a_sink.md": (NEW_SINK, [[3, "raised"], [4, "cleared"]]),
}


def arguments_of(page: str) -> list[str]:
    """What the one command of a page gives to pytest."""
    (arguments,) = COMMAND.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    return shlex.split(arguments)


def run_in(
    copy: Path,
    *command: str,
    start: Callable[..., subprocess.CompletedProcess[str]] = program.run_fresh,
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a copy of the repository, whose files are the ones it imports."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    own = {"PYTHONPATH": str(copy), "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    done = start(command, cwd=copy, env=inherited | own)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(name="copy")
def _copy(tmp_path: Path) -> Path:
    """The files that git knows, as they are now."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and the repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_worked_example(page: str, copy: Path) -> None:
    """The page applies as a patch, is clean, passes its tests, and what it adds is there."""
    shown, expected = PAGES[page]
    run_in(copy, "git", "apply", str(ROOT / "docs" / page))
    run_in(copy, sys.executable, "-m", "ruff", "check", ".")
    run_in(copy, sys.executable, "-m", "ruff", "format", "--check", ".")
    driven = json.dumps([arguments_of(page), shown])
    said = run_in(copy, sys.executable, "-c", DRIVER, driven, start=program.run).stdout
    assert re.search(r"\b[1-9]\d* passed", said)
    assert json.loads(said.splitlines()[-1]) == expected


def test_the_pages_are_linked() -> None:
    """A contributor finds them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [page for page in PAGES if f"](docs/{page})" not in text] == []


def test_the_commands_for_contributors_are_those_of_ci() -> None:
    """Lint, types and docs, to the letter; all tests, as the README has them."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rows = dict(re.findall(r"^\| (lint|types|docs|all tests) \| `([^`]+)` \|", page, re.MULTILINE))
    assert sorted(rows) == ["all tests", "docs", "lint", "types"]
    of_ci = (ROOT / ".ci" / "run").read_text().replace(" -q ", " ")
    for what in ("lint", "types", "docs"):
        for command in rows[what].split(" && "):
            assert f".venv/bin/{command}\n" in of_ci
    readme = (ROOT / "README.md").read_text()
    assert f".venv/bin/{rows['all tests']}\n" in readme
