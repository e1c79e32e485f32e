"""Update ratios, and the detectors that judge records while the training runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence

import keras
import numpy as np

from tbwatch import sinks, summaries
from tbwatch.alerts import Alert
from tbwatch.callbacks._base import LogDir, PartCallback, dense_schedule
from tbwatch.detectors import ORDER, Chosen, DeadUpdate, Detector, diagnoses_of
from tbwatch.detectors.order import MOVING
from tbwatch.format import counted
from tbwatch.judging import Panel
from tbwatch.layout import Layout
from tbwatch.parts import View
from tbwatch.record import Record
from tbwatch.selection import Pattern, Selection
from tbwatch.telling import tell

# Updates before which few rules say anything.
USUAL_WARMUP = 20


class Judge(PartCallback):
    """Update ratios as scalars, and alerts from detectors."""

    needs_updates = True

    def __init__(
        self,
        log_dir: LogDir,
        update_freq: int | str,
        selection: Selection,
        detectors: Sequence[Chosen] | Chosen | None,
        on_alert: Callable[[Alert], object] | None,
        stop_on: Collection[str],
    ) -> None:
        super().__init__(log_dir, dense_schedule(update_freq), selection)
        sinks.check_on_alert(on_alert)
        self._panel = Panel(detectors, selects=selection, on_error=self._report)
        self.stop_on = sinks.check_stop_on(stop_on, diagnoses_of(self._panel.detectors))
        self.on_alert = on_alert
        self._reported: set[str] = set()
        self.records = 0  # of this fit
        self.announce: Callable[[keras.Model, Layout], None] | None = None

    @property
    def alerts(self) -> list[Alert]:
        """Every alert of the run so far, oldest first.

        A model that is compiled anew, or another one, begins a new run.
        """
        return self._panel.alerts

    @property
    def detectors(self) -> list[Detector]:
        """The detectors, in the order of diagnosis."""
        return self._panel.detectors

    def start(self, model: keras.Model, layout: Layout) -> None:
        """Begin anew for another model; a second fit of the same one goes on."""
        if self._is_new(model):
            self._panel.reset()
        if self.announce is not None:
            self.announce(model, layout)

    @property
    def begins_anew(self) -> bool:
        """Whether the next record is the first one to be judged."""
        return self._panel.is_fresh

    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now."""
        return self._panel.holding()

    @property
    def latest(self) -> Record | None:
        """The last record that was judged; None before the first."""
        return self._panel.latest

    @property
    def notes(self) -> list[str]:
        """What could not be judged, for want of detectors, updates or data."""
        if not self.detectors:
            return ["no detector was at work"]
        updates = self._panel.updates
        few = f"{counted(updates, 'update')} so far, and most rules wait for {USUAL_WARMUP}"
        return [few] * (updates < USUAL_WARMUP) + self._panel.notes

    def judge(self, record: Record) -> list[Alert]:
        """New alerts of this record."""
        self.records += bool(record.quantities)
        return self._panel.update(record)

    def notify(self, alert: Alert) -> None:
        """Stop the training if asked to, log it, and hand it on."""
        model = self._watched() if self._watched is not None else None
        if model is not None and sinks.stops(alert, self.stop_on):
            model.stop_training = True
        has_bar = (self.params or {}).get("verbose") in (1, "auto")
        sinks.log(alert, beside_progress_bar=has_bar)
        if self.on_alert is not None:
            self.on_alert(alert)

    def values(self, view: View) -> Iterator[summaries.Value]:
        """Update ratios, and how many of them are below the threshold."""
        yield from self._per_variable("update_ratio", view.record)
        thresholds = [d.threshold for d in self.detectors if isinstance(d, DeadUpdate)]
        if thresholds:
            ratio = view.record.quantity("update_ratio")
            mine = np.array([self.selection(name) for name in view.record.layout.names], bool)
            dead = int(np.count_nonzero(ratio[mine] < thresholds[0]))
            yield summaries.scalar("training/dead_updates", dead)

    def count_active_alerts(self) -> int:
        """Variables with an alert that still holds."""
        return len(self._panel.active)

    def _report(self, detector: Detector, error: Exception) -> None:
        """A detector that fails is told of once; the others go on."""
        name = getattr(detector, "name", "") or repr(detector)
        if name not in self._reported:
            message = "tbwatch: the detector %s failed: %r; the others go on. Said once."
            tell(logging.WARNING, message, name, error)
        self._reported.add(name)


class DeadUpdateDetector(Judge):
    """Alerts for variables that do not move, with the cause, and `update_ratio/<variable>` scalars.

    Args:
        log_dir: as in `GradientNorms`.
        threshold: update ratio below which a variable counts as dead. 1e-7 is where float32 ends.
        patience: consecutive records before an alert is raised, and before it is cleared. 3
            outlasts a single odd batch.
        warmup: updates before anything is raised. 20 lets moment estimates settle.
        update_freq: as in `GradientNorms`.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.
        on_alert: called with each `Alert`, for a chat message or a ticket; None for nothing.
        stop_on: severities (and what is graver), or names of the detectors at work, that end the
            training, e.g. `{"critical"}`. By default none does: what to do is for you to decide.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[DeadUpdateDetector("logs/run1")])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        threshold: float = 1e-7,
        patience: int = 3,
        warmup: int = 20,
        update_freq: int | str = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
        on_alert: Callable[[Alert], object] | None = None,
        stop_on: Collection[str] = (),
    ) -> None:
        rules: list[Detector] = [
            DeadUpdate(threshold, patience, warmup)
            if rule is DeadUpdate
            else rule(patience=patience, warmup=warmup)
            for rule in ORDER
            if rule not in MOVING
        ]
        selection = Selection(include, exclude)
        super().__init__(log_dir, update_freq, selection, rules, on_alert, stop_on)
