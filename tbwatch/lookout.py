"""Which updates are sampled next, and when to look at the device for their samples."""

from __future__ import annotations

from collections.abc import Sequence

from tbwatch.capture import Capture
from tbwatch.parts import Part
from tbwatch.planner import Planner

# Updates that can be sampled between two looks of the host.
LEAST_SLOTS = 4


class Lookout:
    """Plans samples and follows the batches, so that the device is asked only if it may have some.

    Args:
        capture: what samples, and knows how often the optimizer was called.
        batches_per_epoch: None while the length of an epoch is not known.
        batches_per_call: the most updates between two looks; None for what the model executes.

    Attributes:
        batches: those that the epoch has had so far.
    """

    def __init__(
        self, capture: Capture, batches_per_epoch: int | None, batches_per_call: int | None
    ) -> None:
        self._capture, self._training = capture, capture.training
        self._batches_per_epoch = batches_per_epoch
        self._given_batches_per_call = batches_per_call
        self._planner = Planner(0)
        self._epoch = self.batches = self._batches_before_epoch = 0
        self._known_updates = self._calls = self._first_planned = self._run_before = 0

    def start(self, updates: int) -> None:
        """Schedules begin after so many updates."""
        per_update = self._training.batches_per_update
        self._planner = Planner(updates, per_update, self._batches_per_epoch)

    def begin_epoch(self, epoch: int, parts: Sequence[Part]) -> None:
        """An epoch (from 0) begins."""
        self._epoch = epoch
        self._batches_before_epoch = self._training.batches_done
        self._planner.begin_epoch(epoch, self._batches_before_epoch)
        self.plan(parts)

    def end_batch(self, batch: int, parts: Sequence[Part]) -> bool:
        """A batch (from 0), or a call of several that ends with it, has been trained.

        Returns:
            Whether to look for samples, and to plan anew.
        """
        self._calls += 1
        self.batches = batch + 1
        left = self._batches_to_wanted_end(parts)
        if left:
            self._planner.expect_end(self._epoch, left, self._training.batches_done)
        return bool(left) or self._may_have_sampled()

    def end_epoch(self) -> None:
        """The epoch has ended."""
        if self._planner.knows_epochs:
            return
        done = self._training.batches_done
        # Keras lets the optimizer count once more when a generator runs dry, and counts too
        # many batches itself when an execution of several is cut short.
        counted = done - self._batches_before_epoch
        batches = self.batches if self._batches_per_call == 1 else counted
        self._planner.end_epoch(self._epoch, batches, done)

    def plan(self, parts: Sequence[Part]) -> None:
        """Plan the next updates that these parts want."""
        self._known_updates, self._calls = self._training.updates_done, 0
        wanted = [(part.schedule, bool(part.histogram_kinds)) for part in parts]
        planned, histograms = self._planner.plan(wanted, self._known_updates, self.slots)
        self._run_before = self._capture.applies_run
        self._first_planned = planned[0] if planned else 0
        self._training.plan(planned, histograms)

    def is_due(self, part: Part, update: int) -> bool:
        """Whether a part wants this update."""
        return self._planner.is_due(part.schedule, update)

    @property
    def slots(self) -> int:
        """Updates that can be sampled between two looks."""
        # More than one per batch, for training steps that apply an optimizer more than once.
        return max(2 * self._batches_per_call, LEAST_SLOTS)

    def histogram_slots(self, parts: Sequence[Part]) -> int:
        """How many of them can have histograms."""
        with_histograms = [part.schedule for part in parts if part.histogram_kinds]
        return self._planner.most_within(with_histograms, self._batches_per_call)

    @property
    def _batches_per_call(self) -> int:
        given = self._given_batches_per_call
        return given or max(int(self._training.model.steps_per_execution or 1), 1)

    def _batches_to_wanted_end(self, parts: Sequence[Part]) -> int:
        """Batches of the next call, if that ends an epoch whose last update is wanted; else 0.

        Which update that is nobody knows at the beginning of the epoch: updates are skipped, or an
        optimizer has not its turn in every batch.
        """
        left = self._planner.batches_left(self.batches)
        if left > self._batches_per_call:  # nearly always: asked at every batch
            return 0
        return left if any(part.schedule.is_epoch_due(self._epoch) for part in parts) else 0

    def _may_have_sampled(self) -> bool:
        """Whether a planned update may have happened since the last look; asks the host alone."""
        # An optimizer makes at most one update per call of `apply`: those of a step that is run
        # eagerly pass through here, those of a traced one only when it is traced.
        run = self._capture.applies_run
        traced = max(self._capture.applies - run, 0 if run else 1)
        most = self._known_updates + self._calls * self._batches_per_call * traced
        return 0 < self._first_planned <= most + run - self._run_before
