"""Learning rate, clipping, and the loss scale of mixed precision."""

import dataclasses
import math

import pytest

from tbwatch.detectors.always_clipped import AlwaysClipped
from tbwatch.detectors.learning_rate_vanished import LearningRateVanished
from tbwatch.detectors.loss_scale import LossScale
from tbwatch.layout import Setup
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import changes, events, series


def _rates(rates, **values):
    return [make_record(s, learning_rate=rate, **values) for s, rate in enumerate(rates, 1)]


def test_a_rate_that_is_gone_after_ten_updates():
    """Gone for 50 updates at 60, which is more than twice 10; then patience."""
    records = _rates([1e-3] * 10 + [1e-6] * 90)
    assert events(LearningRateVanished(), records) == [
        (62, "raised", "learning_rate_vanished", "warning", ("learning_rate",))
    ]
    (alert,) = run(LearningRateVanished(), records)
    assert alert.threshold == pytest.approx(1e-5)
    assert "after 10 updates, and has stayed there for 52" in alert.message
    (rare,) = run(LearningRateVanished(share=0.004), records)
    assert "less than 0.4% of its peak" in rare.message
    assert changes(LearningRateVanished(updates=70), records) == [(82, "raised")]
    assert changes(LearningRateVanished(share=1e-4), records) == []


def test_twice_as_long_gone_as_alive():
    """Alive for 100 updates, gone for 200 at update 300."""
    assert changes(LearningRateVanished(), _rates([1e-3] * 100 + [0.0] * 150)) == []
    assert changes(LearningRateVanished(), _rates([1e-3] * 100 + [0.0] * 250)) == [(302, "raised")]


@pytest.mark.parametrize(
    "rates",
    [
        [1e-3 * (1 + math.cos(math.pi * s / 200)) for s in range(201)],
        [1e-3] * 100 + [1e-4] * 100 + [1e-5] * 150,
        [1e-6 + 1e-5 * s for s in range(100)],
        [0.0] * 200,
        [math.nan] * 200,
        [1e-9] * 200,
    ],
)
def test_schedules_that_are_right(rates):
    """Cosine decay, steps down, warm-up, no rate at all, an unknown one, a constant one."""
    assert changes(LearningRateVanished(), _rates(rates)) == []


def test_a_rate_that_is_gone_when_nothing_is_left_to_learn():
    """3 % of the loss is left."""
    rates = [1e-3] * 20 + [1e-6] * 180
    records = [
        make_record(s, learning_rate=rate, loss=1.0 if s < 12 else 0.03)
        for s, rate in enumerate(rates, 1)
    ]
    assert changes(LearningRateVanished(), records) == []


def test_a_rate_that_comes_back():
    """A restart of the schedule clears it after three records."""
    records = _rates([1e-3] * 10 + [1e-6] * 90 + [1e-3] * 20)
    assert changes(LearningRateVanished(), records) == [(62, "raised"), (103, "cleared")]


def _scales(logs, every=1):
    return [
        make_record(s, loss_scale=2.0**log)
        for s, log in zip(range(1, 10**6, every), logs, strict=False)
    ]


def test_loss_scale_that_falls_and_falls():
    """Halved at every update from 31 on: the tenth halving is at update 40, a fifth of all updates.

    Held, it is forgotten when 10 halvings are 5 % of 200 updates: at update 190, and 3 records.
    """
    logs = [15] * 30 + [15 - n for n in range(1, 11)] + [5] * 400
    told = events(LossScale(), _scales(logs))
    assert told[0] == (42, "raised", "loss_scale", "warning", ("loss_scale",))
    assert [event[:2] for event in told[1:]] == [(192, "cleared")]
    (alert, _) = run(LossScale(), _scales(logs))
    assert "it is 32: 10 of the last 52 updates" in alert.message
    assert changes(LossScale(skipped=0.3), _scales(logs)) == []


@pytest.mark.parametrize(
    ("logs", "raised"),
    [
        ([15] * 30 + [15 - n for n in range(1, 11)] + [5] * 1060, 42),
        ([1] * 30 + [-1] * 1070, 33),
    ],
)
def test_what_the_loss_scale_did_1000_updates_ago_is_forgotten(logs, raised):
    """Update 30, the last before the first fall, has gone at update 1030; held for 3 records."""
    told = changes(LossScale(skipped=0.001), _scales(logs))
    assert told == [(raised, "raised"), (1032, "cleared")]


def test_loss_scale_below_one():
    """It has given up: small numbers are no longer saved by it."""
    assert changes(LossScale(), _scales([1] * 30 + [-1] * 30)) == [(33, "raised")]


