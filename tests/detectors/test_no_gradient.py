"""Variables that the loss does not reach: not connected, zero, decay, penalty, constant kernels."""

import math

import pytest

from tbwatch.detectors import ORDER
from tbwatch.detectors.decay_only import DecayOnly
from tbwatch.detectors.identical_units import IdenticalUnits
from tbwatch.detectors.regularisation_only import RegularisationOnly
from tbwatch.detectors.zero_gradient import ZeroGradient
from tbwatch.layout import Layout, WatchedActivation, WatchedVariable
from tbwatch.testing import HEALTHY, make_layout, make_record
from tests.detectors.series import KERNEL, ZERO, changes, events, series

RULES = [rule() for rule in ORDER]
WELL = {name: HEALTHY[name] for name in ZERO}


def test_not_connected_is_raised_at_the_first_record():
    """None is exact: neither warm-up nor patience, for biases too."""
    layout = make_layout("aux/kernel", "aux/bias", connected=False)
    nothing = {**ZERO, "gradient_norm": math.nan, "gradient_zero_fraction": math.nan}
    assert events(RULES, series(100, layout=layout, **nothing)) == [
        (1, "raised", "not_connected", "critical", ("aux/kernel", "aux/bias"))
    ]


def test_a_gradient_of_zeros_is_a_connection():
    """Not to be confused: the zero comes later, and under its own name."""
    assert [e[2] for e in events(RULES, series(**ZERO))] == ["zero_gradient"]


def test_zero_gradient_from_the_start():
    """Nothing has moved for 20 updates: raised as soon as the warm-up is over."""
    assert events(RULES, series(**ZERO)) == [(21, "raised", "zero_gradient", "critical", KERNEL)]


def test_zero_gradient_must_last_ten_updates():
    """A few updates without a gradient happen on small batches; ten records in a row do not."""
    for length, expected in ((9, []), (10, [(49, "raised"), (52, "cleared")])):
        assert changes(RULES, series(200, changes={40: ZERO, 40 + length: WELL})) == expected


def test_zero_gradient_between_sparse_samples():
    """Each 5th update is sampled: unmoved for 10 updates at the third, 3 records are enough."""
    assert changes(ZeroGradient(), series(200, first=5, every=5, changes={100: ZERO})) == [
        (110, "raised")
    ]
    moved = {**ZERO, "window_change": 1e-4}
    assert changes(ZeroGradient(), series(200, first=5, every=5, changes={100: moved})) == [
        (145, "raised")
    ]
    with_fewer = ZeroGradient(least_records=4)
    assert changes(with_fewer, series(200, first=5, every=5, changes={100: moved})) == [
        (115, "raised")
    ]


def test_zero_gradient_while_momentum_coasts():
    """Adam moves on for a while: only ten records in a row are proof."""
    coasting = {**ZERO, "update_norm": 1e-4, "update_ratio": 1e-4, "window_change": 1e-4}
    coasting["update_zero_fraction"] = 0.0
    assert events(RULES, series(changes={30: coasting})) == [
        (39, "raised", "zero_gradient", "critical", KERNEL)
    ]


