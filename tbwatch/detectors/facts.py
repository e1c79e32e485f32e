"""What rules ask about the run as a whole: how its loss and its learning rate go."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from tbwatch.record import Record

# A loss that has fallen by less than this share of its start has not fallen.
STALLED = 0.01
AT_CHANCE = 0.02
# Losses that are so many times those of the first steps were thrown up.
THROWN_UP = 3.0
# A first loss that is so near to that of guessing, by a factor, is that of an untrained net; one
# among the next that is ten times higher was thrown up, whatever follows.
NEAR_GUESSING = 1.5
FAR_UP = 10.0
# One that has fallen by this share, below that of guessing, is on its way.
LEARNS = 0.1


class LearningRateGate:
    """Tells when the learning rate is too low for a verdict about small updates.

    A rate of zero moves nothing; a schedule that ends, or that is still warming up, is no fault.
    """

    def __init__(self, least_share_of_peak: float = 0.01) -> None:
        self.least_share_of_peak = least_share_of_peak
        self.peak = 0.0
        self.is_alive = True
        self._last = math.inf

    def update(self, rate: float) -> bool:
        """Whether the rate of this record allows a verdict; an unknown rate (NaN) does."""
        if math.isnan(rate):
            return True
        rising = rate > self._last
        self._last = rate
        self.peak = max(self.peak, abs(rate))
        self.is_alive = abs(rate) > self.least_share_of_peak * self.peak
        return not rising and self.is_alive


class LossTrend:
    """Follows the loss of the sampled updates: where it began, where it is, how noisy it is.

    Attributes:
        count: losses seen so far.
        now: moving average of the last ones (weights 2 / (window + 1)); NaN before the first.
        best: lowest mean of 30 losses in a row; NaN before there are 30.
        best_step: update of the last of them.
        since_best: losses seen since.
        start: mean of the first 10 losses; of those before, if the first steps threw it up for
            good, or from about that of guessing to ten times that; NaN before the first.
        noise: standard deviation of a single loss about its trend, over the last 30; NaN before
            there are 3. Source: von Neumann et al., "The mean square successive difference", 1941.
    """

    window = 10
    recent_window = 30

    def __init__(self) -> None:
        self.count = 0
        self.now = self.best = self.start = self.noise = math.nan
        self.best_step = self.since_best = 0
        self._first: list[float] = []
        self._recent: deque[float] = deque(maxlen=self.recent_window)
        self._older: deque[float] = deque(maxlen=self.recent_window)

    def update(self, record: Record) -> None:
        """Take the loss of the next record, if it is known and finite."""
        if not record.quantities or not record.loss_is_known or not math.isfinite(record.loss):
            return
        self.count += 1
        if len(self._first) < self.window:
            self._first.append(record.loss)
            self.start = _start(self._first, record.layout.setup.chance_loss)
        if len(self._recent) == self.recent_window:
            self._older.append(self._recent[0])
        self._recent.append(record.loss)
        if len(self._recent) > 2:
            self.noise = float(np.sqrt(np.mean(np.square(np.diff(self._recent))) / 2.0))
        weight = 2.0 / (self.window + 1)
        known = math.isfinite(self.now)
        self.now = (1 - weight) * self.now + weight * record.loss if known else record.loss
        self.since_best += 1
        if len(self._recent) == self.recent_window and not self.recent >= self.best:
            self.best, self.best_step, self.since_best = self.recent, record.step, 0

    @property
    def lowest_first(self) -> float:
        """Lowest of the first 3 losses, before steps that were too large can have had a say."""
        return min(self._first[:3], default=math.nan)

    @property
    def recent(self) -> float:
        """Mean of the last 30 losses; NaN before the first."""
        return sum(self._recent) / len(self._recent) if self._recent else math.nan

    @property
    def older(self) -> float:
        """Mean of the 30 losses before those; NaN before there are 30."""
        full = len(self._older) == self.recent_window
        return sum(self._older) / len(self._older) if full else math.nan

    @property
    def recent_error(self) -> float:
        """Standard error of `recent`."""
        return self.noise / math.sqrt(len(self._recent)) if self._recent else math.nan

    @property
    def improves(self) -> bool:
        """Whether the loss has fallen by at least 1 % of its start."""
        return self.start - self.now >= 0.01 * abs(self.start)

    def has_fallen_by(self, share: float) -> bool:
        """Whether at most `1 - share` of the starting loss is left."""
        return self.start - self.now >= share * abs(self.start)

    def is_near(self, chance: float | None) -> bool:
        """Whether the mean of the last 30 is that of guessing, give or take 2 %."""
        return chance is not None and abs(self.recent - chance) <= AT_CHANCE * chance

    def was_below(self, chance: float | None) -> bool:
        """Whether it has ever been 2 % better than guessing, beyond noise."""
        error = 2.0 * self.recent_error
        return chance is not None and self.best + error < (1 - AT_CHANCE) * chance

    @property
    def has_risen(self) -> bool:
        """Whether it is above its start by a fifth, on the mean of the last 30."""
        return self.recent - self.start > 0.2 * abs(self.start)

    @property
    def has_converged(self) -> bool:
        """Whether less than 5 % of the starting loss is left."""
        return abs(self.now) <= 0.05 * abs(self.start) and self.start != 0

    @property
    def fallen_by(self) -> float:
        """Share of the start by which the mean of the last 30 is below it."""
        return (self.start - self.recent) / abs(self.start) if self._first and self.start else 0.0

    @property
    def most_likely_fallen_by(self) -> float:
        """Share of the start by which the loss has fallen at most, noise counted in its favour."""
        if not self._first or self.start == 0:
            return math.nan
        error = self.noise * math.sqrt(1 / len(self._first) + 1 / len(self._recent))
        return (self.start - self.recent + 2.0 * error) / abs(self.start)


def _start(first: Sequence[float], chance: float | None) -> float:
    """Where a loss began, from its first values, and that of guessing if it is known.

    One lucky batch does not count as low: all that follows must be three times higher.
    """
    untrained = chance is not None and chance / NEAR_GUESSING < first[0] < chance * NEAR_GUESSING
    if untrained and max(first) > FAR_UP * first[0]:
        return first[0]
    for calm in (1, 3):
        before, after = first[:calm], first[calm + 1 :]
        if len(after) < 3 or min(before) <= 0:
            continue
        climbs = calm > 1 or first[0] < first[1] < first[2]
        if climbs and min(after) > THROWN_UP * float(np.mean(before)):
            return float(np.mean(before))
    return float(np.mean(first))


class Facts:
    """What holds for the whole run at the latest record; one for all rules of a panel.

    Attributes:
        loss: how the loss goes.
        updates: updates since the first record, that one included.
        epochs: epochs that have ended since the first record.
        rate_allows: whether the learning rate allows a verdict about small updates.
        rate_is_alive: whether it is above 1 % of its peak.
        alive_updates: updates up to the last one at which it was.
        peak_rate: highest learning rate so far.
        at_chance: whether the loss is that of guessing.
        stands_still: whether the loss is where it began, or has never been better than guessing;
            noise counts in favour of the run.
        first_step: update of the first record.
        last_step: update of the record before this one.
    """

    def __init__(self) -> None:
        self.loss = LossTrend()
        self._rate = LearningRateGate()
        self.rate_allows = self.rate_is_alive = True
        self.alive_updates = 0
        self.at_chance = self.stands_still = False
        self.first_step = self.last_step = self._step = self._fell_at = 0
        self.updates = self.epochs = self._first_epoch = 0

    @property
    def peak_rate(self) -> float:
        """Highest learning rate so far."""
        return self._rate.peak

    def learns(self, record: Record) -> bool:
        """Whether the loss has clearly fallen, below what guessing gives where that is known."""
        chance = record.layout.setup.chance_loss
        below = chance is None or self.loss.now < (1 - LEARNS / 2) * chance
        return below and self.loss.has_fallen_by(LEARNS)

    def is_worse(self, record: Record) -> bool:
        """Whether the loss is above its start, or above guessing, by 2 % and beyond noise."""
        chance = record.layout.setup.chance_loss
        bar = self.loss.start if chance is None else min(self.loss.start, chance)
        at_least = self.loss.recent - 2.0 * self.loss.recent_error
        return at_least > bar + AT_CHANCE * abs(bar)

    def stays_worse_than_guessing(self, record: Record) -> bool:
        """Whether a loss is above that of guessing, was never below it, and falls no more.

        A penalty on weights is part of the loss, and would have to be taken off.
        """
        chance = record.layout.setup.chance_loss
        if chance is None or any(v.regularized for v in record.layout.variables):
            return False
        loss, error = self.loss, 2.0 * self.loss.recent_error
        is_above = loss.recent - error > (1 + AT_CHANCE) * chance
        falls_no_more = loss.recent >= loss.older - math.sqrt(2.0) * error  # of a difference
        return is_above and not loss.was_below(chance) and falls_no_more

    def stalled_for(self, record: Record) -> int:
        """Updates for which the loss has stood still."""
        return record.step - self._fell_at

    def update(self, record: Record) -> None:
        """Take in the next record."""
        self.loss.update(record)
        if not record.quantities:
            return
        if not self.first_step:
            self.first_step = self._step = record.step
            self._fell_at = record.step
            self._first_epoch = record.epoch
        self.updates = record.step - self.first_step + 1
        self.epochs = record.epoch - self._first_epoch
        self.last_step, self._step = self._step, record.step
        chance = record.layout.setup.chance_loss
        self.at_chance = self.loss.is_near(chance)
        # A first step that threw the loss up makes what follows look like a fall.
        never_better = self.at_chance and not self.loss.was_below(chance)
        self.stands_still = self.loss.most_likely_fallen_by < STALLED or never_better
        if not self.stands_still:
            self._fell_at = record.step
        self.rate_allows = self._rate.update(record.learning_rate)
        self.rate_is_alive = self._rate.is_alive
        if self.rate_is_alive:
            self.alive_updates = self.updates
