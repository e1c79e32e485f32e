"""Gradients that grow without end."""

import math

import pytest

from tbwatch.detectors.exploding_gradient import ExplodingGradient
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import changes, ended

LAYOUT = make_layout("a/kernel", "b/kernel")


def _told(norms, losses, **arguments):
    records = [
        make_record(s, LAYOUT, global_gradient_norm=norm, loss=loss, gradient_norm=[norm / 2, norm])
        for s, (norm, loss) in enumerate(zip(norms, losses, strict=True), 1)
    ]
    return changes(ExplodingGradient(**arguments), records), run(
        ExplodingGradient(**arguments), records
    )


def test_a_jump_with_the_loss():
    """Twenty times what it was from update 30 on, the loss twice: raised at the second record."""
    told, alerts = _told([1.0] * 29 + [20.0] * 11, [1.0] * 29 + [2.0] * 11)
    assert told == [(31, "raised")]
    assert (alerts[0].severity, alerts[0].variables) == ("critical", ("b/kernel",))
    assert (alerts[0].value, alerts[0].threshold) == (pytest.approx(20), 10.0)
    assert alerts[0].first_seen == 30
    assert "20 times" in alerts[0].message


def test_doubling_from_the_first_record():
    """1, 2, 4, ...: ten times the largest of the first five, 16, is passed at update 9 (256)."""
    norms = [2.0**s for s in range(20)]
    assert _told(norms, norms)[0] == [(10, "raised")]


@pytest.mark.parametrize(
    ("norm", "loss", "count", "told"),
    [
        (20.0, 1.0, 20, []),  # leaving a plateau, as long as the loss does not rise
        (20.0, 1.4, 20, []),
        (20.0, 1.6, 20, [(31, "raised"), (51, "cleared")]),
        (9.0, 9.0, 20, []),
        (20.0, 9.0, 1, []),  # a single spike
        (20.0, 9.0, 2, [(31, "raised"), (33, "cleared")]),
        (math.nan, 9.0, 20, []),
        (math.inf, 9.0, 20, []),
        (0.0, 9.0, 20, []),
    ],
)
def test_look_alikes(norm, loss, count, told):
    """Norm and loss from update 30 on, for so many records."""
    norms = [1.0] * 29 + [norm] * count + [1.0] * 10
    losses = [1.0] * 29 + [loss] * count + [1.0] * 10
    assert _told(norms, losses)[0] == told


def test_a_spike_at_the_last_sample():
    """The end of a fit repeats its norm, and is no second sample of it."""
    records = [
        make_record(s, global_gradient_norm=norm, loss=norm)
        for s, norm in enumerate([1.0] * 29 + [20.0], 1)
    ]
    assert changes(ExplodingGradient(), ended(records)) == []


def test_the_scale_is_its_own():
    """A loss summed over the batch multiplies all gradients by the same: nothing changes."""
    norms, losses = [1.0] * 29 + [20.0] * 11, [1.0] * 29 + [2.0] * 11
    big = _told([norm * 1e6 for norm in norms], [loss * 1e6 for loss in losses])[0]
    assert big == _told(norms, losses)[0] != []


def test_a_steep_start_sets_the_scale():
    """The first five records may be steep; what comes back to that is no explosion."""
    norms = [100.0, 1.0, 1.0, 1.0, 1.0] + [1.0] * 24 + [20.0] * 11
    assert _told(norms, [1.0] * 29 + [9.0] * 11)[0] == []
    assert _told([*norms[:29], *[1100.0] * 11], [1.0] * 29 + [9.0] * 11)[0] == [(31, "raised")]


@pytest.mark.parametrize(("norm", "told"), [(79.0, []), (81.0, [(67, "raised")])])
def test_what_has_become_usual_sets_the_scale(norm, told):
    """1 at five records, then 8 at sixty: ten times the median of them all, which is 8."""
    norms = [1.0] * 5 + [8.0] * 60 + [norm] * 10
    assert _told(norms, [1.0] * 65 + [9.0] * 10)[0] == told


def test_parameters():
    """Factor, patience and warm-up."""
    norms, losses = [1.0] * 29 + [20.0] * 11, [1.0] * 29 + [2.0] * 11
    assert _told(norms, losses, factor=30.0)[0] == []
    assert _told(norms, losses, patience=4)[0] == [(33, "raised")]
    assert _told(norms, losses, warmup=35)[0] == [(36, "raised")]