def _branch(values, last, epoch_every, **fields):
    """Kernel a trains, kernel b has these values from update 31 on."""
    layout = make_layout("a/kernel", "b/kernel")
    sick = {name: [HEALTHY[name], value] for name, value in values.items()}
    return [
        make_record(s, layout, epoch=s // epoch_every, **(sick if s > 30 else {}), **fields)
        for s in range(1, last + 1)
    ]


@pytest.mark.parametrize("values", [ZERO, {**ZERO, "update_norm": 4e-6, "decay_cosine": 1.0}])
def test_a_branch_that_few_batches_use(values):
    """While others learn: a whole epoch, or 1000 updates, or to the end of the fit.

    The first epoch that begins behind update 31 is that of update 100, and it ends at 200.
    """
    rule = DecayOnly() if values["update_norm"] else ZeroGradient()
    assert changes(rule, _branch(values, 300, 100)) == [(200, "raised")]
    assert changes(rule, _branch(values, 1100, 10**6)) == [(1031, "raised")]
    records = _branch(values, 90, 100)
    assert changes(rule, records) == []
    end = make_record(90, records[0].layout, quantities={}, is_last=True)
    assert changes(rule, [*records, end]) == [(90, "raised")]


def test_a_branch_that_a_batch_used_meanwhile():
    """Its update grew between two samples: there was a gradient, which no sample saw."""
    records = _branch({**ZERO, "update_norm": 1e-6, "window_change": 1e-3}, 600, 100)
    used = [
        make_record(
            r.step,
            r.layout,
            epoch=r.epoch,
            **{n: v.tolist() for n, v in r.quantities.items() if n != "update_norm"},
            update_norm=[1e-3, 1e-6 * (2 if r.step % 50 == 0 else 1)],
        )
        for r in records
    ]
    assert changes(ZeroGradient(), records) == [(200, "raised")]
    assert changes(ZeroGradient(), used) == []


def test_a_vanishing_gradient_is_not_zero():
    """One element that is not 0 is enough."""
    faint = {"gradient_norm": 1e-30, "gradient_zero_fraction": 4095 / 4096}
    records = [make_record(s, epoch=s // 10, **faint) for s in range(1, 201)]
    assert events(ZeroGradient(), records) == []


def test_solved_batches_after_progress_need_longer():
    """The loss fell to a third and all gradients are zero: raised only after 100 such updates."""
    losses = [*(1.0 * 0.3 ** (s / 100) for s in range(1, 101)), *[0.3] * 300]
    records = [make_record(s, loss=x, **(ZERO if s > 150 else {})) for s, x in enumerate(losses, 1)]
    assert [e[:3] for e in events(RULES, records)] == [(251, "raised", "zero_gradient")]


DECAY = {**ZERO, "update_norm": 4e-6, "update_ratio": 4e-6, "decay_cosine": 1.0}
DECAY |= {"window_change": 4e-6, "update_zero_fraction": 0.0}


def test_weight_decay_moves_a_dead_layer():
    """AdamW: no gradient, yet 4e-6 per update straight toward zero."""
    assert events(RULES, series(**DECAY)) == [(21, "raised", "decay_only", "critical", KERNEL)]


@pytest.mark.parametrize(
    ("values", "size", "fires"),
    [
        ({"gradient_norm": 0.1, "gradient_zero_fraction": 0.0}, 64, False),
        ({"gradient_norm": 64 * 1.1e-12, "gradient_zero_fraction": 0.0}, 64, False),
        ({"gradient_norm": 64 * 0.9e-12, "gradient_zero_fraction": 0.0}, 64, True),
        ({"decay_cosine": 0.98}, 64, False),
        ({"update_norm": 0.0}, 64, False),
        ({}, 3, False),
    ],
)
def test_decay_only_and_its_look_alikes(values, size, fires):
    """A gradient above 1e-12, another direction, no movement, or too few elements to have one."""
    layout = make_layout("d/kernel", shape=(size, size))
    records = [make_record(s, layout, epoch=s // 10, **{**DECAY, **values}) for s in range(1, 61)]
    assert bool(events(DecayOnly(), records)) == fires


@pytest.mark.parametrize(
    ("regularized", "size", "cosine", "gradient", "fires"),
    [
        (True, 64, 0.999, 0.1, True),
        (False, 64, 0.999, 0.1, False),
        (True, 2, 0.999, 0.1, False),
        (True, 64, 0.98, 0.1, False),
        (True, 64, -0.999, 0.1, False),
        (True, 64, 0.999, 0.0, False),
    ],
)
def test_regularisation_only(regularized, size, cosine, gradient, fires):
    """A gradient along the weights, with a penalty and enough elements for a direction."""
    layout = make_layout("d/kernel", shape=(size, 2), regularized=regularized)
    records = series(layout=layout, gradient_weight_cosine=cosine, gradient_norm=gradient)
    want = [(21, "raised", "regularisation_only", "warning", ("d/kernel",))] if fires else []
    assert events(RegularisationOnly(), records) == want


def test_regularisation_only_is_cleared():
    """From update 40 on the loss is felt again."""
    layout = make_layout(regularized=True)
    away = {40: {"gradient_weight_cosine": 0.3}}
    records = series(layout=layout, gradient_weight_cosine=0.999, changes=away)
    assert changes(RegularisationOnly(), records) == [(21, "raised"), (42, "cleared")]


def _kernels(*constant, units=8):
    """Kernels of which those are constant, each with a zero bias."""
    variables = []
    for name, same in zip("abcd", constant, strict=False):
        variables.append(WatchedVariable(f"{name}/kernel", (4, units), constant=same))
        variables.append(WatchedVariable(f"{name}/bias", (units,), constant=True))
    return Layout(tuple(variables))


@pytest.mark.parametrize(
    ("constant", "named"),
    [
        ((True, True, True), ("a/kernel", "b/kernel")),
        ((False, True, True), ("b/kernel",)),
        ((False, False, True), ()),
        ((True, False, True), ()),
        ((True, True, False), ()),
        ((False, False, False), ()),
    ],
)
def test_identical_units(constant, named):
    """Constant, and all behind it too; random kernels behind break the symmetry."""
    want = [(21, "raised", "identical_units", "critical", named)] if named else []
    assert events(RULES, series(layout=_kernels(*constant))) == want


def test_identical_units_come_before_the_zero_that_they_cause():
    """Zero kernels pass no gradient; the cause is the initialiser."""
    zero = {name: [value] * 6 for name, value in ZERO.items()}
    affected = ("a/bias", "b/bias", "c/kernel", "c/bias")
    assert events(RULES, series(layout=_kernels(True, True, True), **zero)) == [
        (21, "raised", "identical_units", "critical", ("a/kernel", "b/kernel", *affected))
    ]


@pytest.mark.parametrize(("spread", "fires"), [(0.1, True), (0.2, False), (math.nan, False)])
def test_the_activations_must_agree(spread, fires):
    """What units differ by is the spread of all outputs beyond that within each unit, here 0.1.

    Where it is known, a random kernel further behind does not matter; unknown, it does.
    """
    relu = WatchedActivation("a", "a", "relu", units=8)
    layout = Layout(_kernels(True, True, False).variables, activations=(relu,))
    records = series(layout=layout, activation_std=spread, unit_std=0.1)
    want = [(21, "raised", "identical_units", "critical", ("a/kernel",))] if fires else []
    assert events(IdenticalUnits(), records) == want


def test_one_unit_is_not_identical_to_another():
    """A layer one unit wide has nothing to tell apart."""
    assert events(IdenticalUnits(), series(layout=_kernels(True, True, units=1))) == []
