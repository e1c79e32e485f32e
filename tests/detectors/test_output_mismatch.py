"""Outputs, losses and labels that cannot belong together."""

import math

import pytest

from tbwatch.detectors.output_mismatch import OutputMismatch
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.testing import make_layout, run
from tests.detectors.series import events, series

ENTROPY = "binary_crossentropy"


def _told(function, units, *, loss=ENTROPY, output=True, before=False, last=10, **values):
    activation = WatchedActivation(
        "out", "out", function, units=units, is_output=output, before=before
    )
    layout = make_layout("out/kernel", activations=[activation], setup=Setup("SGD", loss=loss))
    return [event[:4] for event in events(OutputMismatch(), series(last, layout=layout, **values))]


RAISED = [(3, "raised", "output_mismatch", "critical")]


@pytest.mark.parametrize(
    ("function", "units", "loss"),
    [
        ("softmax", 1, ENTROPY),
        ("softmax", 1, "mse"),
        ("relu", 10, "sparse_categorical_crossentropy"),
        ("relu6", 1, ENTROPY),
    ],
)
def test_what_cannot_belong_together(function, units, loss):
    """Certain from the structure: said at the third record, whatever the numbers are."""
    assert _told(function, units, loss=loss) == RAISED
    assert _told(function, units, loss=loss, output=False) == []
    assert _told(function, units, loss=loss, before=True) == []


@pytest.mark.parametrize(
    ("function", "units", "loss"),
    [
        ("softmax", 2, ENTROPY),
        ("sigmoid", 1, ENTROPY),
        ("linear", 1, ENTROPY),  # from_logits
        ("relu", 1, "mse"),  # a quantity that is never negative
        ("relu", 10, ""),  # a loss that nobody knows
    ],
)
def test_what_belongs_together(function, units, loss):
    """Usual pairs, and those that may well be meant."""
    assert _told(function, units, loss=loss) == []


def test_a_negative_cross_entropy():
    """Labels beyond 1 drive it down without end; a little below 0 may be meant.

    From 1 to -5 at update 30: the moving average (weight 2 / 11) passes -1 with the third of them,
    because (9 / 11)^3 * 6 - 5 = -1.7; two records later that has lasted for three.
    """
    falls = {"changes": {1: {"loss": 1.0}, 30: {"loss": -5.0}}, "last": 60}
    assert _told("sigmoid", 1, **falls) == [(34, "raised", "output_mismatch", "critical")]
    assert _told("sigmoid", 1, loss="mse", **falls) == []
    little = {"changes": {1: {"loss": 1.0}, 30: {"loss": -0.9}}, "last": 200}
    assert _told("sigmoid", 1, **little) == []
    unknown = {"changes": {1: {"loss": 1.0}, 30: {"loss": -5.0, "loss_is_known": False}}}
    assert _told("sigmoid", 1, last=60, **unknown) == []
    assert _told("sigmoid", 1, changes={5: {"loss": math.nan}}) == []


def test_it_says_where_and_what_to_use_instead():
    """The output is named, or the loss, each with its remedy."""
    one = WatchedActivation("out", "out", "softmax", units=1, is_output=True)
    layout = make_layout("out/kernel", activations=[one], setup=Setup("SGD", loss=ENTROPY))
    (alert,) = run(OutputMismatch(), series(layout=layout))
    assert alert.variables == ("out/activation",)
    assert (
        alert.message == "a softmax over a single unit is always 1, whatever the net has learned."
    )
    assert alert.remedy.startswith("Use a sigmoid for two classes")
    plain = make_layout("out/kernel", setup=Setup("SGD", loss=ENTROPY))
    falls = series(200, layout=plain, loss=1.0, changes={11: {"loss": -3.5}})
    (alert,) = run(OutputMismatch(), falls)
    assert (alert.variables, alert.threshold) == (("loss",), -1.0)
    assert "and a cross-entropy is never negative" in alert.message
