"""`tbwatch alerts`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import event_files as ef
from tests.command_line import Printed, process, squeezed, write_documented_runs, write_run


def test_alerts_are_a_table_with_a_count(tbwatch: Printed, tmp_path: Path) -> None:
    """Run, update, severity, state, diagnosis, variables, message; the remedy; what was cleared."""
    write_documented_runs(tmp_path)
    status, out, err = tbwatch("alerts", tmp_path)
    assert (status, err) == (0, [])
    assert [squeezed(line) for line in out if not line.startswith("   ")] == [
        "run update severity state diagnosis variables message",
        "run1 30 warning raised update_too_small conv1/kernel update_ratio is 3e-07.",
        "run1 60 warning cleared update_too_small conv1/kernel held until update 50",
        "run1 60 critical raised zero_gradient dense/kernel gradient_norm is 0.",
        "run10 40 critical raised zero_gradient dense/kernel, conv1/bias and 1 more "
        "gradient_norm is 0.",
        "2 runs, 3 alerts (2 critical, 1 warning)",
    ]
    column = out[0].index("message")
    assert out[1].index("update_ratio is") == out[3].index("held") == column
    assert [line for line in out if line.startswith("   ")] == [
        "    -> Raise the learning rate.",
        "    -> Look for a ReLU that is never active.",
        "    -> Look for a ReLU that is never active.",
    ]


def test_a_run_without_alerts_says_so(tbwatch: Printed, tmp_path: Path) -> None:
    """One line, and no failure whatever is asked for."""
    write_run(tmp_path / "a")
    assert tbwatch("alerts", tmp_path / "a") == (0, ["No alerts in 1 run."], [])
    write_run(tmp_path / "b")
    status, out, _ = tbwatch("alerts", tmp_path, "--fail-on", "info")
    assert (status, out) == (0, ["No alerts in 2 runs."])


@pytest.mark.parametrize(
    ("severities", "fail_on", "status"),
    [
        (["info"], None, 0),
        (["critical"], None, 0),
        (["info"], "info", 1),
        (["info"], "warning", 0),
        (["info", "warning"], "warning", 1),
        (["warning"], "critical", 0),
        (["critical"], "info", 1),
        (["critical"], "warning", 1),
        (["critical"], "critical", 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_fail_on_sets_the_exit_status(
    severities: list[str],
    fail_on: str | None,
    status: int,
    as_json: bool,
    tbwatch: Printed,
    tmp_path: Path,
) -> None:
    """1 for that severity or a graver one in any run, and the output is the same."""
    write_run(tmp_path / "fine")
    write_run(tmp_path / "sick", *[ef.alert_json(severity=severity) for severity in severities])
    options = ["--json"] if as_json else []
    plain = tbwatch("alerts", tmp_path, *options)
    asked = tbwatch("alerts", tmp_path, *options, *(["--fail-on", fail_on] if fail_on else []))
    assert plain[0] == 0
    assert asked == (status, *plain[1:])


def test_fail_on_counts_what_was_cleared_and_what_worsened(
    tbwatch: Printed, tmp_path: Path
) -> None:
    """A fault that was got over did happen; its end is no fault of its own."""
    raised = ef.alert_json(severity="warning")
    cleared = ef.alert_json(severity="warning", state="cleared", step=40)
    write_run(tmp_path / "both", raised, cleared)
    assert tbwatch("alerts", tmp_path / "both", "--fail-on", "warning")[0] == 1
    write_run(tmp_path / "end", ef.alert_json(state="cleared"))
    assert tbwatch("alerts", tmp_path / "end", "--fail-on", "info")[0] == 0
    write_run(tmp_path / "worse", raised, ef.alert_json(state="worsened", step=40))
    assert tbwatch("alerts", tmp_path / "worse", "--fail-on", "critical")[0] == 1


def test_alerts_as_json_are_complete(tbwatch: Printed, tmp_path: Path) -> None:
    """Every field of every alert, by run; a reader in another language needs no NaN."""
    alert = ef.alert_json(variables=["x", "y", "z"], value="nan")
    write_run(tmp_path / "a", alert)
    path = write_run(tmp_path / "b")
    path.write_bytes(path.read_bytes()[:-1])
    status, out, err = tbwatch("alerts", tmp_path, "--json")
    data = json.loads("\n".join(out), parse_constant=pytest.fail)
    note = data["runs"][1].pop("notes")
    assert data["runs"] == [
        {"run": "a", "path": str(tmp_path / "a"), "alerts": [alert], "notes": []},
        {"run": "b", "path": str(tmp_path / "b"), "alerts": []},
    ]
    assert status == 0
    assert err == [f"tbwatch: note: {tmp_path / 'b'}: {note[0]}"]


@pytest.mark.parametrize("columns", [60, 100, 140])
def test_the_table_keeps_to_the_terminal(columns: int, tbwatch: Printed, tmp_path: Path) -> None:
    """Long texts are wrapped, beside the columns or below them, and lose no word."""
    message = "The gradient is exactly zero for all of its elements. " * 3
    remedy = "Look for a ReLU that is never active, or lower the learning rate. " * 3
    write_run(tmp_path, ef.alert_json(message=message, remedy=remedy))
    _, out, _ = tbwatch("alerts", tmp_path, columns=columns)
    assert max(map(len, out[2:])) <= columns
    assert len(out) > 6
    words = " ".join(" ".join(out).split())
    assert " ".join(remedy.split()) in words
    assert words.count("exactly zero") == 3
    assert ("message" in out[0]) is (columns == 140)


def test_a_pipe_has_no_width_unless_one_is_set(tmp_path: Path) -> None:
    """For `grep`, a message stays on one line; `COLUMNS` decides where it is set."""
    message = "The gradient is exactly zero for all of its elements. " * 3
    write_run(tmp_path, ef.alert_json(message=message))
    environment = os.environ | {"COLUMNS": ""}
    piped = process("alerts", tmp_path, env=environment).stdout.splitlines()
    assert piped[1].endswith(squeezed(message))
    environment["COLUMNS"] = "70"
    lines = process("alerts", tmp_path, env=environment).stdout.splitlines()
    assert max(map(len, lines[2:-1])) <= 70
    assert len(lines) > len(piped)
