"""Variables that move too little: dead_update, lost_update, update_too_small."""

import math

import pytest

from tbwatch.detectors import ORDER, DeadUpdate
from tbwatch.detectors.lost_update import LostUpdate
from tbwatch.detectors.update_too_small import UpdateTooSmall
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import KERNEL, STILL, changes, events, of_losses, series

RULES = [rule() for rule in ORDER]
WELL = dict.fromkeys(STILL, 1e-3)
DEAD = (21, "raised", "dead_update", "critical", KERNEL)


def test_fires_after_patience_and_clears_after_patience():
    """Still from update 40 to 59: raised at the third such record, cleared at the third clean."""
    records = series(80, changes={40: STILL, 60: WELL})
    assert events(DeadUpdate(), records) == [
        (42, "raised", "dead_update", "critical", KERNEL),
        (62, "cleared", "dead_update", "critical", KERNEL),
    ]


def test_the_alert_says_since_when():
    """`first_seen` is the first record behind it, `last_seen` the last at which it held."""
    raised, cleared = run(DeadUpdate(), series(80, changes={40: STILL, 60: WELL}))
    assert (raised.first_seen, raised.last_seen, raised.samples) == (40, 42, 3)
    assert (cleared.first_seen, cleared.last_seen) == (40, 61)
    assert raised.value == pytest.approx(1e-9)
    assert raised.threshold == 1e-7
    assert raised.evidence["learning_rate"] == pytest.approx(1e-3)
    assert "1.0e-09" in raised.message
    assert raised.remedy.startswith("Raise the learning rate, shrink the initial weights, ")


@pytest.mark.parametrize(
    ("arguments", "step"),
    [({}, 21), ({"warmup": 0}, 3), ({"warmup": 0, "patience": 7}, 7), ({"warmup": 33}, 34)],
)
def test_patience_and_warmup(arguments, step):
    """Each parameter moves the update at which it fires, and by how much is known."""
    assert changes(DeadUpdate(**arguments), series(**STILL)) == [(step, "raised")]


@pytest.mark.parametrize(("threshold", "fires"), [(1e-10, False), (2e-9, True), (1e-7, True)])
def test_threshold(threshold, fires):
    """An update ratio of 1e-9 is dead or not by the threshold alone."""
    assert bool(events(DeadUpdate(threshold), series(**STILL))) == fires


@pytest.mark.parametrize("ratio", [2e-5, 5.5e-5])
def test_slow_and_healthy_is_silent(ratio):
    """SGD at 1e-4 gives 2e-5, Adam at 1e-5 gives 5.5e-5, and both learn."""
    assert events(RULES, series(2000, update_ratio=ratio, window_change=ratio)) == []


def test_a_single_quiet_update_is_no_standstill():
    """Quiet samples 50 updates apart: what happened in between decides."""

    def told(moved):
        window = {50: {"window_change": math.nan}, 100: {"window_change": moved}}
        return series(3000, first=50, every=50, update_ratio=1e-9, changes=window)

    assert events(RULES, told(1e-2)) == []
    # 4e-5 over 50 updates is 8e-7 for one, below ten times the limit of 1e-7; 6e-5 is above.
    assert changes(DeadUpdate(), told(4e-5)) == [(150, "raised")]
    assert changes(DeadUpdate(), told(6e-5)) == []


def test_learning_rate_schedules():
    """A tail below 1 % of the peak and a warm-up are no fault; the same rate held constant is."""
    decays = [
        make_record(s, learning_rate=rate, update_ratio=rate, window_change=rate)
        for s, rate in enumerate((1e-3 * 0.9**s for s in range(300)), 1)
    ]
    rises = [make_record(s, learning_rate=1e-12 * s, **STILL) for s in range(1, 300)]
    assert events(RULES, decays) == []
    assert events(RULES, rises) == []
    assert events(RULES, series(300, learning_rate=1e-12, **STILL)) == [DEAD]


@pytest.mark.parametrize(
    ("dtype", "zeros", "gradient_zeros", "fires"),
    [
        ("bfloat16", 0.72, 0.0, True),
        ("float16", 0.72, 0.0, True),
        ("float32", 0.72, 0.0, False),
        ("bfloat16", 0.3, 0.0, False),
        ("bfloat16", 0.72, 0.6, False),
        ("bfloat16", 0.72, 0.4, True),
    ],
)
def test_lost_updates(dtype, zeros, gradient_zeros, fires):
    """Most elements have a gradient and do not change: rounding, in the dtypes where it can be."""
    layout = make_layout("d/kernel", dtype=dtype)
    values = {"update_zero_fraction": zeros, "gradient_zero_fraction": gradient_zeros}
    want = [(21, "raised", "lost_update", "warning", ("d/kernel",))] if fires else []
    assert events(RULES, series(layout=layout, **values)) == want


