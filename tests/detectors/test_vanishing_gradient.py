"""Gradients that die out between the loss and the input."""

import math

import pytest

from tbwatch.detectors import ORDER
from tbwatch.detectors.vanishing_gradient import VanishingGradient
from tbwatch.layout import Setup
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import changes, events, series

RULES = [rule() for rule in ORDER]
NAMES = ("a/kernel", "a/bias", "b/kernel", "b/bias", "c/kernel", "c/bias")
SGD = make_layout(*NAMES)
ADAM = make_layout(*NAMES, setup=Setup(optimizer="Adam", epsilon=1e-7))
# Beside c, the gradient of a is 1e-4 and that of b is 0.1; all weights have a norm of 1.
FADING = [1e-5, 1e-5, 1e-2, 1e-2, 0.1, 0.1]


def _of_a(value):
    """This for layer a, the usual for the others."""
    values = [value, value, 1e-3, 1e-3, 1e-3, 1e-3]
    return {"update_ratio": values, "window_change": values}


def _told(layout=SGD, moves=1e-6, gradients=FADING, last=120, losses=None, **arguments):
    values = {"gradient_norm": gradients, **_of_a(moves)}
    losses = losses or [1.0] * last
    records = [make_record(s, layout, loss=x, **values) for s, x in enumerate(losses, 1)]
    return changes(VanishingGradient(**arguments), records)


def test_the_first_layer_is_named():
    """A thousandth of the layers behind it, and it hardly moves: raised after the warm-up."""
    records = series(layout=SGD, gradient_norm=FADING, **_of_a(1e-6))
    assert events(RULES, records) == [
        (21, "raised", "vanishing_gradient", "warning", ("a/kernel",))
    ]
    (alert,) = run(VanishingGradient(), records)
    assert alert.value == pytest.approx(1e-4)
    assert "1e-04 of that of the layers behind it" in alert.message


@pytest.mark.parametrize(("share", "fires"), [(0.9e-3, True), (1.1e-3, False)])
def test_the_ratio(share, fires):
    """Beside the largest gradient behind it, relative to the weights."""
    gradients = [share * 0.1, 0, 1e-2, 0, 0.1, 0]
    assert bool(_told(gradients=gradients)) == fires
    assert _told(gradients=gradients, ratio=1e-5) == []


def test_a_small_gradient_beside_small_weights_is_in_proportion():
    """It is ‖g‖ / ‖W‖ that is compared."""
    values = {"gradient_norm": FADING, **_of_a(1e-6), "weight_norm": [1e-4, 1, 1, 1, 1, 1]}
    assert events(VanishingGradient(), series(layout=SGD, **values)) == []


def test_the_order_of_layers_matters():
    """A gradient that is small only in the last layer has nowhere to have died out."""
    still = {"update_ratio": 1e-6, "window_change": 1e-6}
    records = series(layout=SGD, gradient_norm=FADING[::-1], **still)
    assert events(VanishingGradient(), records) == []
    assert events(VanishingGradient(), series(layout=SGD, gradient_norm=FADING, **still)) != []


def test_a_layer_that_moves():
    """1e-5 per update is movement; it takes a loss that stood still for 50 updates to doubt it.

    The noise of the loss is known from the third record on: stalled for 50 updates at record 52,
    and raised at the third such record.
    """
    assert _told(moves=0.9e-5) == [(21, "raised")]
    assert _told(moves=5e-5) == [(54, "raised")]
    assert _told(moves=2e-4) == []
    assert _told(moves=5e-5, losses=[0.995**s for s in range(120)]) == []


def test_the_parameter_moves():
    """A limit of 1e-4 takes in what moves by 5e-5, at once."""
    records = series(layout=SGD, gradient_norm=FADING, **_of_a(5e-5))
    assert changes(VanishingGradient(moves=1e-4), records) == [(21, "raised")]


def test_adam_rescales_a_small_gradient():
    """Above 10 epsilon it arrives at full size; below it is lost, if the loss stands still too.

    The kernel has 4096 elements: a norm of 6.4e-5 is an rms of 1e-6, ten times epsilon.
    """
    far_behind = {"moves": 1e-3, "gradients": [6.3e-5, 0, 1, 0, 1, 0]}
    assert _told(ADAM, **far_behind) == [(54, "raised")]
    assert _told(ADAM, moves=1e-3, gradients=[6.5e-5, 0, 1, 0, 1, 0]) == []
    assert _told(ADAM, moves=1e-6, gradients=[6.5e-5, 0, 1, 0, 1, 0]) == []
    assert _told(ADAM, **far_behind, losses=[0.995**s for s in range(120)]) == []


def test_a_run_that_has_learned_can_do_without_the_layer():
    """Less than half of the loss is left: silent, unless the layer stands still."""
    losses = [1.0] * 10 + [0.4] * 100
    assert _told(losses=losses) == []
    assert _told(losses=losses, moves=1e-8) == [(21, "raised")]


def test_weights_thrown_up_by_large_steps():
    """A loss a fifth above its start: large weights dwarf gradients, nothing has vanished."""
    assert _told(losses=[1.0] * 10 + [1.5] * 100) == []


def test_an_exact_zero_is_another_diagnosis():
    """A gradient of 0 has not died out on the way, it was never there."""
    assert _told(gradients=[0, 0, 1e-2, 1e-2, 0.1, 0.1]) == []


@pytest.mark.parametrize("gradients", [[math.nan] * 6, [1e-5, 1, math.nan, 1, math.nan, 1]])
def test_unknown_gradients(gradients):
    """Nothing behind it to compare with."""
    assert _told(gradients=gradients) == []


def test_a_net_of_one_layer():
    """Has no layers behind it."""
    assert events(VanishingGradient(), series(gradient_norm=1e-12, update_ratio=1e-6)) == []
