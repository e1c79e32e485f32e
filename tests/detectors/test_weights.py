"""Variables that are too large or move too much: at init, by growth, by one update."""

import math

import pytest

from tbwatch.detectors import ORDER
from tbwatch.detectors.update_too_large import UpdateTooLarge
from tbwatch.detectors.weight_divergence import WeightDivergence
from tbwatch.detectors.weights_too_large import WeightsTooLarge
from tbwatch.layout import Layout, Setup, WatchedActivation, WatchedVariable
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import KERNEL, changes, events, of_losses, series

RULES = [rule() for rule in ORDER]
HE = math.sqrt(2 / 3136)  # of a dense layer behind 3136 inputs
LARGE = WatchedVariable("fc1/kernel", (3136, 1024), initial_rms=1.0)
USUAL = WatchedVariable("fc2/kernel", (3136, 1024), initial_rms=HE)
SLOW = {"update_ratio": 1.5e-4, "window_change": 1.5e-4}


def test_weights_too_large():
    """Initial weights 40 times He's make Adam's full step invisible: the cure is the init."""
    (alert,) = run(RULES, series(layout=Layout((LARGE, USUAL)), **SLOW))
    assert (alert.step, alert.diagnosis, alert.severity) == (21, "weights_too_large", "warning")
    assert alert.variables == ("fc1/kernel",)
    assert alert.value == pytest.approx(1 / HE)
    assert "40 times larger" in alert.message


def test_weights_too_large_stays_when_the_loss_falls():
    """1 % of the loss is left, and the weights are as large as ever."""
    losses = [1e5 * 0.01 ** (s / 400) for s in range(400)]
    assert changes(RULES, of_losses(losses, Layout((LARGE,)), **SLOW)) == [(21, "raised")]


def test_large_weights_that_move_as_usual():
    """5e-3 per update: nothing holds them back."""
    moving = {"update_ratio": 5e-3, "window_change": 5e-3}
    assert events(RULES, series(layout=Layout((LARGE, USUAL)), **moving)) == []


def test_a_low_rate_beside_usual_weights_is_another_matter():
    """The same small updates without large weights: slow, and no fault of the initialiser."""
    assert events(RULES, series(layout=Layout((USUAL,)), **SLOW)) == []


def test_weights_too_large_by_a_small_fan_in():
    """One wide initializer for the whole net shows less where the fan-in is small: listed too."""
    first = WatchedVariable("conv1/kernel", (5, 5, 1, 32), initial_rms=1.0)  # 3.5 times He's
    (alert,) = run(RULES, series(layout=Layout((first, LARGE)), **SLOW))
    assert alert.variables == ("conv1/kernel", "fc1/kernel")
    assert events(RULES, series(layout=Layout((first,)), **SLOW)) == []


@pytest.mark.parametrize(("scale", "fires"), [(9.9, False), (10.1, True)])
def test_the_scale(scale, fires):
    """The limit is 10 times He's, unless another is given."""
    layout = Layout((WatchedVariable("fc/kernel", (3136, 8), initial_rms=scale * HE),))
    assert bool(events(WeightsTooLarge(), series(layout=layout, **SLOW))) == fires
    assert bool(events(WeightsTooLarge(scale=9.8), series(layout=layout, **SLOW)))


@pytest.mark.parametrize(
    ("scale", "spread", "fires"),
    [
        (6.0, [1, 6, 36, 216], True),
        (6.0, [1, 1, 1, 1], False),  # a normalisation takes it back
        (6.0, [1, 1, 1, 99], False),
        (6.0, math.nan, False),
        (5.0, [1, 6, 36, 216], False),  # 5 ** 4 is 625
    ],
)
def test_layers_that_amplify_together(scale, spread, fires):
    """None is ten times too large, all four amplify by more than 1000, and activations show it."""
    layout = Layout(
        tuple(WatchedVariable(f"{n}/kernel", (3136, 8), initial_rms=scale * HE) for n in "abcd"),
        activations=tuple(WatchedActivation(n, n, "relu", units=8) for n in "abcd"),
    )
    named = tuple(f"{n}/kernel" for n in "abcd")
    want = [(21, "raised", "weights_too_large", "warning", named)] if fires else []
    records = series(layout=layout, activation_std=spread)
    assert events(WeightsTooLarge(), records) == want
    for alert in run(WeightsTooLarge(), records):
        assert "make the activations more than a hundred times larger" in alert.message
        assert "by only" not in alert.message, "they move as usual"


def test_only_kernels_have_a_fan_in():
    """Embeddings, biases and kernels of unknown scale are left alone."""
    variables = (
        WatchedVariable("tokens/embeddings", (3136, 8), initial_rms=1.0),
        WatchedVariable("fc/bias", (8,), initial_rms=100.0),
        WatchedVariable("fc/kernel", (3136, 8), initial_rms=None),
    )
    assert events(WeightsTooLarge(), series(layout=Layout(variables), **SLOW)) == []


