"""The panel of detectors: what is judged, in which order, and what goes on if one fails."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from tbwatch.alerts import Finding
from tbwatch.detectors import DETECTORS, ORDER, Detector, VariableRule
from tbwatch.detectors.facts import Facts
from tbwatch.judging import Panel
from tbwatch.layout import WatchedActivation
from tbwatch.record import Record
from tbwatch.testing import make_layout, make_record
from tests.detectors.series import STILL, ZERO, series

LAYOUT = make_layout("a/kernel", "b/kernel")


class Scripted:
    """Finds what it is told, by update."""

    def __init__(
        self, name: str, *steps: int, variable: str = "a/kernel", **fields: object
    ) -> None:
        self.name, self.steps, self.variable, self.fields = name, steps, variable, fields
        self.resets = 0

    def update(self, record: Record) -> list[Finding]:
        """One finding at these updates."""
        if record.step not in self.steps:
            return []
        defaults = {"severity": "warning", "message": "M.", "value": 1.0, "threshold": 0.0}
        words = {**defaults, "remedy": "R.", "diagnosis": self.name, **self.fields}
        return [Finding(rule=self.name, variable=self.variable, **words)]

    def reset(self) -> None:
        """Count it."""
        self.resets += 1


class Broken(Scripted):
    """Raises at its updates."""

    def update(self, record: Record) -> list[Finding]:
        """Fail."""
        if record.step in self.steps:
            raise RuntimeError(f"at {record.step}")
        return []


def judged(panel: Panel, records: list[Record]) -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Update, state, diagnosis and variables of the new alerts at each record."""
    return [
        (alert.step, alert.state, alert.diagnosis, alert.variables)
        for record in records
        for alert in panel.update(record)
    ]


def test_all_detectors_by_default() -> None:
    """In the order of their table, which holds the order of diagnosis."""
    names = [detector.name for detector in Panel().detectors]
    assert names == list(DETECTORS)
    rules = [rule.name for rule in ORDER]
    assert [name for name in names if name in rules] == rules


def test_one_diagnosis_per_variable() -> None:
    """Zero gradients, still weights and a stuck update are one thing: that which stands first."""
    told = judged(Panel(), series(60, layout=LAYOUT, **ZERO))
    assert told == [(21, "raised", "zero_gradient", LAYOUT.names)]


def test_the_first_detector_of_a_variable_has_the_word() -> None:
    """Other detectors come in the order given, before the rules about variables."""
    records = [make_record(1)]
    a, b = Scripted("one", 1, variable="dense/kernel"), Scripted("two", 1, variable="dense/kernel")
    assert [alert.diagnosis for alert in Panel([a, b]).update(records[0])] == ["one"]
    assert [alert.diagnosis for alert in Panel([b, a]).update(records[0])] == ["two"]
    late = Scripted("mine", 25, 26, 27, variable="dense/kernel")
    told = judged(Panel(["dead_update", late]), series(30, **STILL))
    assert [event[:3] for event in told] == [
        (21, "raised", "dead_update"),
        (25, "raised", "mine"),
    ]


def test_rules_keep_their_order_whatever_is_given() -> None:
    """Chosen rules are asked in the order in which they were given."""
    records = series(40, **ZERO)
    first = judged(Panel(["zero_gradient", "dead_update"]), records)
    assert [event[2] for event in first] == ["zero_gradient"]
    second = judged(Panel(["dead_update", "zero_gradient"]), records)
    assert [event[2] for event in second] == ["dead_update"]


def test_nonfinite_freezes_the_rest() -> None:
    """While there is NaN nothing else is raised or cleared; afterwards the verdicts go on."""
    panel = Panel(["nonfinite", "dead_update", Scripted("mine", *range(26, 33))])
    layout = make_layout("a/kernel", "b/kernel", "c/kernel")
    still = {"update_ratio": [1e-9, 1e-3, 1e-3], "window_change": [1e-9, 1e-3, 1e-3]}
    lost = {"gradient_nonfinite": [0, 0, 1], "update_ratio": math.nan}
    again = {"gradient_nonfinite": 0, **still}
    records = series(60, layout=layout, **still, changes={25: lost, 30: again})
    a, c = ("a/kernel",), ("c/kernel",)
    assert judged(panel, records) == [
        (21, "raised", "dead_update", a),
        (25, "raised", "nonfinite", c),
        # 30, 31 and 32 are finite: at the third of them the others are heard again.
        (32, "cleared", "nonfinite", c),
        (32, "raised", "mine", a),
    ]


