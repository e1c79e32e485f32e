"""Layers whose output hardly depends on the input."""

import math

import pytest

from tbwatch.detectors.signal_lost import SignalLost
from tbwatch.layout import WatchedActivation
from tbwatch.testing import make_layout, run
from tests.detectors.series import changes, events, of_losses, series


def _layout(**fields):
    made = WatchedActivation("a", "a", **{"function": "sigmoid", "units": 8, **fields})
    out = WatchedActivation("out", "out", "softmax", units=10, is_output=True)
    return make_layout("a/kernel", "out/kernel", activations=[made, out])


LAYOUT = _layout()
# Outputs of 0.5 that vary by a tenth of a percent: the ratio is 1e-3 / hypot(0.5, 0.01) = 2e-3.
LOST = {"activation_mean": 0.5, "activation_std": 0.01, "unit_std": 1e-3}


def test_it_is_raised_when_the_loss_has_stood_still():
    """The noise of the loss is known from update 3 on: stalled for 50 at 52, then patience."""
    records = series(100, layout=LAYOUT, **LOST)
    assert events(SignalLost(), records) == [
        (54, "raised", "signal_lost", "warning", ("a/activation",))
    ]
    (alert,) = run(SignalLost(), records)
    assert alert.value == pytest.approx(1e-3 / math.hypot(0.5, 0.01))
    assert alert.threshold == SignalLost().ratio
    assert "2e-03 of its size" in alert.message
    assert changes(SignalLost(updates=70), records) == [(74, "raised")]
    assert changes(SignalLost(ratio=1e-3), records) == []


def test_it_is_cleared_late():
    """Ten records with a signal."""
    records = series(150, layout=LAYOUT, **LOST, changes={100: {"unit_std": 0.1}})
    assert changes(SignalLost(), records) == [(54, "raised"), (109, "cleared")]


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({}, {"unit_std": 1.05 * SignalLost().ratio * math.hypot(0.5, 0.01)}),
        ({}, {"unit_std": 0.0}),  # a batch of one example, or a dead layer
        ({}, {"unit_std": math.nan}),
        ({}, {"activation_mean": math.nan}),
        ({}, {"activation_mean": 0.0, "activation_std": 1e-3}),  # small, and all of it signal
        ({"is_output": True}, {}),
        ({"before": True}, {}),
        ({"units": 1}, {}),
    ],
)
def test_look_alikes(fields, values):
    """Enough spread, none at all, unknown; outputs of the model, pre-activations, one unit."""
    assert events(SignalLost(), series(100, layout=_layout(**fields), **{**LOST, **values})) == []


def test_a_loss_that_falls_needs_no_more_signal():
    """What the layer hands on is enough, then."""
    assert events(SignalLost(), of_losses([0.99**s for s in range(200)], LAYOUT, **LOST)) == []


@pytest.mark.parametrize(
    ("norms", "regularized", "says"),
    [
        # 64 x 64 elements, at first of rms 0.1: a norm of 0.128 is 0.02 of that.
        ([0.128, 6.4], True, "Weaken the L2 penalty of a: its weights have shrunk to 0.02 "),
        (
            [0.128, 6.4],
            False,
            "Weaken what pulls a to zero, such as weight decay or a constraint: ",
        ),
        ([0.7, 6.4], True, "Bring the inputs to a scale near 1"),
        ([6.4, 0.128], True, "Bring the inputs to a scale near 1"),  # it lies behind
        ([math.nan, 6.4], True, "Bring the inputs to a scale near 1"),
    ],
)
def test_weights_that_were_pulled_to_zero_are_the_first_suspect(norms, regularized, says):
    """Larger initial weights do not help where a penalty shrinks them."""
    layout = make_layout(
        "a/kernel", "out/kernel", activations=LAYOUT.activations, regularized=regularized
    )
    (alert,) = run(SignalLost(), series(100, layout=layout, weight_norm=norms, **LOST))
    assert alert.remedy.startswith(says)
