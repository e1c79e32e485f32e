"""What is left at the end, in plain text."""

from __future__ import annotations

import functools
from pathlib import Path

import tbwatch
from tbwatch.testing import make_record
from tbwatch.verdict import ranked, report
from tests import alert_cases

make_alert = functools.partial(alert_cases.make_alert, message="It is still.", remedy="Wake it.")


def test_the_gravest_first_then_the_oldest() -> None:
    """Severity, then the update since when it holds; the order given settles the rest."""
    alerts = [
        make_alert(severity=severity, first_seen=first, diagnosis=f"d{number}")
        for number, (severity, first) in enumerate(
            [("info", 1), ("warning", 9), ("critical", 30), ("warning", 5), ("critical", 30)]
        )
    ]
    assert [alert.diagnosis for alert in ranked(alerts)] == ["d2", "d4", "d3", "d1", "d0"]


def test_a_numbered_list_with_remedies() -> None:
    """Head, message and remedy of what holds; then what was cleared in the meantime."""
    holding = [
        make_alert(variables=tuple("abcdef"), first_seen=12),
        make_alert(severity="critical", diagnosis="nonfinite", variables=("loss",), first_seen=40),
    ]
    cleared = make_alert(state="cleared", diagnosis="dead_relu", first_seen=3, last_seen=9)
    assert report(holding, [*holding, cleared]).splitlines() == [
        "1. critical nonfinite, since update 40: loss",
        "   It is still.",
        "   -> Wake it.",
        "2. warning zero_gradient, since update 12: a, b, c, d and 2 more",
        "   It is still.",
        "   -> Wake it.",
        "Cleared in the meantime: dead_relu (updates 3-9).",
    ]


def test_nothing_found_and_nothing_left() -> None:
    """Two different things."""
    assert report([], []) == "No alerts: nothing that tbwatch looks for was found."
    frozen = [f"h{number}/kernel" for number in range(6)]
    assert report([], [], frozen=frozen).splitlines()[1:] == [
        "Not trained, by trainable=False: h0/kernel, h1/kernel, h2/kernel, h3/kernel and 2 more."
    ]
    raised = make_alert()
    assert report([], [raised, make_alert(state="cleared")]).splitlines() == [
        "Nothing is left of what was found.",
        "Cleared in the meantime: zero_gradient (updates 10-30).",
    ]


def test_a_name_with_a_line_break_stays_on_its_line() -> None:
    """Names come from users."""
    (head, *_) = report([make_alert(variables=("a\n/kernel\u2028x",))], []).splitlines()
    assert head == "1. warning zero_gradient, since update 10: a /kernel x"


def test_no_remedy_no_arrow() -> None:
    """A function that gave a sentence has no advice."""
    for width in (0, 100):
        assert "->" not in report([make_alert(remedy="")], [], width=width)


def test_long_texts_are_wrapped() -> None:
    """To the width, indented, without losing a word; 0 leaves lines as they are."""
    names = tuple(f"block/with_a_long_name_{n}/kernel" for n in range(4))
    long = report([make_alert(variables=names)], [], width=60).splitlines()
    assert max(map(len, long)) <= 60
    assert all(name in " ".join(long) for name in names)
    message = "The gradient is exactly zero for all of its elements. " * 4
    alert = make_alert(message=message, remedy=message)
    lines = report([alert], [], width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert len(lines) > 8
    assert all(line.startswith("   ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()).count(message.strip()) == 2
    assert len(report([alert], [], width=0).splitlines()) == 3


def test_a_run_that_can_hardly_be_judged_yet_is_not_called_well(tmp_path: Path) -> None:
    """Few updates, or nobody who judges them, are told beside "No alerts"."""
    watch = tbwatch.DeadUpdateDetector(tmp_path, threshold=1e-8)
    notes = {}
    for step in range(1, 31):
        watch.judge(make_record(step))
        notes[step] = [note for note in watch.notes if "so far" in note]
    assert notes[1] == ["1 update so far, and most rules wait for 20"]
    assert notes[19] == ["19 updates so far, and most rules wait for 20"]
    assert notes[20] == notes[30] == []
    (judge, *_) = tbwatch.Watch(tmp_path, detectors=[]).members()
    judge.judge(make_record(1))
    assert judge.notes == ["no detector was at work"]
