"""The records of one fit: made of samples and logs, and handed to the parts that want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tbwatch.delivery import Delivery
from tbwatch.layout import Layout, WatchedActivation
from tbwatch.parts import Part, View
from tbwatch.record import Record
from tbwatch.recording import record_of_end, record_of_logs, to_record
from tbwatch.sample import Sample
from tbwatch.units import UnitStreaks
from tbwatch.watched_training import WatchedTraining


class FitRecords:
    """Makes the records of a fit and has them delivered.

    Args:
        training: what was sampled, and counts updates.
        delivery: what judges and writes records.
        is_due: whether a part wants an update.
        streaks_of: gives what the units of an activation did before; takes in an update.

    Attributes:
        layout: of what is watched; empty as long as that is not known.
        epoch: the one that goes on, from 0.
    """

    def __init__(
        self,
        training: WatchedTraining,
        delivery: Delivery,
        is_due: Callable[[Part, int], bool],
        streaks_of: Callable[[WatchedActivation], UnitStreaks],
    ) -> None:
        self._training, self._delivery = training, delivery
        self._is_due, self._streaks_of = is_due, streaks_of
        self.layout = Layout(())
        self.epoch = 0
        self._last: Record | None = None  # of a sample
        self._loss_was_nonfinite = False

    def is_news(self, logs: Mapping[str, float]) -> bool:
        """Whether the loss in the logs of a batch has become NaN or infinite."""
        return not _has_finite_loss(logs) and not self._loss_was_nonfinite

    def remember(self, logs: Mapping[str, float]) -> None:
        """The logs of a batch are dealt with."""
        self._loss_was_nonfinite = not _has_finite_loss(logs)

    def of_sample(self, sample: Sample, logs: Mapping[str, float], parts: Sequence[Part]) -> None:
        """The record of a sample, for the parts that are due.

        Args:
            sample: what the step stored.
            logs: numbers of the batch, if they are those of this update.
            parts: all parts of the fit.
        """
        record = to_record(
            sample,
            self.layout,
            epoch=self.epoch,
            logs=logs,
            judged=not self._training.overwrites_weights(sample.step),
            is_first_sample=self._last is None,
            streaks_of=self._streaks_of,
        )
        self._last = record
        # The loss has become NaN or infinite: news for all but those who only want histograms.
        first = record.loss_is_nonfinite and not self._loss_was_nonfinite
        is_news = first or not sample.planned
        due = [
            part
            for part in parts
            if self._is_due(part, record.step) or (is_news and not part.schedule.growing)
        ]
        self._delivery.deliver(View(record, sample.histograms), parts, due)

    def of_logs(self, logs: Mapping[str, float], parts: Sequence[Part]) -> None:
        """The loss of an update became NaN or infinite where the step does not show it."""
        record = record_of_logs(self._training.updates_done, self.layout, self.epoch, logs)
        self._delivery.deliver(View(record, {}), parts, parts)

    def of_end(self, parts: Sequence[Part]) -> None:
        """What rules need to judge the run as a whole; nothing if nothing was sampled."""
        if self._last is None:
            return
        record = record_of_end(self._last, self._training.updates_done)
        self._delivery.deliver(View(record, {}), parts, parts)


def _has_finite_loss(logs: Mapping[str, float]) -> bool:
    return math.isfinite(logs.get("loss", 0.0))
