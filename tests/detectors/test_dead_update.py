"""The dead-update detector: at which updates it fires, and on what it stays silent."""

import math

import pytest

from tbwatch.detectors import DeadUpdate
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.testing import HEALTHY, make_layout, make_record, run

STILL = {"update_ratio": 1e-9, "window_change": 1e-9, "update_norm": 1e-9}
ZERO = {
    "gradient_norm": 0.0,
    "gradient_zero_fraction": 1.0,
    "gradient_weight_cosine": math.nan,
    "update_norm": 0.0,
    "update_ratio": 0.0,
    "window_change": 0.0,
    "update_zero_fraction": 1.0,
    "decay_cosine": math.nan,
}


def _series(last=60, first=1, every=1, layout=None, changes=None, **values):
    """Records of updates first..last; `changes` maps an update to values from there on."""
    records = []
    for step in range(first, last + 1, every):
        values = {**values, **(changes or {}).get(step, {})}
        records.append(make_record(step, layout, **values))
    return records


def _events(records, detector=None):
    alerts = run(detector or DeadUpdate(), records)
    return [(a.step, a.state, a.diagnosis, a.severity, a.variables) for a in alerts]


KERNEL = ("dense/kernel",)


def test_fires_once_after_warmup():
    """Still from the start: raised when 20 updates have passed since the first, never again."""
    assert _events(_series(10_000, **STILL)) == [(21, "raised", "dead_update", "critical", KERNEL)]


def test_fires_after_patience_and_clears_after_patience():
    """Still from update 40 to 59: raised at the third such record, cleared at the third clean."""
    records = _series(80, changes={40: STILL, 60: dict.fromkeys(STILL, 0.001)})
    assert _events(records) == [
        (42, "raised", "dead_update", "critical", KERNEL),
        (62, "cleared", "dead_update", "critical", KERNEL),
    ]


def test_the_alert_says_since_when():
    """`first_seen` is the first record behind it, `last_seen` the last at which it held."""
    raised, cleared = run(
        DeadUpdate(), _series(80, changes={40: STILL, 60: dict.fromkeys(STILL, 0.001)})
    )
    assert (raised.first_seen, raised.last_seen, raised.samples) == (40, 42, 3)
    assert (cleared.first_seen, cleared.last_seen) == (40, 61)
    assert raised.value == pytest.approx(1e-9)
    assert raised.threshold == 1e-7
    assert raised.evidence["learning_rate"] == pytest.approx(1e-3)
    assert "1.0e-09" in raised.message
    assert "dense" in raised.remedy


@pytest.mark.parametrize(
    ("arguments", "step"),
    [({}, 21), ({"warmup": 0}, 3), ({"warmup": 0, "patience": 7}, 7), ({"warmup": 33}, 34)],
)
def test_patience_and_warmup(arguments, step):
    """Each parameter moves the update at which it fires, and by how much is known."""
    assert _events(_series(**STILL), DeadUpdate(**arguments))[0][0] == step


@pytest.mark.parametrize(("threshold", "fires"), [(1e-10, False), (2e-9, True), (1e-7, True)])
def test_threshold(threshold, fires):
    """An update ratio of 1e-9 is dead or not by the threshold alone."""
    dead = [e for e in _events(_series(**STILL, loss=1.0), DeadUpdate(threshold)) if "dead" in e[2]]
    assert bool(dead) == fires


def test_a_healthy_series_is_silent():
    """10 000 healthy records."""
    assert _events(_series(10_000)) == []


@pytest.mark.parametrize("ratio", [2e-5, 5.5e-5])
def test_slow_and_healthy_is_silent(ratio):
    """SGD at 1e-4 gives 2e-5, Adam at 1e-5 gives 5.5e-5, and both learn."""
    assert _events(_series(2000, update_ratio=ratio, window_change=ratio)) == []


def test_a_single_quiet_update_is_no_standstill():
    """Quiet samples 50 updates apart, but the weights moved in between."""
    records = _series(3000, every=50, update_ratio=1e-9, window_change=1e-2)
    assert _events(records) == []


