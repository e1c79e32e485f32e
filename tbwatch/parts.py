"""What a session deals with: the parts that watch, what they see, and the file they write to."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.events import EventWriter
from tbwatch.layout import Layout
from tbwatch.record import Record
from tbwatch.schedule import Schedule
from tbwatch.selection import LayerSelection, Selection

# After a failure to write: how long until the next try, in a new file.
RETRY_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class View:
    """What a part sees of one sampled update.

    Attributes:
        record: its numbers.
        histograms: kind -> float32 `[V, 4096]` bucket counts, `[A, 4096]` for activations; empty
            if none were sampled.
    """

    record: Record
    histograms: Mapping[str, np.ndarray]


class Part(Protocol):
    """One thing that is watched: a callback, or a member of one."""

    log_dir: str
    schedule: Schedule
    selection: Selection
    histogram_kinds: frozenset[str]
    needs_updates: bool
    flight: int
    activations: LayerSelection | None

    def start(self, model: keras.Model, layout: Layout) -> None:
        """The variables are known; the first watched update has not happened yet."""

    @property
    def begins_anew(self) -> bool:
        """Whether the next record is the first one that it judges."""

    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now."""

    def judge(self, record: Record) -> list[Alert]:
        """New alerts of this record."""

    def notify(self, alert: Alert) -> None:
        """Tell the user of a new alert."""

    def values(self, view: View) -> Iterator[summaries.Value]:
        """Summary values of a record that is due for this part."""

    def count_active_alerts(self) -> int:
        """Variables with an alert that still holds."""


class RunFile:
    """The event files of one log directory during one fit, and the alerts written to them.

    After a failure (a full disk, a directory that was removed) the file is given up, since what
    comes after a torn record cannot be read, and a new one is begun a while later.
    """

    def __init__(self, log_dir: str) -> None:
        self.alerts: list[Alert] = []
        self._log_dir = log_dir
        self._writer: EventWriter | None = None
        self._retry_at = 0.0

    def write(self, step: int, wall_time: float, values: Sequence[summaries.Value]) -> None:
        """Append one Event; the first one makes the file."""
        if time.monotonic() < self._retry_at:
            return
        with self._given_up_on_failure():
            if self._writer is None:
                self._writer = EventWriter(self._log_dir)
            self._writer.write(step, wall_time, values)

    def flush(self) -> None:
        """Hand everything to the file system."""
        if self._writer is not None:
            with self._given_up_on_failure():
                self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextlib.contextmanager
    def _given_up_on_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            with contextlib.suppress(Exception):  # it has failed already
                self.close()
            raise
