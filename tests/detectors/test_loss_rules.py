"""A loss that does not fall, climbs, or jumps."""

import dataclasses
import math

import pytest

from tbwatch.detectors.loss_diverging import LossDiverging
from tbwatch.detectors.loss_oscillating import LossOscillating
from tbwatch.detectors.loss_stuck import LossStuck
from tbwatch.layout import Setup, WatchedActivation
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import changes, ended, events, of_losses

LN10 = math.log(10)
TEN_CLASSES = make_layout(setup=Setup(loss="categorical_crossentropy", chance_loss=LN10))
LOSS = ("loss",)


def _epochs(losses, per_epoch=100, first=1, **values):
    """Records from update `first` on; update n belongs to epoch n // per_epoch."""
    return [
        make_record(s, epoch=s // per_epoch, **{"loss": x, **values})
        for s, x in enumerate(losses, first)
    ]


# --- loss_stuck


def _stuck():
    """After 300 updates instead of 1000, to keep the series short."""
    return LossStuck(updates=300)


def test_stuck_after_300_updates_and_3_epochs():
    """Both limits; the later one counts, and then patience."""
    assert events(_stuck(), _epochs([1.0] * 400)) == [
        (302, "raised", "loss_stuck", "warning", LOSS)
    ]
    assert changes(_stuck(), _epochs([1.0] * 700, per_epoch=200)) == [(602, "raised")]
    assert changes(_stuck(), _epochs([1.0] * 700, per_epoch=10)) == [(302, "raised")]
    assert changes(LossStuck(updates=50, epochs=0), _epochs([1.0] * 70)) == [(52, "raised")]


def _layers(*functions):
    """Hidden layers with these functions, and an output."""
    made = [WatchedActivation(f"h{n}", f"h{n}", f, units=4) for n, f in enumerate(functions)]
    out = WatchedActivation("out", "out", "softmax", units=2, is_output=True)
    return make_layout("h0/kernel", activations=[*made, out])


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        (("linear", "linear"), True),
        (("linear", "relu"), False),
        (("linear", ""), False),  # a layer that tells of no function may have one
        ((), False),
    ],
)
def test_a_net_without_activation_functions_is_told_so(functions, says):
    """Only if all layers before the output are known to be linear."""
    records = [make_record(s, _layers(*functions), epoch=s // 100, loss=1.0) for s in range(1, 400)]
    (alert,) = run(_stuck(), records)
    assert alert.remedy.startswith("No layer before the output has an activation function") == says


def test_a_rate_that_made_the_loss_fall_is_not_too_low():
    """From 911 to that of guessing: small updates after that have another reason."""
    slow = {"update_ratio": 5e-5, "layout": TEN_CLASSES}
    fell = _epochs([911.0] * 10 + [LN10] * 490, **slow)
    assert [event[2] for event in events(_stuck(), fell)] == ["loss_stuck"]
    level = _epochs([LN10] * 500, **slow)
    assert [event[2] for event in events(_stuck(), level)] == ["learning_rate_too_low"]


def test_stuck_is_cleared_when_it_falls():
    """At update 310 it halves, and 30 records without the finding clear it.

    The mean of the last 30 is 1.7 % below the start with the first of them.
    """
    records = _epochs([1.0] * 309 + [0.5] * 100)
    assert changes(_stuck(), records) == [(302, "raised"), (339, "cleared")]


@pytest.mark.parametrize(
    ("losses", "fires"),
    [
        ([1.0] * 10 + [0.995] * 390, True),
        ([1.0] * 10 + [0.98] * 390, False),
        ([0.9, 1.1] * 200, False),  # noise counts in favour of the run
        ([1.0 - s / 4000 for s in range(400)], False),
        ([1.0] * 10 + [1.5] * 390, True),
    ],
)
def test_stuck_or_not(losses, fires):
    """A fall of 1 % is one, and what may be one in all that noise is excused."""
    assert bool(changes(_stuck(), _epochs(losses))) == fires


def test_stuck_at_the_end_of_the_fit():
    """50 updates are enough then, and no patience: what has not learned by then has failed."""
    assert changes(_stuck(), ended(_epochs([1.0] * 50))) == [(50, "raised")]
    assert changes(_stuck(), ended(_epochs([1.0] * 49))) == []
    assert changes(_stuck(), ended(_epochs([0.99**s for s in range(200)]))) == []


def test_at_the_end_a_fall_of_one_percent_is_asked_for():
    """A noise of 1 % leaves open a fall of 1 %; while the fit runs, that is given time."""
    losses = [1.0] * 10 + [0.995 + 0.01 * (-1) ** s for s in range(390)]
    assert changes(_stuck(), _epochs(losses)) == []
    assert changes(_stuck(), ended(_epochs(losses))) == [(400, "raised")]
    fallen = [1.0] * 10 + [0.985 + 0.01 * (-1) ** s for s in range(390)]
    assert changes(_stuck(), ended(_epochs(fallen))) == []
    # In noise of 20 % nobody can tell.
    noisy = [1.0 + 0.2 * (-1) ** s for s in range(400)]
    assert changes(_stuck(), ended(_epochs(noisy))) == []


def test_plateaus_are_outlasted_by_default():
    """1000 updates."""
    assert changes(LossStuck(), _epochs([1.0] * 1100)) == [(1002, "raised")]


def test_a_rate_that_is_too_low():
    """The median kernel changes by less than 1e-4 per update: that is the first suspect."""
    layout = make_layout("a/kernel", "b/kernel", "c/kernel", "c/bias")
    slow = {"layout": layout, "update_ratio": [1e-5, 5e-5, 1e-2, 1e-2]}
    assert events(_stuck(), _epochs([1.0] * 320, **slow)) == [
        (302, "raised", "learning_rate_too_low", "warning", LOSS)
    ]
    fast = {"layout": layout, "update_ratio": [1e-5, 5e-4, 1e-2, 1e-5]}
    assert [e[2] for e in events(_stuck(), _epochs([1.0] * 320, **fast))] == ["loss_stuck"]
    (alert,) = run(_stuck(), _epochs([1.0] * 320, **slow))
    assert "5e-05" in alert.message
    assert alert.remedy.startswith("Raise the learning rate")


def test_at_chance_it_says_so():
    """The loss ln C is that of a classifier that knows nothing."""
    (alert,) = run(_stuck(), _epochs([2.31] * 320, layout=TEN_CLASSES))
    assert "what guessing gives (2.303)" in alert.message
    (alert,) = run(_stuck(), _epochs([2.0] * 320, layout=TEN_CLASSES))
    assert "guessing" not in alert.message


def test_a_first_step_that_threw_the_loss_up():
    """From 5 down to what guessing gives is a fall by half, and nothing was learned."""
    losses = [5.0] * 10 + [2.3] * 400
    assert changes(_stuck(), _epochs(losses, layout=TEN_CLASSES)) == [(302, "raised")]
    assert changes(_stuck(), _epochs(losses)) == []
    # Once it was well below that: it has forgotten, which is another fault.
    losses[50:90] = [1.5] * 40
    assert changes(_stuck(), _epochs(losses, layout=TEN_CLASSES)) == []


def test_worse_than_guessing_for_good():
    """A first step threw it up, and it came to rest above what guessing gives: no fall to boast of.

    Not if it still falls, was once better, or a penalty on weights is part of it; and no verdict
    on a low rate, however little moves.
    """
    losses = [2.3, 23.0, 20.0, 9.0, 5.0] + [3.0 - 0.01 * n for n in range(50)] + [2.5] * 345
    still = {"layout": TEN_CLASSES, "update_ratio": 1e-9}
    assert changes(_stuck(), _epochs(losses, **still)) == [(302, "raised")]
    (alert,) = run(_stuck(), _epochs(losses, **still))
    assert alert.diagnosis == "loss_stuck"
    assert "worse than guessing (2.303)" in alert.message
    penalised = make_layout(setup=TEN_CLASSES.setup, regularized=True)
    assert changes(_stuck(), _epochs(losses, layout=penalised)) == []
    assert changes(_stuck(), _epochs(losses)) == []
    falling = [5000.0 - 10.0 * n for n in range(400)]
    assert changes(_stuck(), _epochs(falling, layout=TEN_CLASSES)) == []
    losses[50:90] = [1.5] * 40
    assert changes(_stuck(), _epochs(losses, layout=TEN_CLASSES)) == []


def test_a_run_that_goes_on_may_have_converged_before():
    """From update 1001 on a level loss says nothing, unless it is that of guessing."""
    later = {"first": 1001, "per_epoch": 100}
    assert changes(_stuck(), _epochs([0.1] * 400, **later)) == []
    told = changes(_stuck(), _epochs([2.3] * 400, layout=TEN_CLASSES, **later))
    assert told == [(1302, "raised")]


def test_a_rate_that_was_switched_off_is_no_time_to_learn():
    """Alive for 299 updates: not enough; for 300: said as soon as the patience is over."""
    for alive, told in ((299, []), (300, [(302, "raised")])):
        records = [
            make_record(s, epoch=s // 100, learning_rate=1e-3 if s <= alive else 1e-9)
            for s in range(1, 500)
        ]
        assert changes(_stuck(), records) == told


# --- loss_diverging


def test_diverging_above_its_start():
    """From 1 to 3 at update 31: the mean of 30, two errors off, passes 1.5 with the ninth.

    k threes make a mean of 1 + 2k/30; one jump of 2 among 29 differences is a noise of
    sqrt(4 / 29 / 2) = 0.263, and two errors are 2 * 0.263 / sqrt(30) = 0.096: k > 8.9.
    """
    records = of_losses([1.0] * 30 + [3.0] * 40)
    assert events(LossDiverging(), records) == [(41, "raised", "loss_diverging", "warning", LOSS)]
    (alert,) = run(LossDiverging(), records)
    assert alert.threshold == pytest.approx(1.5)
    assert alert.value == pytest.approx(1 + 2 * 11 / 30)


def test_divergence_tells_the_best_only_if_there_was_a_fall():
    """A loss that climbed at once has no better time to tell of."""
    (alert,) = run(LossDiverging(), of_losses([1.0] * 10 + [3.0] * 60))
    assert alert.message.endswith("it began at 1.")
    (alert,) = run(LossDiverging(), of_losses([1.0] * 10 + [0.5] * 40 + [3.0] * 40))
    assert "it began at 1 and was 0.5 at update 40" in alert.message


def test_most_of_the_gain_is_lost():
    """From 1 down to 0.2, then 0.9: past half of the way back with the twentieth.

    k of 0.9 make a mean of 0.2 + 0.7k/30; the noise is sqrt(0.49 / 58) = 0.092, two errors are
    0.0336; the gain is 0.8 less that, and half of it above 0.2336 is 0.617: k > 19.3.
    """
    records = of_losses([1.0] * 10 + [0.2] * 50 + [0.9] * 40)
    assert changes(LossDiverging(), records) == [(82, "raised")]
    assert changes(LossDiverging(lost=0.95), records) == []


@pytest.mark.parametrize(
    "losses",
    [
        [1.0] * 30 + [1.4] * 100,  # below 1.5 times the start
        [1.0] * 10 + [0.2] * 50 + [0.4] * 100,  # a quarter of the way back
        [1.0] * 10 + [0.001] * 50 + [0.002] * 100,  # doubled, near the minimum
        [1.0] * 10 + [0.92] * 50 + [1.0] * 100,  # too little gained to speak of its loss
        [1.0] * 30 + [30.0] + [1.0] * 60,  # one bad batch: all of it counts as noise
        [0.5, 1.5] * 100,
    ],
)
def test_no_divergence(losses):
    """What rises a little, or for a moment."""
    assert changes(LossDiverging(), of_losses(losses)) == []


def test_a_negative_loss_may_climb_too():
    """From -1, the limit is half of its size above: -0.5."""
    assert changes(LossDiverging(), of_losses([-1.0] * 30 + [1.0] * 40)) == [(41, "raised")]
    assert changes(LossDiverging(), of_losses([-1.0] * 30 + [-0.6] * 40)) == []


def test_the_factor_of_divergence():
    """Threefold is more than 1.5 and less than 5."""
    records = of_losses([1.0] * 30 + [3.0] * 40)
    assert changes(LossDiverging(factor=5.0), records) == []


# --- loss_oscillating


def _jumps(low, high, count=200):
    """Ten losses of 1, then these two in turn."""
    return [1.0] * 10 + [low, high] * (count // 2)


def test_oscillating_above_its_start():
    """Between 0.5 and 3.5: the noise is 3 / sqrt(2), the mean 2, less two errors of 0.39: above 1.

    Said from update 100 on, and then patience.
    """
    records = of_losses(_jumps(0.5, 3.5))
    assert events(LossOscillating(), records) == [
        (102, "raised", "loss_oscillating", "warning", LOSS)
    ]
    (alert,) = run(LossOscillating(), records)
    assert alert.value == pytest.approx(3 / math.sqrt(2) / 2)
    assert "worse than it began" in alert.message
    assert changes(LossOscillating(updates=150), records) == [(152, "raised")]
    assert changes(LossOscillating(amplitude=1.2), records) == []


@pytest.mark.parametrize(
    "losses",
    [
        _jumps(0.1, 1.5),  # as wild, but its mean of 0.8 is below the start
        _jumps(0.5, 2.5),  # above the start by less than two errors
        _jumps(1.9, 2.1),  # no jumps to speak of
        # far above the start, and falling by a quarter in 30 updates
        [1.0] * 10 + [20 * 0.99**s * (0.7 + 0.6 * (s % 2)) for s in range(190)],
    ],
)
def test_no_oscillation(losses):
    """Jumps alone are no fault, nor is a level alone."""
    assert changes(LossOscillating(), of_losses(losses)) == []


def test_a_classifier_is_compared_with_guessing():
    """A mean of 2 is better than ln 10, whatever the start; a mean of 4 is worse."""
    assert changes(LossOscillating(), of_losses(_jumps(0.5, 3.5), TEN_CLASSES)) == []
    told = run(LossOscillating(), of_losses(_jumps(2.5, 5.5), TEN_CLASSES))
    assert [alert.step for alert in told] == [102]
    assert "worse than guessing gives (2.303)" in told[0].message


def test_a_loss_on_its_way_down_may_jump():
    """A mean of 17.5 is worse than guessing; if all of the first losses were above 35, it falls."""
    jumps = [5.0, 30.0] * 100
    for first, told in (([36.0] * 3, []), ([36.0, 36.0, 34.0], [(102, "raised")])):
        losses = [*first, *[36.0] * 7, *jumps]
        assert changes(LossOscillating(), of_losses(losses, TEN_CLASSES)) == told
    below = [-10.0] * 10 + [-12.0, 1.0] * 100
    assert changes(LossOscillating(), of_losses(below)) == [(102, "raised")]


def test_oscillation_is_cleared():
    """It calms down at update 151: below the start, and 30 records later that is told."""
    records = of_losses([*_jumps(0.5, 3.5, 140), *[0.01] * 100])
    assert changes(LossOscillating(), records) == [(102, "raised"), (183, "cleared")]


OPPOSED = {
    "stuck": (_stuck, _epochs([1.0] * 400)),
    "diverging": (LossDiverging, of_losses([1.0] * 30 + [3.0] * 40)),
    "oscillating": (LossOscillating, of_losses(_jumps(0.5, 3.5))),
}


@pytest.mark.parametrize("name", OPPOSED)
def test_losses_that_are_opposed_need_not_fall(name):
    """Two optimizers, as in an adversarial pair: a level loss is what they are after."""
    make, records = OPPOSED[name]
    assert changes(make(), records)
    pair = make_layout(setup=Setup(optimizer="Adam", optimizers=2))
    assert changes(make(), [dataclasses.replace(r, layout=pair) for r in records]) == []


def test_nobody_knows_the_loss():
    """Without a loss there is no verdict about it."""
    for make in (LossStuck, LossDiverging, LossOscillating):
        unknown = _epochs([math.nan] * 400, loss_is_known=False)
        assert changes(make(), ended(unknown)) == []