def test_records_that_must_not_be_judged():
    """A learning rate of zero, and updates that overwrote the weights by their average."""
    assert _events(_series(200, **STILL, learning_rate=0.0)) == []
    assert _events(_series(200, **STILL, judged=False)) == []


def test_learning_rate_schedules():
    """A tail below 1 % of the peak and a warm-up are no fault; the same rate held constant is."""
    decays = [
        make_record(s, learning_rate=1e-3 * 0.9**s, update_ratio=0.9**s, window_change=0.9**s)
        for s in range(1, 300)
    ]
    rises = [make_record(s, learning_rate=1e-12 * s, **STILL) for s in range(1, 300)]
    assert _events(decays) == []
    assert _events(rises) == []
    assert _events(_series(300, learning_rate=1e-12, **STILL))[0][2] == "dead_update"


def test_an_unknown_learning_rate_does_not_hide_a_fault():
    """An optimizer without a learning rate is judged too."""
    assert _events(_series(**STILL, learning_rate=math.nan))[0][0] == 21


def test_weight_decay_moves_a_dead_layer():
    """AdamW: no gradient, yet 4e-6 per update straight toward zero."""
    decay = {**ZERO, "update_norm": 4e-6, "update_ratio": 4e-6, "decay_cosine": 1.0}
    decay |= {"window_change": 4e-6, "update_zero_fraction": 0.0}
    assert _events(_series(**decay)) == [(21, "raised", "decay_only", "critical", KERNEL)]
    assert _events(_series(**{**decay, "gradient_norm": 0.1, "gradient_zero_fraction": 0.0})) == []


def test_zero_gradient_from_the_start():
    """Nothing has moved for 20 updates: raised as soon as the warm-up is over."""
    assert _events(_series(**ZERO)) == [(21, "raised", "zero_gradient", "critical", KERNEL)]


def test_zero_gradient_must_last_ten_updates():
    """A few updates without a gradient happen on small batches; ten records in a row do not."""
    for length, expected in ((9, []), (10, [49])):
        records = _series(
            200, changes={40: ZERO, 40 + length: {name: HEALTHY[name] for name in ZERO}}
        )
        raised = [e[0] for e in _events(records) if e[1] == "raised"]
        assert raised == expected


def test_zero_gradient_while_momentum_coasts():
    """Adam moves on for a while: only ten records in a row are proof."""
    coasting = {**ZERO, "update_norm": 1e-4, "update_ratio": 1e-4, "window_change": 1e-4}
    coasting["update_zero_fraction"] = 0.0
    assert _events(_series(changes={30: coasting})) == [
        (39, "raised", "zero_gradient", "critical", KERNEL)
    ]


def test_accumulation_makes_no_records_between_updates():
    """Weights that stand still on k-1 of k micro-steps are never recorded: nothing to fool us."""
    assert _events(_series(400, every=4)) == []


def test_not_connected_is_raised_at_the_first_record():
    """None is exact: neither warm-up nor patience, for biases too."""
    layout = make_layout("aux/kernel", "aux/bias", connected=False)
    nothing = {**ZERO, "gradient_norm": math.nan, "gradient_zero_fraction": math.nan}
    assert _events(_series(100, layout=layout, **nothing)) == [
        (1, "raised", "not_connected", "critical", ("aux/kernel", "aux/bias"))
    ]


@pytest.mark.parametrize(
    ("regularized", "size", "fires"), [(True, 64, True), (False, 64, False), (True, 2, False)]
)
def test_regularisation_only(regularized, size, fires):
    """A gradient along the weights, with a penalty and enough elements for a direction."""
    layout = make_layout("d/kernel", shape=(size, 2), regularized=regularized)
    events = _events(_series(layout=layout, gradient_weight_cosine=0.999))
    assert events == (
        [(21, "raised", "regularisation_only", "warning", ("d/kernel",))] if fires else []
    )


