"""From findings that hold to alerts that say what changed."""

from __future__ import annotations

import pytest

from tbwatch.alert_book import AlertBook
from tbwatch.alerts import Alert, Finding
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import A, B

LAYOUT = make_layout("a/kernel", "b/kernel", "c/kernel")


def finding(variable: str = "a/kernel", **fields) -> Finding:
    """A finding of which the test names what matters."""
    defaults = {
        "rule": "dead_update",
        "diagnosis": "zero_gradient",
        "severity": "warning",
        "message": f"{variable} is still.",
        "value": 0.5,
        "threshold": 1e-7,
        "remedy": "Wake it.",
    }
    return Finding(variable=variable, **{**defaults, **fields})


def told(book: AlertBook, step: int, *findings: Finding) -> list[tuple[str, str, tuple[str, ...]]]:
    """State, diagnosis and variables of the new alerts of a record."""
    new = book.update(make_record(step, LAYOUT, epoch=step // 10), list(findings))
    return [(alert.state, alert.diagnosis, alert.variables) for alert in new]


def test_a_level_is_told_once() -> None:
    """A finding that holds for 10000 records makes one alert, whatever its numbers do."""
    book = AlertBook()
    for step in range(1, 10_001):
        book.update(make_record(step, LAYOUT), [finding(value=float(step), message=f"{step}")])
    assert [(alert.step, alert.state) for alert in book.alerts] == [(1, "raised")]
    assert [(f.variable, f.value) for f in book.active] == [("a/kernel", 10_000.0)]


def test_the_end_is_told_once() -> None:
    """What no longer holds is cleared, with its last numbers and its time; then it may return."""
    book = AlertBook()
    told(book, 3, finding(value=1.0))
    told(book, 5, finding(value=2.0, evidence={"share": 0.25}))
    assert told(book, 8) == [("cleared", "zero_gradient", A)]
    cleared = book.alerts[-1]
    assert (cleared.step, cleared.first_seen, cleared.last_seen) == (8, 3, 5)
    assert (cleared.value, cleared.evidence) == (2.0, {"share": 0.25})
    assert book.active == []
    assert told(book, 9) == []
    assert told(book, 10, finding()) == [("raised", "zero_gradient", A)]
    assert book.alerts[-1].first_seen == 10
    assert [alert.step for alert in book.alerts] == [3, 8, 10]


def test_first_seen_counts_the_records_behind_the_verdict() -> None:
    """A detector that waited for its third record has seen it since the first of them."""
    book = AlertBook()
    told(book, 4)
    told(book, 6)
    told(book, 9, finding(samples=3, since=4))
    assert (book.alerts[0].step, book.alerts[0].first_seen) == (9, 4)


def test_worse_is_told_better_is_not() -> None:
    """A higher severity worsens the alert, which keeps the time since when it holds."""
    book = AlertBook()
    told(book, 1, finding(severity="info"))
    assert told(book, 2, finding(severity="critical")) == [("worsened", "zero_gradient", A)]
    worsened = book.alerts[-1]
    assert (worsened.severity, worsened.first_seen, worsened.last_seen) == ("critical", 1, 2)
    assert told(book, 3, finding(severity="critical")) == []
    assert told(book, 4, finding(severity="warning")) == []
    assert told(book, 5, finding(severity="critical")) == []


def test_another_diagnosis_is_raised_anew() -> None:
    """The cause has another name: only that is told, counted from now; the end, of both."""
    book = AlertBook()
    told(book, 1, finding(severity="critical"))
    later = told(book, 2, finding(diagnosis="dead_update", severity="info"))
    assert later == [("raised", "dead_update", A)]
    assert (book.alerts[-1].first_seen, book.alerts[-1].severity) == (2, "info")
    assert [f.diagnosis for f in book.active] == ["dead_update"]
    assert told(book, 3) == [("cleared", "zero_gradient", A), ("cleared", "dead_update", A)]


def test_a_name_that_flickers_is_told_once() -> None:
    """Two diagnoses in turn for one variable: each is raised once, and cleared at the end."""
    book = AlertBook()
    one, other = finding(), finding(diagnosis="dead_update")
    new = [told(book, step, one if step % 2 else other) for step in range(1, 101)]
    assert new[:2] == [[("raised", "zero_gradient", A)], [("raised", "dead_update", A)]]
    assert new[2:] == [[]] * 98
    assert sorted(told(book, 101)) == [
        ("cleared", "dead_update", A),
        ("cleared", "zero_gradient", A),
    ]
    assert told(book, 102, one) == [("raised", "zero_gradient", A)]


def test_what_is_well_again_is_cleared_although_others_are_not() -> None:
    """Another name for one of two variables, and the other one has recovered."""
    book = AlertBook()
    told(book, 1, finding(), finding("b/kernel"))
    new = told(book, 2, finding(diagnosis="dead_update"))
    assert new == [("cleared", "zero_gradient", A + B), ("raised", "dead_update", A)]


def test_what_worsens_under_another_name_is_told() -> None:
    """A diagnosis that comes back graver than it was last told is news."""
    book = AlertBook()
    told(book, 1, finding(severity="info"))
    told(book, 2, finding(diagnosis="dead_update"))
    back = told(book, 3, finding(severity="critical"))
    assert back == [("worsened", "zero_gradient", A)]


def test_the_first_finding_has_the_word() -> None:
    """One diagnosis per variable: later ones in the list are dropped, and come up if it goes."""
    book = AlertBook()
    nan, dead = finding(rule="nonfinite", diagnosis="nan"), finding()
    assert told(book, 1, nan, dead) == [("raised", "nan", A)]
    assert told(book, 2, nan, dead) == []
    assert told(book, 3, dead) == [("raised", "zero_gradient", A)]
    assert [f.diagnosis for f in book.active] == ["zero_gradient"]


def test_one_alert_speaks_for_all_variables_of_a_cause() -> None:
    """In forward order, with the numbers of the first and the gravest severity among them."""
    book = AlertBook()
    together = [finding(name, value=float(ord(name[0]))) for name in ("c/kernel", "a/kernel")]
    together.append(finding("b/kernel", severity="critical"))
    names = ("a/kernel", "b/kernel", "c/kernel")
    assert told(book, 1, *together) == [("raised", "zero_gradient", names)]
    (alert,) = book.alerts
    assert (alert.value, alert.message, alert.severity) == (97.0, "a/kernel is still.", "critical")


@pytest.mark.parametrize(("change", "other"), [("rule", "nonfinite"), ("diagnosis", "nan")])
def test_each_cause_keeps_alerts_apart(change: str, other: str) -> None:
    """Same record, other rule or diagnosis: two alerts."""
    findings = finding("a/kernel"), finding("b/kernel", **{change: other})
    assert [names for _, _, names in told(AlertBook(), 1, *findings)] == [A, ("b/kernel",)]


def _spread(counts: list[int]) -> list[tuple[int, str, int]]:
    """Step, state and number of variables of the alerts, for that many sick ones at each step."""
    layout = make_layout(*(f"{n:02}/kernel" for n in range(16)))
    book = AlertBook()
    for step, count in enumerate(counts, 1):
        book.update(make_record(step, layout), [finding(name) for name in layout.names[:count]])
    return [(alert.step, alert.state, len(alert.variables)) for alert in book.alerts]


@pytest.mark.parametrize(
    ("counts", "events"),
    [
        (
            [1, 2, 3, 4, 7, 8],
            [(1, "raised", 1), (2, "worsened", 2), (4, "worsened", 4), (6, "worsened", 8)],
        ),
        ([4, 3, 1, 4, 7], [(1, "raised", 4)]),
        ([4, 1, 8], [(1, "raised", 4), (3, "worsened", 8)]),
        (
            [3, 5, 6, 0, 2],
            [(1, "raised", 3), (3, "worsened", 6), (4, "cleared", 6), (5, "raised", 2)],
        ),
    ],
)
def test_a_spread_is_told_when_it_has_doubled(
    counts: list[int], events: list[tuple[int, str, int]]
) -> None:
    """Beside the number of variables last told; those that leave make no alert, the last does."""
    assert _spread(counts) == events


def test_who_leaves_is_not_in_the_end() -> None:
    """Cleared is told of those that were sick to the end, since the first of all was."""
    book = AlertBook()
    told(book, 1, finding("b/kernel"))
    assert told(book, 4, finding("b/kernel"), finding("a/kernel")) == [
        ("worsened", "zero_gradient", ("a/kernel", "b/kernel"))
    ]
    assert told(book, 5, finding("a/kernel")) == []
    assert told(book, 6) == [("cleared", "zero_gradient", A)]
    assert (book.alerts[-1].first_seen, book.alerts[-1].last_seen) == (1, 5)


def test_followers_are_listed_behind_the_sick() -> None:
    """What only suffers from another variable stands behind it, whatever the forward order."""
    book = AlertBook()
    symptoms = [finding(name, follows=True) for name in ("b/kernel", "a/kernel")]
    assert told(book, 1, *symptoms, finding("c/kernel")) == [
        ("raised", "zero_gradient", ("c/kernel", "a/kernel", "b/kernel"))
    ]
    assert book.alerts[0].message == "c/kernel is still."


def test_what_was_not_asked_goes_on() -> None:
    """With `keep_others` a cause without findings neither ends nor is told again."""
    book = AlertBook()
    told(book, 1, finding("a/kernel"))
    nan = finding("b/kernel", rule="nonfinite", diagnosis="nan")
    new = book.update(make_record(2, LAYOUT), [nan], keep_others=True)
    assert [(alert.state, alert.diagnosis) for alert in new] == [("raised", "nan")]
    assert {f.variable for f in book.active} == {"a/kernel", "b/kernel"}
    assert told(book, 3, finding("a/kernel"), nan) == []
    assert told(book, 4, nan) == [("cleared", "zero_gradient", A)]
    assert book.alerts[-1].last_seen == 3


def test_holding_has_todays_numbers() -> None:
    """One alert per cause that holds, with the latest variables; asking changes nothing."""
    book = AlertBook()
    told(book, 1, finding("b/kernel", value=1.0))
    told(book, 2, finding("b/kernel", value=2.0), finding("c/kernel", diagnosis="nan"))
    told(book, 3, finding("b/kernel", value=3.0))
    record = make_record(3, LAYOUT)
    for _ in range(2):
        (alert,) = book.holding(record)
        assert (alert.diagnosis, alert.variables, alert.value) == ("zero_gradient", B, 3.0)
        assert (alert.state, alert.first_seen, alert.last_seen) == ("raised", 1, 3)
    assert len(book.alerts) == 3
    told(book, 4)
    assert book.holding(record) == []


def test_the_loss_comes_after_all_variables() -> None:
    """In forward order the loss is last, so the first variable is what the alert is named after."""
    alerts = told(AlertBook(), 1, finding("loss"), finding("a/kernel"))
    assert alerts == [("raised", "zero_gradient", ("a/kernel", "loss"))]


def test_an_alert_says_all_that_finding_and_record_know() -> None:
    """Every field arrives; a later change of the evidence does not."""
    evidence = {"share": 0.5, "cause": "relu"}
    book = AlertBook()
    (alert,) = book.update(
        make_record(25, LAYOUT, epoch=2, wall_time=12.5),
        [finding(evidence=evidence, samples=3, severity="critical")],
    )
    evidence["share"] = 9.0
    assert alert == Alert(
        rule="dead_update",
        diagnosis="zero_gradient",
        severity="critical",
        state="raised",
        variables=A,
        message="a/kernel is still.",
        value=0.5,
        threshold=1e-7,
        remedy="Wake it.",
        step=25,
        epoch=2,
        first_seen=25,
        last_seen=25,
        wall_time=12.5,
        samples=3,
        evidence={"share": 0.5, "cause": "relu"},
    )
