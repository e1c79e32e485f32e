"""What must hold of any event file: it is read, or one clear sentence says why not."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path
from random import Random

from tbwatch.cli import main
from tbwatch.reader import ReadError, Run, read_run
from tests.fuzz.bombs import BOMBS
from tests.fuzz.damage import damaged

COMMANDS = ("alerts", "summary", "flight", "check")
NAME = "events.out.tfevents.1000.host7.4711.0.tbwatch"
LONGEST_NOTE = 600


def try_damaged(number: int, seed: int, files: list[bytes], folder: Path) -> None:
    """Damage a file and read it in every way; anything wrong raises.

    One in a thousand is a bomb: small beside what it claims to hold.
    """
    random = Random(f"{seed}/{number}")
    is_bomb = random.random() < 0.001
    data = random.choice(BOMBS)(random) if is_bomb else damaged(files, random)
    run = folder / "tbwatch"
    run.mkdir(exist_ok=True)
    (run / NAME).write_bytes(data)
    later = run / NAME.replace("1000", "2000")
    if random.random() < 0.1:  # what a damaged file says must not spoil what follows it
        later.write_bytes(random.choice(files))
    else:
        later.unlink(missing_ok=True)
    # Judging thousands of records of 50 000 variables takes its time; that is no fault.
    command = [
        random.choice(COMMANDS[: 2 if is_bomb else None]),
        str(folder),
        *random.choice(([], ["--json"])),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try_reading(folder)
        try_command(command)


def try_reading(folder: Path) -> Run | None:
    """Read a run twice; anything but a run and a `ReadError` of one line raises."""
    runs = []
    for last_only in (False, True):
        try:
            runs.append(read_run(folder, last_only=last_only))
        except ReadError as error:
            _check_line(str(error), 25 * LONGEST_NOTE)
    if not runs:
        return None
    whole, last = runs
    assert whole.steps == last.steps == [record.step for record in whole.records]
    assert whole.steps == sorted(whole.steps)
    assert len(last.records) <= 2
    assert repr(whole.alerts) == repr(last.alerts)
    assert whole.notes == last.notes
    for note in whole.notes:
        _check_line(note, LONGEST_NOTE)
    for record in whole.records:
        assert all(len(v) == len(record.layout) for v in record.quantities.values())
        assert all(len(v) == len(record.layout.activations) for v in record.activations.values())
    return whole


def try_command(arguments: list[str]) -> int:
    """Run the command line; its status is 0 or 1 with output, or 2 with one sentence."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    assert status in (0, 1, 2), status
    if status == 2:
        assert out.getvalue() == ""
        assert err.getvalue().startswith("tbwatch: error: ")
        assert err.getvalue().count("\n") == 1
    elif "--json" in arguments:
        json.loads(out.getvalue(), parse_constant=_refuse)
    return status


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def _check_line(text: str, longest: int) -> None:
    assert text, "an empty message"
    assert len(text) <= longest, f"a message of {len(text)} characters: {text[:200]}"
    assert "\n" not in text, f"a message of several lines: {text[:200]!r}"