def test_a_detector_that_fails_is_reported() -> None:
    """Each time, with the exception; the others go on, before it and behind it."""
    reports: list[tuple[str, str]] = []

    def on_error(detector: Detector, error: Exception) -> None:
        reports.append((detector.name, str(error)))

    first, last = Scripted("first", 2), Scripted("last", 3, variable="b/kernel")
    panel = Panel([first, Broken("broken", 2, 3), last], on_error=on_error)
    told = judged(panel, [make_record(step, LAYOUT) for step in range(1, 5)])
    assert reports == [("broken", "at 2"), ("broken", "at 3")]
    assert told == [
        (2, "raised", "first", ("a/kernel",)),
        (3, "cleared", "first", ("a/kernel",)),
        (3, "raised", "last", ("b/kernel",)),
        (4, "cleared", "last", ("b/kernel",)),
    ]


def test_without_a_listener_the_exception_comes_out() -> None:
    """As tests of detectors want it."""
    with pytest.raises(RuntimeError, match="at 1"):
        Panel(Broken("broken", 1)).update(make_record(1))


@pytest.mark.parametrize("how", ["is_first", "backwards"])
def test_another_run_begins_anew(how: str) -> None:
    """Its first record, or one of an earlier update: counts, alerts and detectors start over."""
    own = Scripted("own")
    panel = Panel(["dead_update", own])
    resets = own.resets
    assert panel.is_fresh
    judged(panel, series(30, **STILL))
    assert len(panel.alerts) == len(panel.active) == 1
    assert not panel.is_fresh
    first = 31 if how == "is_first" else 10
    again = series(first + 25, first=first, **STILL)
    again[0] = dataclasses.replace(again[0], is_first=how == "is_first")
    assert panel.update(again[0]) == []
    assert (panel.alerts, panel.active, own.resets) == ([], [], resets + 1)
    assert judged(panel, again[1:]) == [(first + 20, "raised", "dead_update", ("dense/kernel",))]


def test_the_same_step_twice_is_no_step_back() -> None:
    """The end of a fit repeats the number of its last sample."""
    panel = Panel("dead_update")
    judged(panel, series(30, **STILL))
    panel.update(make_record(30, quantities={}, is_last=True))
    assert [alert.step for alert in panel.alerts] == [21]
    assert [finding.variable for finding in panel.active] == ["dense/kernel"]


def test_selects_by_name() -> None:
    """Variables that are not wanted make no alert; what is said of the loss or a layer stays."""
    panel = Panel(
        [
            "dead_update",
            Scripted("loss", 25, variable="loss"),
            Scripted("unit", 26, variable="a/activation"),
        ],
        selects=lambda name: name.startswith("b"),
    )
    layout = make_layout(
        "a/kernel", "b/kernel", activations=[WatchedActivation("a", "a", "relu", units=8)]
    )
    told = judged(panel, series(30, layout=layout, **STILL))
    assert [event[2:] for event in told if event[1] == "raised"] == [
        ("dead_update", ("b/kernel",)),
        ("loss", ("loss",)),
        ("unit", ("a/activation",)),
    ]


def test_holding() -> None:
    """One alert for each cause that holds, with the numbers of the last record."""
    panel = Panel(["dead_update"])
    assert panel.holding() == []
    judged(panel, series(40, layout=LAYOUT, **STILL, changes={35: {"update_ratio": 2e-9}}))
    (alert,) = panel.holding()
    assert (alert.diagnosis, alert.variables, alert.last_seen) == ("dead_update", LAYOUT.names, 40)
    assert alert.value == pytest.approx(2e-9)
    assert panel.alerts[0].value == pytest.approx(1e-9)
    judged(panel, series(50, first=41, layout=LAYOUT))
    assert panel.holding() == []