@pytest.mark.parametrize(
    ("dtype", "ratio", "zeros", "fires"),
    [
        ("bfloat16", 1e-3, 0.72, True),
        ("float16", 1e-3, 0.72, True),
        ("float32", 1e-3, 0.72, False),
        ("float32", 5e-8, 0.72, True),
        ("bfloat16", 1e-3, 0.3, False),
    ],
)
def test_lost_updates(dtype, ratio, zeros, fires):
    """Most elements have a gradient and do not change: rounding, in the dtypes where it can be."""
    layout = make_layout("d/kernel", dtype=dtype)
    records = _series(
        layout=layout, update_ratio=ratio, window_change=ratio, update_zero_fraction=zeros
    )
    want = [(21, "raised", "lost_update", "warning", ("d/kernel",))] if fires else []
    assert _events(records) == want


def test_rows_of_an_embedding_that_no_batch_touches():
    """97 % of the elements do not change because they have no gradient: healthy."""
    layout = make_layout("tokens/embeddings", shape=(1000, 16))
    records = _series(2000, layout=layout, gradient_zero_fraction=0.97, update_zero_fraction=0.97)
    assert _events(records) == []


def test_a_bias_before_batch_normalisation_is_not_sick():
    """Its gradient is rounding noise or zero while the kernel of its layer trains."""
    layout = make_layout("conv/kernel", "conv/bias")
    noise = {"update_ratio": [1e-3, 1e-10], "window_change": [1e-3, 1e-10]}
    assert _events(_series(2000, layout=layout, gradient_norm=[0.1, 1e-12], **noise)) == []
    zero = {name: [value, 0.0] for name, value in HEALTHY.items() if name in ZERO}
    assert _events(_series(2000, layout=layout, **zero)) == []


def test_scale_and_shift_of_a_normalisation():
    """Small steps of gamma beside its scale of 1 say nothing; no gradient at all does."""
    layout = make_layout("norm/gamma", "norm/beta", shape=(16,))
    assert _events(_series(2000, layout=layout, **STILL)) == []
    assert _events(_series(layout=layout, **ZERO)) == [
        (21, "raised", "zero_gradient", "critical", ("norm/gamma", "norm/beta"))
    ]


def test_a_sick_layer_lists_its_bias():
    """One alert names the first variable in forward order and the others with it."""
    layout = make_layout("a/kernel", "a/bias", "b/kernel", "b/bias")
    dead_b = {n: [v, v, ZERO[n], ZERO[n]] for n, v in HEALTHY.items() if n in ZERO}
    assert _events(_series(layout=layout, **dead_b)) == [
        (21, "raised", "zero_gradient", "critical", ("b/kernel", "b/bias"))
    ]


def _losses(start, end, last=400):
    return [start * (end / start) ** (step / last) for step in range(1, last + 1)]


def test_a_converged_run_is_silent():
    """If less than 5 % of the loss is left, a gradient of zero everywhere is success."""
    losses = _losses(1.0, 1e-4)
    done = [make_record(s, loss=x, **(ZERO if s > 250 else {})) for s, x in enumerate(losses, 1)]
    assert _events(done) == []
    stuck = [make_record(s, loss=1.0, **(ZERO if s > 250 else {})) for s in range(1, 401)]
    assert [e[:3] for e in _events(stuck)] == [(260, "raised", "zero_gradient")]


def test_solved_batches_after_progress_need_longer():
    """The loss fell to a third and all gradients are zero: raised only after 100 such updates."""
    losses = [*_losses(1.0, 0.3, 100), *[0.3] * 300]
    records = [make_record(s, loss=x, **(ZERO if s > 150 else {})) for s, x in enumerate(losses, 1)]
    assert [e[:3] for e in _events(records)] == [(251, "raised", "zero_gradient")]


SMALL = {"update_ratio": 5e-7, "window_change": 5e-7}