@pytest.mark.parametrize(
    "logs",
    [
        [0] * 100,  # no loss scaling
        [-1] * 100,  # a fixed scale, as somebody wished
        [15 - min(n, 6) for n in range(100)],  # it finds its place
        [15] * 2000 + [16] + [15] * 2000 + [16] + [15] * 100,  # its usual life
    ],
)
def test_loss_scale_as_it_should_be(logs):
    """Nothing is skipped, or as little as expected."""
    assert changes(LossScale(), _scales(logs)) == []


def test_halvings_between_sparse_samples_are_counted():
    """Ten halvings from one sample to the next are ten skipped updates."""
    assert changes(LossScale(), _scales([15] * 3 + [5] * 10, every=10)) == [(51, "raised")]


def _clipped(setup, norms, **values):
    layout = make_layout("a/kernel", "b/kernel", "c/kernel", setup=setup)
    return [
        make_record(s, layout, global_gradient_norm=norm, **values)
        for s, norm in enumerate(norms, 1)
    ]


GLOBAL = Setup(optimizer="SGD", global_clipnorm=1.0)


def test_always_clipped():
    """A norm of 20 clipped to 1 for 30 records, and patience: the rate in effect is a twentieth."""
    records = _clipped(GLOBAL, [20.0] * 60)
    assert events(AlwaysClipped(), records) == [
        (32, "raised", "always_clipped", "info", ("learning_rate",))
    ]
    (alert,) = run(AlwaysClipped(), records)
    assert alert.value == pytest.approx(0.05)
    assert "in effect is 5.0e-05" in alert.message
    assert changes(AlwaysClipped(factor=0.01), records) == []


def test_clipping_that_leaves_next_to_nothing():
    """A thousandth of the rate: a warning once the loss has stood still for 50 updates."""
    records = _clipped(GLOBAL, [1000.0] * 100)
    assert events(AlwaysClipped(), records) == [
        (32, "raised", "always_clipped", "info", ("learning_rate",)),
        # Noise is known from the third loss on: it may have fallen at update 2.
        (52, "worsened", "always_clipped", "warning", ("learning_rate",)),
    ]
    info, warning = run(AlwaysClipped(), records)
    assert "or take this for the rate" in info.remedy
    assert "or take this for the rate" not in warning.remedy
    assert changes(AlwaysClipped(), _clipped(GLOBAL, [99.0] * 100)) == [(32, "raised")]
    falls = [dataclasses.replace(r, loss=0.99**r.step) for r in records]
    assert changes(AlwaysClipped(), falls) == [(32, "raised")]


def test_clipping_by_variable_takes_the_median():
    """Of 30, 20 and 0.5, with a limit of 1: a twentieth."""
    setup = Setup(optimizer="SGD", clipnorm=1.0)
    records = _clipped(setup, [math.nan] * 60, gradient_norm=[30.0, 20.0, 0.5])
    assert changes(AlwaysClipped(), records) == [(32, "raised")]
    mild = _clipped(setup, [1e9] * 60, gradient_norm=[30.0, 5.0, 0.5])
    assert changes(AlwaysClipped(), mild) == []


@pytest.mark.parametrize(
    ("setup", "norms"),
    [
        (GLOBAL, [5.0] * 60),  # a fifth of the rate
        (GLOBAL, [0.01] * 60),  # never clipped
        (GLOBAL, [20.0, 1.0] * 30),  # every other one: the median factor is 0.525
        (Setup(optimizer="Adam", epsilon=1e-7, global_clipnorm=1.0), [20.0] * 60),
        (Setup(optimizer="SGD", clipvalue=1.0), [20.0] * 60),
        (Setup(optimizer="SGD"), [20.0] * 60),
        (GLOBAL, [math.nan] * 60),
    ],
)
def test_clipping_that_is_no_matter(setup, norms):
    """Where it is mild, rare, without effect, or not known."""
    assert changes(AlwaysClipped(), _clipped(setup, norms)) == []


def test_a_run_that_calms_down_is_no_longer_clipped():
    """The median of 30 factors passes 0.1 with the fifteenth good one; cleared three records on."""
    records = _clipped(GLOBAL, [20.0] * 60 + [0.5] * 60)
    assert changes(AlwaysClipped(), records) == [(32, "raised"), (77, "cleared")]


def test_who_sets_no_rate_has_none_in_effect():
    """An optimizer without a learning rate is told of with an unknown one, not with a crash."""
    records = series(
        60, layout=make_layout(setup=GLOBAL), gradient_norm=50.0, learning_rate=math.nan
    )
    assert changes(AlwaysClipped(), records) == [(32, "raised")]
