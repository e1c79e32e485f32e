"""Which updates to sample next: schedules, epochs and accumulation put together."""

from __future__ import annotations

from collections.abc import Iterable

from tbwatch.schedule import Schedule


class Planner:
    """Follows the epochs of a fit and tells which updates are due.

    Args:
        start: updates done before watching began.
        batches_per_update: gradient accumulation steps.
        batches_per_epoch: None while the length of an epoch is not known.
    """

    def __init__(
        self, start: int, batches_per_update: int = 1, batches_per_epoch: int | None = None
    ) -> None:
        self._start = start
        self._batches_per_update = batches_per_update
        self._batches_per_epoch = batches_per_epoch
        # The updates that end an epoch, and which one.
        self._epoch_ends: dict[int, int] = {}

    @property
    def knows_epochs(self) -> bool:
        """Whether the length of an epoch is known."""
        return self._batches_per_epoch is not None

    def begin_epoch(self, epoch: int, batches_done: int) -> None:
        """An epoch (from 0) begins after so many batches in all."""
        done = batches_done // self._batches_per_update
        self._epoch_ends = {u: of for u, of in self._epoch_ends.items() if u > done}
        if self._batches_per_epoch:
            last = (batches_done + self._batches_per_epoch) // self._batches_per_update
            self._epoch_ends[last] = epoch

    def batches_left(self, batches: int) -> int:
        """Batches to come in an epoch after so many of it; 0 while its length is not known."""
        return max((self._batches_per_epoch or 0) - batches, 0)

    def expect_end(self, epoch: int, batches: int, batches_done: int) -> None:
        """An epoch will end after so many batches more, with `batches_done` in all until now."""
        self._epoch_ends = {u: of for u, of in self._epoch_ends.items() if of != epoch}
        self._epoch_ends[(batches_done + batches) // self._batches_per_update] = epoch

    def end_epoch(self, epoch: int, batches: int, batches_done: int) -> None:
        """An epoch of so many batches has ended, after `batches_done` in all."""
        if self._batches_per_epoch is None and batches:
            self._batches_per_epoch = batches
            # It ended unforeseen: the first update after it stands in for its last one.
            self._epoch_ends[batches_done // self._batches_per_update + 1] = epoch

    def next_due(self, schedule: Schedule, done: int, count: int) -> list[int]:
        """The next `count` due updates after `done`, ascending, ends of epochs included."""
        due = {
            update
            for update, epoch in self._epoch_ends.items()
            if update > done and schedule.is_epoch_due(epoch)
        }
        update: int | None = done
        for _ in range(count):
            update = schedule.next_due(update or 0, self._start, self._batches_per_update)
            if update is None:
                break
            due.add(update)
        return sorted(due)[:count]

    def plan(
        self, wanted: Iterable[tuple[Schedule, bool]], done: int, count: int
    ) -> tuple[list[int], list[int]]:
        """The next `count` updates after `done` that are due by any schedule.

        Args:
            wanted: schedules, and whether histograms are due by them too.
            done: updates so far.
            count: how many can be planned.

        Returns:
            The updates, ascending, and those due by a schedule with histograms.
        """
        due: set[int] = set()
        with_histograms: set[int] = set()
        for schedule, has_histograms in wanted:
            mine = self.next_due(schedule, done, count)
            due.update(mine)
            if has_histograms:
                with_histograms.update(mine)
        return sorted(due)[:count], sorted(with_histograms)

    def is_due(self, schedule: Schedule, update: int) -> bool:
        """Whether an update is due by this schedule."""
        epoch = self._epoch_ends.get(update)
        if epoch is not None and schedule.is_epoch_due(epoch):
            return True
        return schedule.is_due(update, self._start, self._batches_per_update)

    def most_within(self, schedules: Iterable[Schedule], batches: int) -> int:
        """The most due updates that so many batches in a row can hold; at least 1."""
        return max(min(sum(s.most_within(batches) for s in schedules), batches), 1)