def test_update_too_small_only_if_the_loss_does_not_fall():
    """Between 1e-7 and 1e-6 it depends on whether the run gets anywhere."""
    assert _events(_series(**SMALL)) == [(21, "raised", "update_too_small", "warning", KERNEL)]
    falling = [make_record(s, loss=0.99**s, **SMALL) for s in range(1, 400)]
    assert _events(falling) == []


def test_weights_too_large():
    """Initial weights 40 times He's make Adam's full step invisible: the cure is the init."""
    he = math.sqrt(2 / 3136)
    large = WatchedVariable("fc1/kernel", (3136, 1024), initial_rms=1.0)
    usual = WatchedVariable("fc2/kernel", (3136, 1024), initial_rms=he)
    assert large.expected_rms == pytest.approx(he)
    records = _series(layout=Layout((large, usual)), update_ratio=1.5e-4, window_change=1.5e-4)
    (alert,) = run(DeadUpdate(), records)
    assert (alert.step, alert.diagnosis, alert.variables) == (
        21,
        "weights_too_large",
        ("fc1/kernel",),
    )
    assert alert.value == pytest.approx(1 / he)
    falling = _losses(1e5, 1e3)  # 1 % of the loss is left, and the weights are as large as ever
    values = {"update_ratio": 1.5e-4, "window_change": 1.5e-4, "layout": Layout((large,))}
    records = [make_record(s, loss=loss, **values) for s, loss in enumerate(falling, 1)]
    assert [e[1] for e in _events(records)] == ["raised"]
    moving = _series(layout=Layout((large, usual)), update_ratio=5e-3, window_change=5e-3)
    assert _events(moving) == []


def test_weights_too_large_by_a_small_fan_in():
    """One wide initializer for the whole net shows less where the fan-in is small: listed too."""
    first = WatchedVariable("conv1/kernel", (5, 5, 1, 32), initial_rms=1.0)  # 3.5 times He's
    large = WatchedVariable("fc1/kernel", (3136, 1024), initial_rms=1.0)
    values = {"update_ratio": 1.5e-4, "window_change": 1.5e-4}
    (alert,) = run(DeadUpdate(), _series(layout=Layout((first, large)), **values))
    assert alert.variables == ("conv1/kernel", "fc1/kernel")
    assert _events(_series(layout=Layout((first,)), **values)) == []


def test_the_first_cause_has_the_word():
    """A dead layer in bfloat16 with huge weights has one diagnosis: no gradient."""
    layout = Layout((WatchedVariable("d/kernel", (64, 64), "bfloat16", initial_rms=50.0),))
    assert [e[2] for e in _events(_series(layout=layout, **ZERO))] == ["zero_gradient"]


def test_missing_quantities_are_no_fault():
    """A record without update statistics, or all NaN, makes no alert and no crash."""
    nan = dict.fromkeys(HEALTHY, math.nan)
    assert _events(_series(100, **nan)) == []
    assert _events([make_record(s, quantities={}) for s in range(1, 100)]) == []


def test_another_layout_begins_anew():
    """Variables that vanish or appear take no counts with them."""
    first = _series(10, **STILL)
    other = _series(30, first=11, layout=make_layout("new/kernel"), **STILL)
    assert _events([*first, *other]) == []
    assert (
        _events([*first, *_series(31, first=11, layout=make_layout("new/kernel"), **STILL)])[0][0]
        == 31
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": 0}, "threshold must be a number between 0 and 1; got 0."),
        ({"threshold": -1e-7}, "threshold must"),
        ({"threshold": math.nan}, "threshold must"),
        ({"threshold": "1e-7"}, "threshold must"),
        ({"threshold": True}, "threshold must"),
        ({"patience": 0}, "patience must be an int of at least 1; got 0."),
        ({"patience": 2.5}, "patience must"),
        ({"warmup": -1}, "warmup must be an int of at least 0; got -1."),
        ({"warmup": None}, "warmup must"),
    ],
)
def test_bad_arguments(arguments, says):
    """One sentence: what was given, what is allowed."""
    with pytest.raises(ValueError, match=says):
        DeadUpdate(**arguments)
