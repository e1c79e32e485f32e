"""Judging recorded runs anew."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.detectors import DETECTORS
from tbwatch.events import EventWriter
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.reader import Run, read_run
from tbwatch.record import Record
from tbwatch.replay import chosen_detectors, parameters_of, replayed
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import STILL, series

LAYOUT = make_layout(
    "a/kernel",
    "a/bias",
    "b/kernel",
    activations=[
        WatchedActivation("a", "a", "relu", units=8),
        WatchedActivation("b", "b", "softmax", units=10, is_output=True),
    ],
    setup=Setup("SGD", None, "categorical_crossentropy", 2.302585, global_clipnorm=1e-2),
    regularized=True,
)


def _eventful() -> list[Record]:
    """Records in which many rules have something to say, one after the other."""
    rng = np.random.default_rng(0)
    records = []
    for step in range(1, 400):
        values = {"loss": 2.3 + 0.01 * rng.normal(), "epoch": step // 100, "is_first": step == 1}
        if 40 <= step < 60:
            values["dead_units"] = [1.0, 0.0]
            values["silent_units"] = [1.0, 0.0]
        elif 100 <= step < 130:
            values["update_ratio"] = values["window_change"] = [1e-9, 1e-9, 1e-3]
        elif 150 <= step < 170:
            values["gradient_weight_cosine"] = 0.999
        elif 200 <= step < 203:
            values |= {"loss": np.nan, "gradient_nonfinite": 3}
        elif 240 <= step < 270:
            values |= {"loss": 3.0, "update_ratio": 0.5}
        if step % 7 == 0:
            values |= {"quantities": {}, "activations": {}}
        records.append(make_record(step, LAYOUT, **values))
    records.append(make_record(399, LAYOUT, loss=2.3, epoch=3, quantities={}, is_last=True))
    return records


RECORDS = _eventful()


def _events(alerts: list[Alert]) -> list[tuple[int, str, str, str, tuple[str, ...], int]]:
    return [(a.step, a.state, a.diagnosis, a.severity, a.variables, a.first_seen) for a in alerts]


def _as_run(records: list[Record]) -> Run:
    return Run("r", Path("r"), records, [], {}, [], [record.step for record in records])


def _written(path: Path, records: list[Record]) -> Run:
    writer = EventWriter(str(path))
    for record in records:
        writer.write(record.step, record.wall_time, list(summaries.packed_record(record)))
    writer.close()
    return read_run(path)


def test_the_records_of_these_tests_are_eventful() -> None:
    """They would prove little otherwise."""
    assert {alert.diagnosis for alert in run(None, RECORDS)} >= {
        "dead_relu",
        "dead_update",
        "regularisation_only",
        "nonfinite",
        "update_too_large",
        "loss_stuck",
        "always_clipped",
    }


def test_pickled_records_give_the_same_alerts() -> None:
    """Bit by bit: all that a verdict rests on is in the records."""
    copies = pickle.loads(pickle.dumps(RECORDS))
    live = run(None, RECORDS)
    again = replayed(_as_run(copies), chosen_detectors([], []))
    assert [a.to_json() for a in again.alerts] == [a.to_json() for a in live]


def test_written_records_give_the_same_alerts(tmp_path: Path) -> None:
    """Read back from an event file, where numbers are float32."""
    read = _written(tmp_path, RECORDS)
    assert len(read.records) == len(RECORDS)
    again = replayed(read, chosen_detectors([], []))
    live = run(None, RECORDS)
    assert _events(again.alerts) == _events(live)
    for mine, theirs in zip(again.alerts, live, strict=True):
        assert mine.value == pytest.approx(theirs.value, rel=1e-5)


def test_replaying_twice_changes_nothing() -> None:
    """Neither the run that is given nor the detectors' next verdict."""
    recorded = _as_run(series(60, layout=LAYOUT, **STILL))
    detectors = chosen_detectors(["dead_update"], [])
    first, second = replayed(recorded, detectors), replayed(recorded, detectors)
    assert _events(first.alerts) == _events(second.alerts) != []
    assert recorded.alerts == []
    assert second.records is recorded.records


