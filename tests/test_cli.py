"""The command line, run in this process or as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tbwatch import cli, format
from tbwatch.cli import main
from tests import event_files as ef

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "command_line.md"

Printed = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def tbwatch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Runs the command line: exit status, lines of stdout, lines of stderr; no terminal."""

    def call(*arguments: object, columns: int = 0) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(cli, "_width", lambda: columns)
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return call


def process(
    *arguments: object, prelude: str = "", **options: object
) -> subprocess.CompletedProcess:
    """The command line in a fresh interpreter, which then prints the modules it has loaded."""
    program = f"""if True:
        {prelude}
        import sys
        from tbwatch.cli import main
        status = main(sys.argv[1:])
        print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}}))
        sys.exit(status)
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def loaded(finished: subprocess.CompletedProcess) -> set[str]:
    """Top-level modules that the process had loaded at its end."""
    return set(finished.stdout.splitlines()[-1].removeprefix("loaded:").split())


def write_run(
    run: Path, *alerts: dict, steps: range = range(10, 61, 10), names: tuple = ("a/kernel",)
) -> Path:
    """A run with records of some variables and a list of alerts."""
    events = ef.simple_events(steps, *names)
    if alerts:
        events.append(ef.event(steps[-1], [ef.alerts_value(alerts)]))
    return ef.write(run, events)


def write_documented_runs(logs: Path) -> None:
    """The two runs of which the documentation shows the output."""
    slow = ef.alert_json(
        diagnosis="update_too_small",
        severity="warning",
        variables=["conv1/kernel"],
        message="update_ratio is 3e-07.",
        remedy="Raise the learning rate.",
    )
    dead = ef.alert_json(step=40, variables=["dense/kernel", "conv1/bias", "conv1/kernel"])
    layout = ef.layout_json(
        "conv1/kernel",
        "conv1/bias",
        "dense/kernel",
        "aux/kernel",
        connected=["conv1/kernel", "conv1/bias", "dense/kernel"],
        frozen=["embedding/table"],
    )
    quantities = {
        "weight_norm": [20, 0.1, 30, np.nan],
        "gradient_norm": [0.5, 0.125, 0, np.nan],
        "gradient_zero_fraction": [0, 0, 1, np.nan],
        "update_norm": [0.02, 1.25e-5, 0, np.nan],
        "update_ratio": [0.001, 1.25e-4, 0, np.nan],
        "window_change": [0.004, 1.25e-4, 0, np.nan],
        "weight_nonfinite": [0, 0, 0, np.nan],
    }
    events = [ef.version_event()]
    for step in range(10, 61, 10):
        update = ef.DEFAULTS | {"epoch": step // 40}
        values = ef.record_values(layout, quantities, update, first=step == 10)
        events.append(ef.event(step, values))
    cleared = slow | {"state": "cleared", "step": 60, "last_seen": 50}
    late = ef.alert_json(step=60, variables=["dense/kernel"])
    events.append(ef.event(60, [ef.alerts_value([slow, cleared, late])]))
    ef.write(logs / "run1", events)
    write_run(logs / "run10", dead)


def write_documented_flight(run: Path) -> None:
    """A run whose flight recorder kept three updates: number, loss, gradient and weight norms."""
    names = ["conv1/kernel", "fc1/kernel"]
    table = [
        [-2, 1.059, 1.348, 2.01, 1, 1],
        [-1, 0.9312, 1.202, 1.71, 1, 1],
        [0, np.nan, np.nan, np.nan, 1, 1],
    ]
    kept = ef.value(
        "tbwatch/flight", np.array(table, np.float32), ef.metadata("flight", variables=names)
    )
    alerts = ef.alerts_value([ef.alert_json(step=31, diagnosis="nonfinite", variables=["loss"])])
    ef.write(run, [*ef.simple_events([31], *names), ef.event(31, [alerts, kept])])


def squeezed(line: str) -> str:
    """A line with single blanks."""
    return " ".join(line.split())


# --- lightness


@pytest.mark.parametrize("command", ["alerts", "check", "summary"])
def test_neither_tensorflow_nor_keras_is_loaded(command: str, tmp_path: Path) -> None:
    """The command line starts fast because the heavy packages stay out of it."""
    write_run(tmp_path, ef.alert_json())
    finished = process(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "tbwatch" in loaded(finished)
    assert not loaded(finished) & {"tensorflow", "keras", "tf_keras"}


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_the_check_for_heavy_packages_can_fail(package: str, tmp_path: Path) -> None:
    """It sees an import that goes by way of another module; a stand-in keeps this test quick."""
    write_run(tmp_path / "logs")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / "by_way_of.py").write_text(f"import {package}")
    prelude = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import by_way_of"
    assert package in loaded(process("alerts", tmp_path / "logs", prelude=prelude))


# --- tbwatch alerts


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


# --- tbwatch check


def write_judged_run(run: Path, updates: int = 40) -> None:
    """Kernel a learns, kernel b moves by 1e-6 of its size per update, c by 1e-9; no alerts."""
    layout = ef.layout_json("a/kernel", "b/kernel", "c/kernel")
    ratios = [1e-3, 1e-6, 1e-9]
    quantities = {
        "weight_norm": [1, 1, 1],
        "gradient_norm": [0.1, 0.1, 0.1],
        "update_norm": ratios,
        "update_ratio": ratios,
        "window_change": ratios,
    }
    events = [ef.version_event()]
    for step in range(1, updates + 1):
        update = ef.DEFAULTS | {"loss": 0.9**step}
        values = ef.record_values(layout, quantities, update, first=step == 1)
        events.append(ef.event(step, values))
    ef.write(run, events)


def checked(data: str) -> list[tuple[str, int, str, list[str]]]:
    """Run, update, diagnosis and variables of the alerts in JSON output."""
    return [
        (run["run"], alert["step"], alert["diagnosis"], alert["variables"])
        for run in json.loads(data)["runs"]
        for alert in run["alerts"]
    ]


def test_check_judges_anew(tbwatch: Printed, tmp_path: Path) -> None:
    """From the records alone, with all of them: what the file says of alerts does not count."""
    write_judged_run(tmp_path / "r")
    wrong = ef.alert_json(step=40, diagnosis="nonfinite", variables=["a/kernel"])
    ef.write(
        tmp_path / "r", [ef.version_event(), ef.event(40, [ef.alerts_value([wrong])])], number=1
    )
    assert tbwatch("alerts", tmp_path / "r")[1][-1] == "1 run, 1 alert (1 critical)"
    status, out, err = tbwatch("check", tmp_path / "r", "--detectors", "dead_update")
    assert (status, err) == (0, [])
    assert squeezed(out[1]).startswith("r 21 critical raised dead_update c/kernel one update")
    assert out[-1] == "1 run, 1 alert (1 critical)"


def test_check_with_another_threshold(tbwatch: Printed, tmp_path: Path) -> None:
    """Each setting reaches its rule; the variables in alerts change with it."""
    write_judged_run(tmp_path / "r")
    base = ["check", tmp_path / "r", "--json", "--detectors", "dead_update"]

    def told(*options: str) -> list[tuple[str, int, str, list[str]]]:
        return checked("\n".join(tbwatch(*base, *options)[1]))

    assert told() == [("r", 21, "dead_update", ["c/kernel"])]
    assert told("--set", "dead_update.threshold=1e-5") == [
        ("r", 21, "dead_update", ["b/kernel", "c/kernel"])
    ]
    both = ("--set", "dead_update.warmup=0", "--set", "dead_update.patience=5")
    assert told(*both) == [("r", 5, "dead_update", ["c/kernel"])]
    assert told("--set", "dead_update.warmup=100") == []


def test_check_takes_a_choice_of_detectors(tbwatch: Printed, tmp_path: Path) -> None:
    """Names with commas and blanks; no names, all of them."""
    write_judged_run(tmp_path / "r")
    for names, lines in (("nonfinite", 1), (" nonfinite , dead_update ", 4)):
        assert len(tbwatch("check", tmp_path / "r", "--detectors", names)[1]) == lines
    assert "dead_update" in "\n".join(tbwatch("check", tmp_path / "r")[1])


def test_check_judges_each_run_by_itself(tbwatch: Printed, tmp_path: Path) -> None:
    """The second of two runs starts with fresh detectors."""
    write_judged_run(tmp_path / "a", updates=30)
    write_judged_run(tmp_path / "b", updates=15)
    write_judged_run(tmp_path / "c", updates=30)
    out = tbwatch("check", tmp_path, "--json", "--detectors", "dead_update")[1]
    assert checked("\n".join(out)) == [
        ("a", 21, "dead_update", ["c/kernel"]),
        ("c", 21, "dead_update", ["c/kernel"]),
    ]


@pytest.mark.parametrize(("severity", "status"), [("critical", 1), ("warning", 1), ("info", 1)])
def test_check_can_fail(severity: str, status: int, tbwatch: Printed, tmp_path: Path) -> None:
    """The exit status follows what is found now, not what was found then."""
    write_judged_run(tmp_path / "r")
    options = ["--detectors", "dead_update", "--fail-on", severity]
    assert tbwatch("check", tmp_path / "r", *options)[0] == status
    options += ["--set", "dead_update.threshold=1e-12"]
    assert tbwatch("check", tmp_path / "r", *options)[0] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--detectors", "frozen"], "there is no rule 'frozen'; there are: nonfinite, "),
        (["--detectors", ","], "--detectors names none"),
        (["--set", "frozen.x=1"], "there is no rule 'frozen'; there are: nonfinite, "),
        (["--set", "dead_update.x=1"], "has no parameter 'x'; it has: threshold (1e-07), "),
        (["--set", "dead_update"], "write RULE.PARAMETER=VALUE"),
        (["--set", "dead_update.threshold=2"], "must be a number between 0 and 1; got 2."),
        (["--set", "dead_update.threshold='x'"], "must be a number between 0 and 1; got 'x'."),
        (["--set", "dead_update.threshold=x"], "is no number"),
    ],
)
def test_check_says_what_there_is(
    options: list[str], says: str, tbwatch: Printed, tmp_path: Path
) -> None:
    """Status 2 and one sentence, before anything is read."""
    status, out, err = tbwatch("check", tmp_path / "nix", *options)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("tbwatch: error: ")
    assert says in err[0]


# --- tbwatch summary


def test_summary_is_a_line_per_variable(tbwatch: Printed, tmp_path: Path) -> None:
    """Norms, ratios and verdict of the last record, in forward order, under a line for the run."""
    write_documented_runs(tmp_path)
    status, out, err = tbwatch("summary", tmp_path / "run1")
    assert (status, err) == (0, [])
    assert out[0] == "run1: update 60 (epoch 1), learning rate 0.001, loss 0.25, 6 records"
    assert [squeezed(line) for line in out[1:]] == [
        "variable weight gradient update update window verdict",
        "norm norm norm ratio change",
        "conv1/kernel 20 0.5 0.02 0.001 0.004 ok",
        "conv1/bias 0.1 0.125 1.25e-05 0.000125 0.000125 ok",
        "dense/kernel 30 0 0 0 0 zero_gradient (critical)",
        "aux/kernel - - - - - not connected",
        "frozen: embedding/table",
        "what is left, the gravest first:",
        "1. critical zero_gradient, since update 10: dense/kernel",
        "gradient_norm is 0.",
        "-> Look for a ReLU that is never active.",
        "Cleared in the meantime: update_too_small (updates 10-50).",
    ]


def test_summary_tells_what_an_update_lacks(tbwatch: Printed, tmp_path: Path) -> None:
    """Non-finite weights, nothing recorded, an unknown rate, and an alert about the loss."""
    layout = ef.layout_json("good", "broken", "silent")
    quantities = {
        "weight_norm": [1, np.nan, np.nan],
        "update_ratio": [np.inf, np.nan, np.nan],
        "weight_nonfinite": [0, 3, np.nan],
    }
    update = ef.DEFAULTS | {"loss": np.nan, "learning_rate": np.nan}
    values = ef.record_values(layout, quantities, update)
    alerts = ef.alerts_value([ef.alert_json(diagnosis="nonfinite", variables=["loss"])])
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(5, values), ef.event(5, [alerts])])
    _, out, _ = tbwatch("summary", tmp_path / "r")
    assert out[0] == "r: update 5 (epoch 0), learning rate unknown, loss nan, 1 record"
    left = out.index("what is left, the gravest first:")
    assert squeezed(out[left + 1]) == "1. critical nonfinite, since update 10: loss"
    assert [squeezed(line) for line in out[3:left]] == [
        "good 1 - - inf - ok",
        "broken - - - - - non-finite weights",
        "silent - - - - - no value",
        "loss - - - - - nonfinite (critical)",
    ]


def test_summary_falls_back_on_the_last_sampled_update(tbwatch: Printed, tmp_path: Path) -> None:
    """A record of the logs alone has no variables to show: those of an earlier one stand in."""
    events = ef.simple_events([10, 20], "a/kernel")
    update = ef.DEFAULTS | {"loss_is_known": 0}
    layout = ef.layout_json("a/kernel")
    events.append(ef.event(27, ef.record_values(layout, {}, ef.DEFAULTS, first=False)))
    ef.write(tmp_path / "r", events)
    _, out, _ = tbwatch("summary", tmp_path / "r")
    assert out[0].endswith("loss 0.25, 3 records, variables as of update 20")
    assert squeezed(out[3]) == "a/kernel - - - 20 - ok"
    events[-1] = ef.event(27, ef.record_values(layout, {}, update))
    ef.write(tmp_path / "r", events)
    assert ", loss unknown, 3 records" in tbwatch("summary", tmp_path / "r")[1][0]


def test_summary_without_records_shows_the_alerts(tbwatch: Printed, tmp_path: Path) -> None:
    """A loss that was NaN before the first sample leaves an alert and nothing else."""
    alerts = ef.alerts_value([ef.alert_json(diagnosis="nonfinite", variables=["loss"])])
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(1, [alerts])])
    status, out, _ = tbwatch("summary", tmp_path / "r")
    assert status == 0
    assert out[0] == "r: no record could be read"
    assert "loss - - - - - nonfinite (critical)" in map(squeezed, out)
    assert tbwatch("summary", tmp_path / "r", "--json")[0] == 0


def test_summary_as_json_holds_all_quantities(tbwatch: Printed, tmp_path: Path) -> None:
    """Numbers as short as float32 is, null for NaN, "inf" for infinity."""
    layout = ef.layout_json("a", frozen=["f"])
    quantities = {"update_ratio": [1e-3], "decay_cosine": [np.nan], "weight_norm": [np.inf]}
    values = ef.record_values(layout, quantities, ef.DEFAULTS | {"loss": np.nan})
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(5, values)])
    _, out, _ = tbwatch("summary", tmp_path / "r", "--json")
    assert json.loads("\n".join(out), parse_constant=pytest.fail) == {
        "runs": [
            {
                "run": "r",
                "path": str(tmp_path / "r"),
                "records": 1,
                "update": 5,
                "epoch": 0,
                "learning_rate": 0.001,
                "loss": None,
                "loss_is_known": True,
                "frozen": ["f"],
                "sampled_update": 5,
                "variables": [
                    {
                        "name": "a",
                        "shape": [3, 2],
                        "verdict": "ok",
                        "update_ratio": 0.001,
                        "decay_cosine": None,
                        "weight_norm": "inf",
                    }
                ],
                "notes": [],
            }
        ]
    }


def test_runs_of_a_tree_are_called_by_their_path(tbwatch: Printed, tmp_path: Path) -> None:
    """Each has its block; a run by itself has its directory's name, one with runs below it `.`."""
    for name in ("a/run10", "a/run9"):
        write_run(tmp_path / name)
    _, out, _ = tbwatch("summary", tmp_path)
    assert [line.split(":")[0] for line in out if "update 60" in line] == ["a/run9", "a/run10"]
    assert out[4:6] == ["", out[5]]
    for given in ("a/run9", "a/run9/tbwatch"):
        assert tbwatch("summary", tmp_path / given)[1][0].startswith("run9: ")
    write_run(tmp_path / "a")
    _, out, _ = tbwatch("summary", tmp_path / "a")
    heads = [line.split(":")[0] for line in out if "update 60" in line]
    assert heads == [".", "run9", "run10"]


