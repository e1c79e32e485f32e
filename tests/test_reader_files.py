"""Reading alerts, and several files of one run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbwatch.reader import read_run
from tests import event_files as ef


def test_the_last_list_of_alerts_counts(tmp_path: Path) -> None:
    """The list is written anew when it changes; every field comes back, infinity too."""
    first = ef.alert_json(step=1)
    second = ef.alert_json(step=2, variables=["b", "a"], value="nan", severity="warning")
    events = ef.simple_events([1, 2, 3], "a")
    events.insert(2, ef.event(1, [ef.alerts_value([first])]))
    events.insert(4, ef.event(2, [ef.alerts_value([first, second], first=False)]))
    ef.write(tmp_path, events)
    run = read_run(tmp_path)
    alerts = run.alerts
    assert [alert.step for alert in alerts] == [1, 2]
    assert [record.quantity("update_ratio")[0] for record in run.records] == [1, 2, 3]
    assert alerts[0].to_json() == first
    assert (alerts[1].variables, alerts[1].severity) == (("b", "a"), "warning")
    assert np.isnan(alerts[1].value)


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ({"rule": "dead_update"}, "alert left out: not a tbwatch alert"),
        (ef.alert_json(severity="fatal"), "alert left out: not a tbwatch alert"),
        ("text", "alert left out: not a tbwatch alert"),
        (ef.alert_json(wall_time=float("inf")), "alert left out: its wall_time is not finite"),
    ],
)
def test_a_bad_alert_is_left_out_alone(entry: object, note: str, tmp_path: Path) -> None:
    """The other alerts of the list are read."""
    alerts = ef.alerts_value([ef.alert_json(step=1), entry, ef.alert_json(step=2)])
    ef.write(tmp_path, [*ef.simple_events([1], "a"), ef.event(1, [alerts])])
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [1, 2]
    assert note in run.notes[0]


@pytest.mark.parametrize(
    "tensor", ["{", "{}", b"\xff\xfe", "[" * 100_000, 1.5, np.array(["[]", "[]"])]
)
def test_a_list_of_alerts_that_is_none_is_noted(tensor: object, tmp_path: Path) -> None:
    """Broken text keeps the list before it."""
    events = ef.simple_events([1], "a")
    events.append(ef.event(1, [ef.alerts_value([ef.alert_json(step=1)])]))
    events.append(ef.event(2, [ef.value("tbwatch/alerts", tensor)]))
    ef.write(tmp_path, events)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [1]
    assert "list of alerts left out" in run.notes[0]


def test_an_alert_holds_until_it_is_cleared(tmp_path: Path) -> None:
    """`holding` follows raised, worsened and cleared per variable; another diagnosis replaces."""

    def alert(step: int, state: str, *variables: str, **fields: str) -> dict:
        return ef.alert_json(step=step, state=state, variables=list(variables), **fields)

    alerts = [
        alert(1, "raised", "a", "b", severity="warning"),
        alert(2, "worsened", "a"),
        alert(2, "raised", "c"),
        alert(3, "cleared", "b", severity="warning"),
        alert(4, "raised", "c", diagnosis="decay_only"),
        alert(5, "cleared", "c", diagnosis="zero_gradient"),
    ]
    ef.write(tmp_path, [*ef.simple_events([5], "a"), ef.event(5, [ef.alerts_value(alerts)])])
    holding = read_run(tmp_path).holding
    assert {name: (a.step, a.diagnosis) for name, a in holding.items()} == {
        "a": (2, "zero_gradient"),
        "c": (4, "decay_only"),
    }


# ------------------------------------------------------------------ several files of one run


def test_files_are_read_in_the_order_of_their_creation(tmp_path: Path) -> None:
    """By the time in the name as a number, then by the counter as a number."""
    for time, number, steps in [("999.5", 3, [1, 2]), (1000, 9, [3, 4]), (1000, 10, [4, 5])]:
        ef.write(tmp_path, ef.simple_events(steps, "a", "b"), time, number)
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 2, 3, 4, 5]
    assert run.steps == [1, 2, 3, 4, 5]


def test_a_restarted_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    """Records at later steps are gone at once, not only those at the same steps."""
    ef.write(tmp_path, ef.simple_events([1, 2, 3, 4, 5, 6], "old"), 1000)
    ef.write(tmp_path, ef.simple_events([3, 5], "new"), 1001)
    run = read_run(tmp_path)
    assert [record.step for record in run.records] == [1, 2, 3, 5]
    assert [record.layout.names[0] for record in run.records] == ["old", "old", "new", "new"]
    assert run.steps == [1, 2, 3, 5]


def alerts_file(steps: list[int], *alerts: dict) -> list[bytes]:
    """A file with records at some steps and one list of alerts at the end, if there are any."""
    events = ef.simple_events(steps, "a/kernel")
    return [*events, ef.event(steps[-1], [ef.alerts_value(alerts)])] if alerts else events


def test_a_restart_evicts_the_alerts_of_what_it_repeats(tmp_path: Path) -> None:
    """A run that is trained again without a fault is a run without that fault."""
    old = [ef.alert_json(step=2), ef.alert_json(step=5)]
    ef.write(tmp_path, alerts_file([1, 2, 3, 4, 5], *old), 1000)
    ef.write(tmp_path, alerts_file([4, 5, 6]), 1001)
    assert [alert.step for alert in read_run(tmp_path).alerts] == [2]
    ef.write(tmp_path, alerts_file([1, 2, 3]), 1002)
    assert read_run(tmp_path).alerts == []


def test_alerts_of_two_fits_in_a_row_are_joined(tmp_path: Path) -> None:
    """Each file has its own list; one that repeats the list before it doubles nothing."""
    first, second = ef.alert_json(step=2), ef.alert_json(step=5, variables=["b/kernel"])
    ef.write(tmp_path, alerts_file([1, 2, 3], first), 1000)
    ef.write(tmp_path, alerts_file([4, 5, 6], second), 1001)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [2, 5]
    assert list(run.holding) == ["b/kernel"]  # the second fit judged afresh
    ef.write(tmp_path, alerts_file([7], first, second), 1002)
    run = read_run(tmp_path)
    assert [alert.step for alert in run.alerts] == [2, 5]
    assert list(run.holding) == ["a/kernel", "b/kernel"]


def test_a_new_file_without_anything_in_it_changes_nothing(tmp_path: Path) -> None:
    """A `fit` that has just begun has opened its file, but judged nothing yet."""
    ef.write(tmp_path, alerts_file([1, 2], ef.alert_json(step=2)), 1000)
    ef.write(tmp_path, [ef.version_event()], 1001)
    run = read_run(tmp_path)
    assert (run.steps, list(run.holding), len(run.alerts)) == ([1, 2], ["a/kernel"], 1)


def test_damage_in_one_file_leaves_the_others_alone(tmp_path: Path) -> None:
    """The note names the file."""
    first = ef.write(tmp_path, ef.simple_events([1, 2], "a"), 1000)
    first.write_bytes(first.read_bytes()[:-1])
    ef.write(tmp_path, ef.simple_events([3], "a"), 1001)
    run = read_run(tmp_path)
    assert run.steps == [1, 3]
    assert [note.split(":")[0] for note in run.notes] == [first.name]


def test_last_only_keeps_the_last_record_and_all_steps(tmp_path: Path) -> None:
    """The last one that holds quantities stays too, if the very last one holds none."""
    ef.write(tmp_path, ef.simple_events([1, 2, 3], "a"), 1000)
    run = read_run(tmp_path, last_only=True)
    assert [record.step for record in run.records] == [3]
    assert run.steps == [1, 2, 3]
    layout = ef.layout_json("a")
    events = ef.simple_events([4], "a")
    events += [ef.event(n, ef.record_values(layout, {}, first=False)) for n in (5, 6)]
    ef.write(tmp_path, events, 1001)
    run = read_run(tmp_path, last_only=True)
    assert [record.step for record in run.records] == [4, 6]
    assert run.steps == [1, 2, 3, 4, 5, 6]
    assert [record.step for record in read_run(tmp_path).records] == [1, 2, 3, 4, 5, 6]