def test_what_holds_at_the_end() -> None:
    """Variable by variable: still at the end, or cleared before."""
    still = _as_run(series(60, layout=LAYOUT, **STILL))
    holding = replayed(still, chosen_detectors(["dead_update"], [])).holding
    assert {name: alert.diagnosis for name, alert in holding.items()} == {
        "a/kernel": "dead_update",
        "b/kernel": "dead_update",
    }
    well = series(90, first=61, layout=LAYOUT)
    cleared = replayed(_as_run([*still.records, *well]), chosen_detectors(["dead_update"], []))
    assert [alert.state for alert in cleared.alerts] == ["raised", "cleared"]
    assert cleared.holding == {}


def test_the_end_of_a_fit_is_judged(tmp_path: Path) -> None:
    """Its record shares the step of the last sample, and settles what was still open."""
    records = series(60, layout=LAYOUT)
    records.append(make_record(60, LAYOUT, quantities={}, activations={}, is_last=True))
    for recorded in (_as_run(records), _written(tmp_path, records)):
        alerts = replayed(recorded, chosen_detectors(["loss_stuck"], [])).alerts
        assert [(alert.step, alert.diagnosis) for alert in alerts] == [(60, "loss_stuck")]


def test_another_threshold_gives_other_alerts() -> None:
    """An update ratio of 1e-6 is dead by a limit of 1e-5, and not by the usual one."""
    recorded = _as_run(series(60, layout=LAYOUT, update_ratio=1e-6, window_change=1e-6))
    for settings, expected in (([], []), (["dead_update.threshold=1e-5"], [21])):
        alerts = replayed(recorded, chosen_detectors(["dead_update"], settings)).alerts
        assert [alert.step for alert in alerts] == expected


def test_settings() -> None:
    """By rule and parameter, several of one rule, with blanks around."""
    settings = ["dead_update.threshold=1e-6", " dead_update.patience = 5 ", "dead_relu.share=.8"]
    by_name = {detector.name: detector for detector in chosen_detectors([], settings)}
    assert list(by_name) == list(DETECTORS)
    assert repr(by_name["dead_update"]) == "DeadUpdate(threshold=1e-06, patience=5, warmup=20)"
    assert repr(by_name["dead_relu"]) == "DeadRelu(share=0.8, patience=3, warmup=20)"
    assert repr(by_name["nonfinite"]) == repr(DETECTORS["nonfinite"]())
    names = ["loss_stuck", "nonfinite"]
    assert [detector.name for detector in chosen_detectors(names, [])] == names


@pytest.mark.parametrize("rule", DETECTORS)
def test_every_parameter_can_be_set(rule: str) -> None:
    """To its own default, which changes nothing."""
    settings = [f"{rule}.{name}={default}" for name, default in parameters_of(rule).items()]
    assert settings
    (detector,) = chosen_detectors([rule], settings)
    assert repr(detector) == repr(DETECTORS[rule]())


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        (["frozen"], [], r"no rule 'frozen'; there are: nonfinite, .*dead_update"),
        ([], ["frozen.x=1"], r"no rule 'frozen'; there are: nonfinite, .*dead_update"),
        (
            [],
            ["dead_update.limit=1"],
            r"no parameter 'limit'; it has: threshold \(1e-07\), patience \(3\), warmup \(20\)",
        ),
        ([], ["dead_update.threshold"], r"is no setting: write RULE\.PARAMETER=VALUE"),
        ([], ["threshold=1"], r"is no setting: write RULE\.PARAMETER=VALUE"),
        ([], ["dead_update.threshold=many"], r"'dead_update.threshold=many' is no number"),
        ([], ["dead_update.threshold="], "is no number"),
        ([], ["dead_update.threshold=2"], r"threshold must be a number between 0 and 1; got 2"),
        ([], ["dead_update.patience=1.5"], r"patience must be an int of at least 1; got 1\.5"),
        (["nonfinite"], ["dead_update.patience=2"], r"a rule that was not chosen: nonfinite"),
    ],
)
def test_wrong_settings_say_what_there_is(names: list[str], settings: list[str], says: str) -> None:
    """One sentence, with what was given."""
    with pytest.raises(ValueError, match=says):
        chosen_detectors(names, settings)
