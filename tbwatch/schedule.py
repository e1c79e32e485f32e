"""When to sample: pure functions of the update number."""

from __future__ import annotations

import dataclasses
import math

# "auto" samples an update when its number is a multiple of number // DENSE_UPDATES: each of the
# first 50, so that a start is seen whole, then about every 4 % of the run so far ...
DENSE_UPDATES = 25
# ... and at least every so many updates.
WIDEST_INTERVAL = 100
# Histograms cost more to write: updates 1, 2, 3, 4, 6, 8, 11, ... each about 1.41 times the last.
HISTOGRAM_GROWTH = math.sqrt(2.0)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which updates are due.

    Attributes:
        update_freq: `"auto"` (dense at first, sparser later), `"epoch"` (the last update of each
            epoch), an int N (every N batches, as in Keras), or None (only `epoch_freq`).
        epoch_freq: also the last update of every so many epochs; 0 for never.
        growing: with `"auto"`: thin out geometrically instead, as histograms do.
    """

    update_freq: int | str | None = "auto"
    epoch_freq: int = 0
    growing: bool = False

    def next_due(self, after: int, start: int = 0, batches_per_update: int = 1) -> int | None:
        """The first due update greater than `after`; ends of epochs are asked for separately.

        Args:
            after: number of an update, from 0.
            start: updates done before watching began: "auto" counts from there.
            batches_per_update: gradient accumulation steps.
        """
        after = max(after, start)
        if isinstance(self.update_freq, int):
            batch = (after * batches_per_update // self.update_freq + 1) * self.update_freq
            return -(-batch // batches_per_update)
        if self.update_freq == "auto":
            since = after - start
            return start + (_next_growing(since) if self.growing else _next_auto(since))
        return None

    def is_due(self, update: int, start: int = 0, batches_per_update: int = 1) -> bool:
        """Whether an update is due, ends of epochs apart."""
        return self.next_due(update - 1, start, batches_per_update) == update

    def is_epoch_due(self, epoch: int) -> bool:
        """Whether the last update of an epoch (from 0) is due."""
        if self.update_freq == "epoch":
            return True
        return self.epoch_freq > 0 and (epoch + 1) % self.epoch_freq == 0

    def described(self) -> str:
        """When updates are due, in words.

        Example:
            >>> Schedule("auto").described(), Schedule(10).described()
            ('at each of the first 50 updates, then less often', 'at every 10th batch')
        """
        if self.update_freq == "auto":
            dense = 2 * DENSE_UPDATES
            return f"at each of the first {dense} updates, then less often"
        if isinstance(self.update_freq, int):
            return f"at every {_ordinal(self.update_freq)}batch"
        return "at the end of each epoch"

    def most_within(self, updates: int) -> int:
        """The most due updates that so many consecutive updates can hold."""
        if isinstance(self.update_freq, int):
            regular = updates // self.update_freq + 1
        elif self.update_freq == "auto":
            regular = sum(self.is_due(update) for update in range(1, updates + 1))
        else:
            regular = 0
        ends_of_epochs = 1 if self.update_freq == "epoch" or self.epoch_freq else 0
        return min(max(regular + ends_of_epochs, 1), updates)


def check_update_freq(name: str, value: int | str | None, allow_none: bool = False) -> None:
    """Refuse a frequency that is neither a positive int nor a word that is allowed.

    Raises:
        ValueError: says what was given and what is allowed.
    """
    words = ["auto", "epoch", "batch"]
    if isinstance(value, str) and value in words:
        return
    if value is None and allow_none:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        rest = '"epoch" or None' if allow_none else 'or "epoch"'
        raise ValueError(
            f'{name} must be a number of batches (an int of at least 1), "auto", "batch", '
            f"{rest}; got {value!r}."
        )


def check_epoch_freq(name: str, value: int) -> None:
    """Refuse a frequency in epochs that is not an int of at least 0.

    Raises:
        ValueError: says what was given and what is allowed.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(
            f"{name} must be a number of epochs (an int of at least 0, 0 for never); got {value!r}."
        )


def _ordinal(number: int) -> str:
    """`2nd `, `10th `; nothing for 1."""
    if number == 1:
        return ""
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else last} "


def _next_auto(since: int) -> int:
    following = since + 1
    # The interval is constant between multiples of DENSE_UPDATES, so this ends within one interval.
    while following % max(min(following // DENSE_UPDATES, WIDEST_INTERVAL), 1):
        following += 1
    return following


def _next_growing(since: int) -> int:
    exponent = 0 if since < 1 else math.floor(math.log(since) / math.log(HISTOGRAM_GROWTH))
    while round(HISTOGRAM_GROWTH**exponent) <= since:
        exponent += 1
    return round(HISTOGRAM_GROWTH**exponent)
