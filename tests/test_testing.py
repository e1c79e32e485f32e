"""The helpers that users test their own detectors with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tbwatch.alerts import Finding
from tbwatch.detectors import DETECTORS
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.quantities import ACTIVATION_NAMES, NAMES
from tbwatch.record import Record
from tbwatch.testing import (
    HEALTHY,
    HEALTHY_ACTIVATION,
    Recorder,
    make_layout,
    make_record,
    run,
)

RELU = WatchedActivation("a", "a", "relu", units=8)
SIGMOID = WatchedActivation("b", "b", "sigmoid", units=2, is_output=True)


class Above:
    """Finds a variable while its update ratio is above 1."""

    name = "above"

    def update(self, record: Record) -> list[Finding]:
        """Judge."""
        ratios = zip(record.layout.names, record.quantity("update_ratio"), strict=True)
        return [
            Finding("above", "above", "info", name, "Much.", float(ratio), 1.0, "Less.")
            for name, ratio in ratios
            if ratio > 1
        ]

    def reset(self) -> None:
        """Nothing is kept."""


def test_a_made_record_is_complete_and_healthy() -> None:
    """Every quantity has a finite value for each variable, and no detector finds anything."""
    assert set(HEALTHY) == set(NAMES)
    assert set(HEALTHY_ACTIVATION) == set(ACTIVATION_NAMES)
    layout = make_layout("a/kernel", "a/bias", "b/kernel", activations=[RELU, SIGMOID])
    record = make_record(7, layout)
    assert (record.step, record.layout, record.judged) == (7, layout, True)
    for values in map(record.quantity, NAMES):
        assert (values.shape, values.dtype) == ((3,), np.float32)
        assert np.isfinite(values).all()
    for values in map(record.activation, ACTIVATION_NAMES):
        assert (values.shape, values.dtype) == ((2,), np.float32)
        assert np.isfinite(values).all()
    assert record.global_gradient_norm == pytest.approx(np.sqrt(3 * 0.1**2))
    records = [make_record(step, layout) for step in range(1, 300)]
    assert run(None, records) == []
    assert [alert for make in DETECTORS.values() for alert in run(make(), records)] == []


def test_what_a_test_is_about_is_put_in() -> None:
    """A number goes to all variables, a list to one each, a field to the record."""
    record = make_record(
        1, make_layout("a", "b"), update_ratio=[1.0, 2.0], gradient_norm=3, loss=np.inf, epoch=4
    )
    np.testing.assert_array_equal(record.quantity("update_ratio"), [1, 2])
    np.testing.assert_array_equal(record.quantity("gradient_norm"), [3, 3])
    assert (record.loss, record.loss_is_nonfinite, record.epoch) == (np.inf, True, 4)


def test_activations_are_put_in_too() -> None:
    """A number goes to all activations, a list to one each; without activations there are none."""
    layout = make_layout("a/kernel", activations=[RELU, SIGMOID])
    record = make_record(1, layout, dead_units=[0.6, 0.0], activation_mean=3)
    np.testing.assert_array_equal(record.activation("dead_units"), np.float32([0.6, 0.0]))
    np.testing.assert_array_equal(record.activation("activation_mean"), [3, 3])
    assert make_record(1).activation("dead_units").shape == (0,)
    assert make_record(1, layout, activations={}).activations == {}


@pytest.mark.parametrize(
    ("norms", "total"),
    [([3.0, 4.0], 5.0), ([np.nan, 4.0], 4.0), ([np.nan, np.nan], np.nan), ([np.inf, 1], np.inf)],
)
def test_the_global_gradient_norm_follows_from_the_variables(
    norms: list[float], total: float
) -> None:
    """The root of the sum of squares over those that have a gradient, unless it is given."""
    layout = make_layout("a", "b")
    made = make_record(1, layout, gradient_norm=norms).global_gradient_norm
    np.testing.assert_equal(made, total)
    assert make_record(1, layout, global_gradient_norm=7.0).global_gradient_norm == 7.0


def test_records_share_no_arrays() -> None:
    """To change one made record changes no other, nor what is healthy."""
    record = make_record(1, make_layout(activations=[RELU]))
    record.quantity("weight_norm")[:] = 99.0
    record.activation("dead_units")[:] = 1.0
    other = make_record(1, record.layout)
    assert other.quantity("weight_norm") == HEALTHY["weight_norm"] == 1.0
    assert other.activation("dead_units") == HEALTHY_ACTIVATION["dead_units"] == 0.0


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"update_ration": 1.0}, TypeError),
        ({"update_ratio": [1.0, 2.0]}, ValueError),
        ({"dead_units": 1.0}, TypeError),
        ({"layout": make_layout(activations=[RELU]), "dead_units": [1.0, 1.0]}, ValueError),
    ],
)
def test_wrong_values_are_refused(values: dict, error: type[Exception]) -> None:
    """A misspelt quantity and a list of another length do not go unnoticed."""
    with pytest.raises(error):
        make_record(1, **values)


def test_make_layout() -> None:
    """One dense kernel by default; names, shape and further fields as asked."""
    assert make_layout().names == ("dense/kernel",)
    layout = make_layout("a", "b", shape=[3], dtype="float16", connected=False)
    assert layout.names == ("a", "b")
    assert {(v.shape, v.dtype, v.connected, v.initial_rms) for v in layout.variables} == {
        ((3,), "float16", False, 0.1)
    }
    assert make_layout(initial_rms=None).variables[0].initial_rms is None
    assert (make_layout().activations, make_layout().setup) == ((), Setup())
    setup = Setup(optimizer="Adam", epsilon=1e-7)
    layout = make_layout(activations=[RELU, SIGMOID], setup=setup)
    assert (layout.activations, layout.setup) == ((RELU, SIGMOID), setup)


def test_run_gives_the_alerts_of_a_detector() -> None:
    """Changes only, oldest first, from any iterable."""
    layout = make_layout("a", "b")
    ratios = [[0, 0], [2, 0], [2, 0], [2, 2], [0, 0]]
    records = (make_record(s, layout, update_ratio=r) for s, r in enumerate(ratios, start=1))
    assert [(a.step, a.state, a.variables) for a in run(Above(), records)] == [
        (2, "raised", ("a",)),
        (4, "worsened", ("a", "b")),
        (5, "cleared", ("a", "b")),
    ]


def test_run_takes_one_or_more_detectors() -> None:
    """An object, a name, a function, or a list of these; None takes all there are."""

    def high_loss(record: Record) -> str:
        return "High." if record.loss > 5 else ""

    records = [make_record(s, make_layout("a"), update_ratio=2.0, loss=9.0) for s in range(1, 4)]
    records.append(make_record(4, make_layout("a"), gradient_nonfinite=1))
    for detectors, diagnoses in (
        (Above(), ["above"]),
        (high_loss, ["high_loss"]),
        ("nonfinite", ["nonfinite"]),
        ([Above(), high_loss, "nonfinite"], ["above", "high_loss", "nonfinite"]),
        (None, ["nonfinite"]),
    ):
        alerts = run(detectors, records)
        assert [alert.diagnosis for alert in alerts if alert.state == "raised"] == diagnoses


def test_recorder_keeps_records_until_reset() -> None:
    """It finds nothing and remembers everything."""
    recorder = Recorder()
    records = [make_record(step) for step in (1, 2)]
    assert run(recorder, records) == []
    assert [id(record) for record in recorder.records] == [id(record) for record in records]
    recorder.reset()
    assert recorder.records == []


def test_a_record_without_a_quantity_gives_nan() -> None:
    """`quantity` answers with one NaN per variable for what a record does not hold."""
    empty = dataclasses.replace(make_record(1, make_layout("a", "b")), quantities={})
    values = empty.quantity("update_ratio")
    assert (values.shape, values.dtype) == ((2,), np.float32)
    assert np.isnan(values).all()


@pytest.mark.parametrize(
    ("loss", "known", "bad"),
    [(np.nan, True, True), (np.nan, False, False), (-np.inf, True, True), (1.0, True, False)],
)
def test_a_loss_nobody_reported_is_not_a_nan_loss(loss: float, known: bool, bad: bool) -> None:
    """NaN means unknown unless the loss is known."""
    assert make_record(1, loss=loss, loss_is_known=known).loss_is_nonfinite is bad
