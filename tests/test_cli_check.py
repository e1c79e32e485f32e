"""`tbwatch check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import event_files as ef
from tests.command_line import Printed, squeezed


def write_judged_run(run: Path, updates: int = 40, falling: float = 0.9) -> None:
    """Kernel a learns, kernel b moves by 1e-6 of its size per update, c by 1e-9; no alerts.

    Args:
        run: its directory.
        updates: how many.
        falling: what each multiplies the loss with.
    """
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
        update = ef.DEFAULTS | {"loss": falling**step}
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


@pytest.mark.parametrize(("severity", "status"), [("critical", 0), ("warning", 1), ("info", 1)])
def test_check_lets_lighter_alerts_pass(
    severity: str, status: int, tbwatch: Printed, tmp_path: Path
) -> None:
    """A warning is printed, and fails only where warnings are asked for."""
    write_judged_run(tmp_path / "r", falling=1.0)
    options = ["--detectors", "update_too_small", "--fail-on", severity]
    found, out, _ = tbwatch("check", tmp_path / "r", *options)
    assert (found, out[-1]) == (status, "1 run, 1 alert (1 warning)")


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