# --- errors, notes and hostile names


@pytest.mark.parametrize("command", ["alerts", "check", "summary"])
def test_a_log_directory_that_cannot_be_read_is_one_sentence(
    command: str, tbwatch: Printed, tmp_path: Path
) -> None:
    """Status 2, nothing on stdout, no traceback."""
    file = ef.write(tmp_path / "begun", [ef.version_event()])
    (tmp_path / "empty").mkdir()
    problems = {
        tmp_path / "nix": "does not exist",
        file: "is a file",
        tmp_path / "empty": "holds no tbwatch records",
        tmp_path / "begun": "holds no tbwatch records",
    }
    for path, problem in problems.items():
        status, out, err = tbwatch(command, path)
        assert (status, out, len(err)) == (2, [], 1)
        assert err[0].startswith(f"tbwatch: error: {path} {problem}: give the ")


def test_a_run_that_cannot_be_read_does_not_hide_the_others(
    tbwatch: Printed, tmp_path: Path
) -> None:
    """What was left out is told on stderr, what was read on stdout."""
    write_run(tmp_path / "good")
    torn = write_run(tmp_path / "torn")
    torn.write_bytes(torn.read_bytes()[:-5])
    ef.write(tmp_path / "begun", [ef.version_event()])
    status, out, err = tbwatch("alerts", tmp_path)
    assert (status, out) == (0, ["No alerts in 2 runs."])
    assert [line.split(":")[:2] for line in err] == [["tbwatch", " note"]] * 2
    assert f"{tmp_path / 'begun'} holds no tbwatch records" in err[0]
    assert f"{tmp_path / 'torn'}: {torn.name}: last record cut off after" in err[1]