# A (64, 64) kernel of rms 0.1 has a norm of 6.4; a He initialiser gives rms sqrt(2 / 64) = 0.177.
GROWN = (21, "raised", "weight_divergence", "warning", KERNEL)


@pytest.mark.parametrize(("growth", "fires"), [(99, False), (101, True)])
def test_weight_divergence(growth, fires):
    """Beyond a hundred times the initial size, which here is 57 times He's."""
    records = series(weight_norm=6.4 * growth)
    assert events(RULES, records) == ([GROWN] if fires else [])
    if fires:
        (alert,) = run(WeightDivergence(), records)
        assert alert.value == pytest.approx(growth)
        assert alert.threshold == 100
        assert events(WeightDivergence(growth=200), records) == []


def test_small_initial_weights_may_grow():
    """A thousandfold from 1e-4 is 0.1: below He's scale, and no divergence."""
    layout = make_layout(initial_rms=1e-4)
    assert events(WeightDivergence(), series(layout=layout, weight_norm=64 * 0.1)) == []
    # 18 times He's is.
    assert changes(WeightDivergence(), series(layout=layout, weight_norm=64 * 3.2)) != []


def test_what_starts_at_zero_has_no_growth():
    """No initial size, no ratio; the same if it is unknown."""
    for rms in (0.0, None):
        records = series(layout=make_layout(initial_rms=rms), weight_norm=1e6)
        assert events(WeightDivergence(), records) == []


def test_growth_is_no_fault_while_the_loss_falls():
    """Fallen by 2 %: silent; by half a percent: not."""
    for left, want in ((0.98, []), (0.995, [GROWN])):
        losses = [1.0] * 10 + [left] * 190
        records = of_losses(losses, weight_norm=6.4 * 150)
        told = [e for e in events(WeightDivergence(), records) if e[0] >= 21]
        assert told[:1] == want


RUSHED = (21, "raised", "update_too_large", "warning", KERNEL)


# Above its start beyond noise, and long before the warm-up is over.
WORSE = [1.0] * 10 + [2.0] * 60


@pytest.mark.parametrize(("ratio", "fires"), [(0.09, False), (0.11, True)])
def test_update_too_large(ratio, fires):
    """More than a tenth of itself in one update, while the loss is above its start."""
    records = of_losses(WORSE, update_ratio=ratio)
    assert events(RULES, records) == ([RUSHED] if fires else [])
    assert events(UpdateTooLarge(threshold=0.5), records) == []


@pytest.mark.parametrize(
    "losses",
    [
        [0.99**s for s in range(200)],  # the first steps of training are long, and right
        [1.0] * 200,
        [1.0] * 10 + [1.01] * 190,
        [1.0] * 10 + [0.0, 2.2] * 95,  # above its start by less than two errors
    ],
)
def test_large_steps_that_do_no_harm(losses):
    """The loss falls, or stays where it was, as far as noise lets one tell."""
    assert events(UpdateTooLarge(), of_losses(losses, update_ratio=0.3)) == []


def test_worse_than_guessing():
    """A level loss of 2.5 is above ln 10 = 2.303: the very first steps did harm."""
    ten = make_layout(setup=Setup(chance_loss=math.log(10)))
    assert events(RULES, of_losses([2.5] * 60, ten, update_ratio=0.5)) == [RUSHED]
    assert events(RULES, of_losses([2.31] * 60, ten, update_ratio=0.5)) == []


@pytest.mark.parametrize(
    ("layout", "fires"),
    [
        (make_layout(initial_rms=0.0), False),
        (make_layout(initial_rms=None), True),
        (make_layout(shape=(3, 5)), False),
        (make_layout(shape=(4, 4)), True),
        (make_layout("d/bias", "d/gamma", shape=(64,)), False),
    ],
)
def test_who_is_judged_by_the_size_of_an_update(layout, fires):
    """Not what starts at zero, nor a handful of elements, nor what only shifts or scales."""
    assert bool(events(UpdateTooLarge(), of_losses(WORSE, layout, update_ratio=0.5))) == fires


def test_update_too_large_is_cleared_late():
    """Values hover about such a limit: ten clean records, not three."""
    ratios = [0.5] * 39 + [0.01] * 41
    records = [
        make_record(s, loss=loss, update_ratio=ratio)
        for s, (loss, ratio) in enumerate(zip(WORSE, ratios, strict=False), 1)
    ]
    assert changes(UpdateTooLarge(), records) == [(21, "raised"), (49, "cleared")]