def test_lost_updates_that_do_no_harm():
    """A loss that fell by half, or a rate at the end of its schedule: nothing is missed."""
    layout, lost = make_layout(dtype="bfloat16"), {"update_zero_fraction": 0.72}
    for left, told in ((0.45, []), (0.55, [(42, "raised")])):
        losses = [1.0] * 10 + [left] * 90
        records = [
            make_record(s, layout, loss=x, **(lost if s >= 40 else {}))
            for s, x in enumerate(losses, 1)
        ]
        assert changes(LostUpdate(), records) == told
    low = {"learning_rate": 5e-6, **lost}  # half a percent of the peak
    assert changes(LostUpdate(), series(layout=layout, changes={20: low})) == []


def test_a_lost_update_in_float32_is_dead():
    """There it takes an update ratio below half of its spacing: the other rule says it better."""
    values = {"update_ratio": 5e-8, "window_change": 5e-8, "update_zero_fraction": 0.72}
    assert [e[2] for e in events(RULES, series(**values))] == ["dead_update"]


def test_rows_of_an_embedding_that_no_batch_touches():
    """97 % of the elements do not change because they have no gradient: healthy."""
    layout = make_layout("tokens/embeddings", shape=(1000, 16), dtype="bfloat16")
    values = {"gradient_zero_fraction": 0.97, "update_zero_fraction": 0.97}
    assert events(RULES, series(2000, layout=layout, **values)) == []


SMALL = {"update_ratio": 5e-7, "window_change": 5e-7}
TOO_SMALL = (21, "raised", "update_too_small", "warning", KERNEL)


def test_update_too_small_only_if_the_loss_does_not_fall():
    """Between 1e-7 and 1e-6 it depends on whether the run gets anywhere."""
    assert events(RULES, series(**SMALL)) == [TOO_SMALL]
    assert events(RULES, of_losses([0.99**s for s in range(400)], **SMALL)) == []
    assert events(RULES, series(update_ratio=2e-6, window_change=2e-6)) == []
    assert events(UpdateTooSmall(5e-6), series(update_ratio=2e-6, window_change=2e-6)) != []


@pytest.mark.parametrize(
    ("jump", "loss", "asks_for_more"), [(0.5, 5.0, False), (0.09, 5.0, True), (0.5, 1.0, True)]
)
def test_after_a_jump_no_higher_rate_is_asked_for(jump, loss, asks_for_more):
    """Who was changed by half of its size while the loss rose has not had too low a rate."""
    dead = {"update_ratio": 1e-9, "window_change": 1e-9}
    for rule, still in ((UpdateTooSmall(), SMALL), (DeadUpdate(), dead)):
        changes = {13: {"loss": loss}, 20: {"update_ratio": jump}, 24: still}
        (alert,) = run(rule, series(60, loss=1.0, changes=changes))
        assert ("Raise the learning rate" in alert.remedy) == asks_for_more
        told = "changed dense/kernel by 50% of its size and the loss rose" in alert.remedy
        assert told != asks_for_more


@pytest.mark.parametrize(("rule", "ratio"), [(DeadUpdate(), 1e-9), (UpdateTooSmall(), 5e-7)])
def test_a_rate_is_that_of_one_layer_only_where_the_others_are_well(rule, ratio):
    """Keras has one rate: where all kernels stand still it is to be raised, whoever is named."""
    layout = make_layout("a/kernel", "a/bias", "b/kernel", "b/bias")
    for ratios, says in (
        ([ratio] * 4, "Raise the learning rate, "),
        ([ratio, 1e-3, ratio, 1e-3], "Raise the learning rate, "),
        ([1e-3, 1e-3, ratio, ratio], "Raise the learning rate of b, "),
    ):
        small = {"update_ratio": ratios, "window_change": ratios}
        (alert,) = run(rule, series(60, layout=layout, **small))
        assert alert.remedy.startswith(says)
    small = {"update_ratio": [9e-8, 1e-3, 3e-7, 1e-3], "window_change": 0.0}
    alert, *_ = run(RULES, series(60, layout=layout, **small))
    assert alert.diagnosis == "dead_update", "and of b update_too_small, for the same reason"
    assert alert.remedy.startswith("Raise the learning rate, ")


def test_update_too_small_is_cleared_when_the_loss_falls():
    """Its moving average has fallen by 1 % with the first loss of 0.9; ten such records clear it.

    The first one moves the average by 2/11 of 0.1, which is 1.8 %.
    """
    records = of_losses([1.0] * 40 + [0.9] * 40, **SMALL)
    assert changes(UpdateTooSmall(), records) == [(21, "raised"), (50, "cleared")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": 0}, "threshold must be a number between 0 and 1; got 0."),
        ({"threshold": -1e-7}, "threshold must"),
        ({"threshold": math.nan}, "threshold must"),
        ({"threshold": 1.0}, "threshold must"),
    ],
)
def test_bad_arguments(arguments, says):
    """One sentence: what was given, what is allowed."""
    with pytest.raises(ValueError, match=says):
        DeadUpdate(**arguments)


@pytest.mark.parametrize("rule", [DeadUpdate, UpdateTooSmall])
def test_what_the_optimizer_is_not_given_is_not_meant_to_move(rule):
    """A teacher beside its student has no gradient, not even None, and stands still: no fault."""
    assert (
        events(rule(), series(60, gradient_norm=math.nan, update_ratio=0.0, window_change=0.0))
        == []
    )