def test_names_cannot_steer_the_terminal(tbwatch: Printed, tmp_path: Path) -> None:
    """Line breaks, escape codes and direction marks of names and messages are made harmless."""
    name = "a\n/\x1b[31mker\u202enel\x07"
    alert = ef.alert_json(
        variables=[name],
        message="one\ntwo\r\x1b]0;x\x07",
        remedy="\x9b2J",
        diagnosis="d\x00\u2028e",
    )
    write_run(tmp_path / "r\x1b[2J", alert, names=(name,))
    for command in ("alerts", "summary"):
        status, out, err = tbwatch(command, tmp_path)
        assert (status, err) == (0, [])
        text = "\n".join(out)
        assert all(character == "\n" or character.isprintable() for character in text)
        assert "a /?[31mker?nel?" in text
        assert len(out) == (8 if command == "summary" else 4)
    _, out, _ = tbwatch("summary", tmp_path, "--json")
    assert json.loads("\n".join(out))["runs"][0]["variables"][0]["name"] == name
    assert "\x1b" not in "\n".join(out)
    status, out, err = tbwatch("alerts", tmp_path / "n\x1b[2Jo\nne")
    assert (status, out) == (2, [])
    assert "n?[2Jo ne does not exist" in err[0]


def test_plain_keeps_what_can_be_shown() -> None:
    """Letters of any script stay as they are."""
    assert format.plain("Schicht/größe 層 é") == "Schicht/größe 層 é"


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    """Names that its encoding lacks do not end the program."""
    write_run(tmp_path, names=("größe/層",))
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    finished = process("summary", tmp_path, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert r"gr\xf6\xdfe/\u5c64" in finished.stdout


@pytest.mark.parametrize("words", [1, 100_000])
def test_a_closed_pipe_is_no_error(words: int, tmp_path: Path) -> None:
    """As in `tbwatch alerts logs | head`: no traceback, and the status is what it would be.

    Output that fits the buffer fails elsewhere than output that does not.
    """
    write_run(tmp_path, ef.alert_json(message="long " * words))
    command = [sys.executable, "-m", "tbwatch", "alerts", str(tmp_path), "--fail-on", "critical"]
    environment = os.environ | {"PYTHONUNBUFFERED": ""}  # an empty value leaves buffers on
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (1, "")


# --- the program


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m tbwatch` hands arguments over and its status back."""
    write_run(tmp_path, ef.alert_json())
    command = [sys.executable, "-m", "tbwatch", "alerts", str(tmp_path), "--fail-on", "critical"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (1, "")
    assert finished.stdout.endswith("1 run, 1 alert (1 critical)\n")


def test_version_and_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the package's own; no command, no directory, wrong severity: status 2."""
    import tbwatch

    with pytest.raises(SystemExit) as finished:
        main(["--version"])
    assert finished.value.code == 0
    assert capsys.readouterr().out == f"tbwatch {tbwatch.__version__}\n"
    for arguments in ([], ["alerts"], ["alerts", ".", "--fail-on", "fatal"], ["repair", "."]):
        with pytest.raises(SystemExit) as finished:
            main(arguments)
        assert finished.value.code == 2


def test_help_names_every_command_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be run, what comes back, and examples that are right."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+) ", text, re.MULTILINE) == [
        "alerts",
        "check",
        "flight",
        "report",
        "summary",
    ]
    assert re.findall(r"^  (\d)  ", text, re.MULTILINE) == ["0", "1", "2"]
    examples = re.findall(r"^  tbwatch (.+)$", text, re.MULTILINE)
    assert len(examples) == 5
    for example in examples:
        cli._parser().parse_args(example.split())


# --- the documentation


def test_the_documentation_shows_true_output(
    tbwatch: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transcripts are what the program prints."""
    monkeypatch.chdir(tmp_path)
    transcripts = re.findall(r"```text\n\$ tbwatch (.+)\n((?:.*\n)*?)```", DOCS.read_text())
    commands = [command.split()[0] for command, _ in transcripts]
    assert commands == ["alerts", "check", "flight", "report", "summary"]
    for command, shown in transcripts:
        logs = tmp_path / command.split()[0] / "logs"
        write_documented_runs(logs)
        if command.startswith("flight"):
            write_documented_flight(logs / "run2")
        arguments = [logs.parent / a if a.startswith("logs") else a for a in command.split()]
        assert tbwatch(*arguments)[1] == shown.splitlines()


def test_the_documentation_names_every_option() -> None:
    """Each option of each command is on the page, and each word that a verdict can be."""
    text = DOCS.read_text()
    for parser in cli._parser()._subparsers._group_actions[0].choices.values():
        assert parser.prog in text
        for action in parser._actions[1:]:
            assert all(f"[{option}" in text for option in action.option_strings)
    for verdict in ("non-finite weights", "not connected", "no value", "ok"):
        assert f"`{verdict}`" in text


def test_the_documentation_s_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python example prints a line per run."""
    write_documented_runs(tmp_path / "logs")
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n((?:.*\n)*?)```", DOCS.read_text())
    exec(program, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["run1", "60"], ["run10", "60"]]
    assert all(line.endswith("] []") for line in lines)