def test_rules_share_what_is_known_of_the_run() -> None:
    """A rule chosen alone says the same as among all the others."""
    rng = np.random.default_rng(0)
    losses = [*[1.0] * 10, *rng.normal(2.0, 1e-3, 190)]
    records = [make_record(s, loss=x, update_ratio=0.3) for s, x in enumerate(losses, 1)]
    alone, among_all = (judged(Panel(chosen), records) for chosen in ("update_too_large", None))
    assert alone == [event for event in among_all if event[2] == "update_too_large"] != []


@pytest.mark.parametrize(
    ("chosen", "error"),
    [("frozen", ValueError), (["nonfinite", 3], TypeError), ([Scripted], TypeError)],
)
def test_wrong_detectors(chosen: object, error: type[Exception]) -> None:
    """At once, not at the first record."""
    with pytest.raises(error):
        Panel(chosen)  # type: ignore[arg-type]


def test_a_variable_rule_that_raises_does_not_silence_the_others() -> None:
    """It is reported, record by record, and the rules behind it have the word."""

    class Failing(VariableRule):
        name = "broken"

        def holds(self, record: Record, facts: Facts) -> np.ndarray:
            raise RuntimeError("mine")

    told: list[str] = []
    still = {"update_ratio": 1e-9, "window_change": 1e-9}
    records = [make_record(step, **still) for step in range(1, 30)]
    panel = Panel([Failing(), "dead_update"], on_error=lambda d, e: told.append(f"{d.name}: {e}"))
    for record in records:
        panel.update(record)
    assert told == ["broken: mine"] * 29
    assert [(alert.step, alert.diagnosis) for alert in panel.alerts] == [(21, "dead_update")]
    with pytest.raises(RuntimeError, match="mine"):
        Panel([Failing()]).update(records[0])


class Returning:
    """Returns what it is told."""

    name = "mine"

    def __init__(self, returned: object) -> None:
        self.returned = returned

    def update(self, record: Record) -> Any:
        """The same at every record."""
        return self.returned

    def reset(self) -> None:
        """Nothing to forget."""


@pytest.mark.parametrize(
    ("detector", "says"),
    [
        (Returning(["a sentence"]), "must return a list of Findings; got 'a sentence'"),
        (Returning(None), "must return a list of Findings; got None"),
        (Scripted("mine", 1, severity="error"), "severity must be one of 'info', 'warning'"),
        (Scripted("mine", 1, value=None), "value must be a number; got None"),
        (Scripted("mine", 1, evidence={"n": (3, 4)}), "evidence 'n' must be a number; got (3, 4)"),
        (Scripted("mine", 1, message=b"B"), "message must be a text; got b'B'"),
        (Scripted("mine", 1, evidence=3), "evidence must be a mapping of names; got 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_finding_is_reported_and_the_others_go_on(detector: Any, says: str) -> None:
    """It never reaches the book of alerts, where it would stop all that comes after it."""
    told: list[str] = []
    panel = Panel([detector, "dead_update"], on_error=lambda d, e: told.append(f"{d.name}: {e}"))
    alerts = judged(panel, series(30, **STILL))
    assert [event[:3] for event in alerts] == [(21, "raised", "dead_update")]
    assert told[0].startswith("mine: ")
    assert says in told[0]


class Wordy(VariableRule):
    """Holds always, and names a number that there is not."""

    name = "wordy"
    message = "{no_such_evidence}"

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Of the first variable."""
        return np.arange(len(record.layout)) == 0


class Grave(Wordy):
    """Of a severity that there is not."""

    name = "grave"
    message = "M."
    severity = "fatal"


@pytest.mark.parametrize(("rule", "says"), [(Wordy, "no_such_evidence"), (Grave, "'fatal'")])
def test_a_rule_that_cannot_be_put_into_words_is_reported(
    rule: type[VariableRule], says: str
) -> None:
    """And silences nobody."""
    told: list[str] = []
    panel = Panel([rule(), "dead_update"], on_error=lambda d, e: told.append(f"{d.name}: {e}"))
    layout = make_layout("a/kernel", "b/kernel")
    still = {"update_ratio": [1e-3, 1e-9], "window_change": [1e-3, 1e-9]}
    alerts = judged(panel, series(30, layout=layout, **still))
    assert alerts == [(21, "raised", "dead_update", ("b/kernel",))]
    assert says in told[0]
    with pytest.raises((KeyError, ValueError)):
        judged(Panel([rule()]), series(30, layout=layout, **still))
