"""What the callbacks share: their way through a fit, and their schedules."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.events import check_log_dir
from tbwatch.layout import Layout
from tbwatch.parts import Part, View
from tbwatch.record import Record
from tbwatch.schedule import Schedule, check_epoch_freq, check_update_freq
from tbwatch.selection import LayerSelection, Selection
from tbwatch.session import Session
from tbwatch.sessions import session_of

LogDir = str | os.PathLike[str]


class SharedCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Takes its members through a fit: all of them share one instrumented step."""

    _session: Session | None = None
    optimizer: keras.optimizers.Optimizer | None = None

    def members(self) -> Sequence[Part]:
        raise NotImplementedError

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._session = session_of(self.model, self.params or {}, self.optimizer)
        if self._session is not None:
            self._session.join(self.members())

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._session is not None:
            self._session.begin_epoch(self.members()[0], epoch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._session is not None:
            self._session.end_batch(self.members()[0], batch, logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._session is not None:
            self._session.begin_validation()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._session is not None:
            self._session.end_epoch(self.members()[0], epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._session is not None:
            self._session.leave(self.members())
            self._session = None


class PartCallback(SharedCallback):
    """A callback that is its own only member."""

    histogram_kinds: frozenset[str] = frozenset()
    flight: int = 0
    needs_updates = False
    activations: LayerSelection | None = None
    _watched: weakref.ref[keras.Model] | None = None

    def __init__(self, log_dir: LogDir, schedule: Schedule, selection: Selection) -> None:
        super().__init__()
        self.log_dir = check_log_dir(log_dir)
        self.schedule = schedule
        self.selection = selection

    def members(self) -> Sequence[Part]:
        return [self]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.log_dir!r}>"

    def start(self, model: keras.Model, layout: Layout) -> None:
        """The variables are known; the first watched update has not happened yet."""

    def judge(self, record: Record) -> list[Alert]:
        """New alerts of this record: none."""
        return []

    def notify(self, alert: Alert) -> None:
        """Tell the user of a new alert: there are none."""

    def values(self, view: View) -> Iterator[summaries.Value]:
        """Summary values of a record: none."""
        return iter(())

    @property
    def begins_anew(self) -> bool:
        """Whether the next record is the first one to be judged: nothing is judged here."""
        return False

    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now: none."""
        return []

    def count_active_alerts(self) -> int:
        """Variables with an alert that still holds: none."""
        return 0

    def _is_new(self, model: keras.Model) -> bool:
        """Whether the model that this callback watched last was another one, or none."""
        last = self._watched() if self._watched is not None else None
        self._watched = weakref.ref(model)
        return last is not model

    def _per_variable(self, quantity: str, record: Record) -> Iterator[summaries.Value]:
        """One scalar per selected variable that has a value."""
        for name, value in zip(record.layout.names, record.quantity(quantity), strict=True):
            if self.selection(name) and not np.isnan(value):
                yield summaries.scalar(f"{quantity}/{name}", value)


def dense_schedule(update_freq: int | str) -> Schedule:
    check_update_freq("update_freq", update_freq)
    return Schedule(1 if update_freq == "batch" else update_freq)


def sparse_schedule(histogram_freq: int, update_freq: int | str | None, name: str) -> Schedule:
    check_epoch_freq("histogram_freq", histogram_freq)
    check_update_freq(name, update_freq, allow_none=True)
    return Schedule(1 if update_freq == "batch" else update_freq, histogram_freq, growing=True)


def check_flight(updates: int) -> int:
    if not isinstance(updates, int) or isinstance(updates, bool) or updates < 0:
        raise ValueError(
            f"flight_recorder must be a number of updates (0 for none); got {updates!r}."
        )
    return updates
