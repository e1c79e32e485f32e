"""What is known of the run: the way of the loss and of the learning rate."""

import math

import numpy as np
import pytest

from tbwatch.detectors.facts import Facts, LearningRateGate, LossTrend
from tbwatch.layout import Setup
from tbwatch.testing import make_layout, make_record
from tests.detectors.series import of_losses


def _trend(losses):
    trend = LossTrend()
    for record in of_losses(losses):
        trend.update(record)
    return trend


def test_the_means_of_a_trend():
    """Start, last 30, the 30 before, the best 30 in a row, and the moving average."""
    losses = np.random.default_rng(0).normal(5.0, 1.0, 200)
    trend = _trend(losses)
    assert trend.count == 200
    assert trend.start == pytest.approx(losses[:10].mean())
    assert trend.recent == pytest.approx(losses[-30:].mean())
    assert trend.older == pytest.approx(losses[-60:-30].mean())
    means = np.convolve(losses, np.full(30, 1 / 30), "valid")
    assert trend.best == pytest.approx(means.min())
    assert trend.best_step == means.argmin() + 30
    assert trend.since_best == 200 - trend.best_step
    average = losses[0]
    for loss in losses[1:]:
        average += 2 / 11 * (loss - average)
    assert trend.now == pytest.approx(average)


def test_noise_ignores_the_trend():
    """A straight fall has next to none; independent noise is found in spite of a fall."""
    assert _trend(np.linspace(10, 0, 300)).noise == pytest.approx(10 / 299 / math.sqrt(2))
    noise = np.random.default_rng(1).normal(0, 0.5, 300)
    assert _trend(np.linspace(10, 0, 300) + noise).noise == pytest.approx(0.5, rel=0.3)
    assert _trend([1, 3] * 20).recent_error == pytest.approx(2 / math.sqrt(2) / math.sqrt(30))


def test_a_loss_thrown_up_by_the_first_steps():
    """1 to begin with, then 100: the start is where it began."""
    assert _trend([1.0] * 3 + [100.0] * 30).start == 1.0
    assert _trend([1.0] * 3 + [2.0] * 30).start == pytest.approx(1.7)
    assert _trend([1.0, 50.0, *[100.0] * 30]).start == 1.0
    assert _trend([-1.0, 50.0, *[100.0] * 30]).start == pytest.approx(84.9)


@pytest.mark.parametrize(
    ("chance", "start"),
    [(1.386, 1.225), (None, (1.225 + 194 + 189 + 232 + 6 * 30) / 10), (0.693, None), (9.0, None)],
)
def test_a_net_that_guesses_at_first_began_there(chance, start):
    """What is thrown up tenfold is no start, even if it falls again; if it did not guess, it is."""
    trend = LossTrend()
    losses = [1.225, 194.0, 189.0, 232.0, *[30.0] * 6]
    for step, loss in enumerate(losses, 1):
        trend.update(make_record(step, make_layout(setup=Setup(chance_loss=chance)), loss=loss))
    assert trend.start == pytest.approx(sum(losses) / 10 if start is None else start)


def test_one_lucky_batch_is_no_start():
    """Of losses that jump, as with batches of one, a low first one says nothing."""
    lucky = [0.1, 5.0, 3.0, 1.0, 6.0, 0.2, 4.0, 2.0, 3.0, 0.7]
    assert _trend(lucky).start == pytest.approx(2.5)
    # Followed by a fall instead of a climb, 2.9 times up, or one that comes down again.
    for after in ([5.0, 3.1, *[3.5] * 7], [2.0, *[2.9] * 8], [4.0, 5.0, 6.0, 2.0, *[9.0] * 5]):
        assert _trend([1.0, *after]).start == pytest.approx((1.0 + sum(after)) / 10)


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 2.0]])
def test_a_few_losses_say_nothing(losses):
    """No noise, no verdict."""
    trend = _trend(losses)
    assert math.isnan(trend.noise)
    assert math.isnan(trend.best)
    assert not trend.has_converged
    assert not trend.has_risen
    assert not trend.most_likely_fallen_by < 0.01


def test_losses_that_do_not_count():
    """Not finite, not known, or of a batch that was not sampled."""
    trend = _trend([1.0] * 20)
    for record in (
        make_record(21, loss=math.nan),
        make_record(22, loss=9.0, loss_is_known=False),
        make_record(23, loss=9.0, quantities={}),
    ):
        trend.update(record)
    assert (trend.count, trend.now, trend.recent) == (20, 1.0, 1.0)


@pytest.mark.parametrize(
    ("left", "improves", "half", "converged", "risen"),
    [
        (1.0, False, False, False, False),
        (0.98, True, False, False, False),
        (0.4, True, True, False, False),
        (0.04, True, True, True, False),
        (1.1, False, False, False, False),
        (1.3, False, False, False, True),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_verdicts_have_no_unit(left, improves, half, converged, risen, unit):
    """Shares of the start, so a loss summed over the batch is judged the same."""
    trend = _trend([unit] * 10 + [left * unit] * 100)
    told = trend.improves, trend.has_fallen_by(0.5), trend.has_converged, trend.has_risen
    assert told == (improves, half, converged, risen)


def test_a_negative_loss_falls_too():
    """From -1 to -2 is a fall by the size of the start, not a rise."""
    trend = _trend([-1.0] * 10 + [-2.0] * 100)
    assert trend.improves
    assert not trend.has_risen
    assert not _trend([-1.0] * 100).improves
    assert _trend([-1.0] * 10 + [-0.5] * 100).has_risen


def test_the_gate_of_the_learning_rate():
    """No verdict while it rises or is at most 1 % of its peak; unknown, it does not matter."""
    gate = LearningRateGate()
    rates = [1.0, 1.0, 0.5, 0.6, 0.6, 0.0099, 0.0101, 0.0101, math.nan, 0.0]
    allowed = [True, True, True, False, True, False, False, True, True, False]
    assert [gate.update(rate) for rate in rates] == allowed
    assert gate.peak == 1.0


def test_facts_count_updates_and_epochs_from_the_first_record():
    """Whatever number that one has; batches alone do not count."""
    facts = Facts()
    for step, epoch in ((101, 3), (105, 3), (110, 5)):
        facts.update(make_record(step, epoch=epoch, learning_rate=0.1))
    facts.update(make_record(112, epoch=6, quantities={}))
    assert (facts.first_step, facts.last_step) == (101, 105)
    assert (facts.updates, facts.epochs) == (10, 2)
    assert facts.peak_rate == 0.1


def test_how_long_the_loss_has_stood_still():
    """Counted in updates, from the last one at which it may have fallen by 1 %."""
    facts = Facts()
    for step in range(1, 102, 10):
        facts.update(make_record(step))
    assert facts.stalled_for(make_record(101)) == 101 - 11  # noise is known from the third on
    facts.update(make_record(111, loss=0.5))
    assert facts.stalled_for(make_record(111)) == 0
