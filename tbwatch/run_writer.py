"""The event file that a fit writes into a log directory, and the alerts that are in it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.events import EventWriter
from tbwatch.telling import tell

# After a failure to write: how long until the next try, in a new file; twice as long each time.
RETRY_SECONDS = 10.0
LONGEST_RETRY_SECONDS = 160.0
# Up to so many alerts, the whole list is written each time: a reader may miss any record then.
FEW_ALERTS = 32


class RunWriter:
    """The event files of one log directory during one fit, and the alerts written to them.

    After a failure (a full disk, a directory that was removed) the file is given up, since what
    comes after a torn record cannot be read, and a new one is begun a while later.

    Attributes:
        log_dir: the directory of the run.
        says_what_holds: whether the file at hand has told which alerts hold.
        alerts: every alert of the fit, oldest first, written or not.
    """

    def __init__(self, log_dir: str) -> None:
        self.alerts: list[Alert] = []
        self.says_what_holds = False
        self._known: set[tuple[object, ...]] = set()
        self._on_disk = 0  # alerts that the file at hand holds for certain
        self._listed = 0  # alerts in the last whole list
        self.log_dir = log_dir
        self._writer: EventWriter | None = None
        self._retry_at = 0.0
        self._has_told = False
        self._delay = RETRY_SECONDS

    def add(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Take in new alerts; those that another callback on this directory did not bring."""
        fresh = {_identity(alert): alert for alert in alerts}
        found = [alert for identity, alert in fresh.items() if identity not in self._known]
        self._known.update(fresh)
        self.alerts += found
        return found

    def owed(self) -> list[Alert]:
        """Alerts that the disk has not taken yet: new ones, and those of a file that was lost."""
        return self.alerts[self._on_disk :]

    def list_to_write(self, whole: bool) -> list[Alert]:
        """The whole list, or what is new to it where the whole one would be written too often.

        So what an alert costs does not grow with the number of alerts before it.
        """
        count = len(self.alerts)
        if whole or not self._on_disk or count <= FEW_ALERTS or count >= 2 * self._listed:
            self._listed = count
            return self.alerts
        return self.owed()

    def write(
        self,
        step: int,
        wall_time: float,
        values: Sequence[summaries.Value],
        at_once: bool = False,
    ) -> None:
        """Append one Event; the first one makes the file.

        Args:
            step: number of the update.
            wall_time: seconds since the epoch of the clock.
            values: what the Event holds.
            at_once: try it even if the last failure was just now.
        """
        if self._writer is None and time.monotonic() < self._retry_at and not at_once:
            return
        with self._given_up_on_failure():
            if self._writer is None:
                self._writer = EventWriter(self.log_dir)
                self._tell_of(self._writer.neighbours)
            self._writer.write(step, wall_time, values)

    def flush(self) -> None:
        """Hand everything to the file system; it holds the alerts if they have been written."""
        if self._writer is not None:
            with self._given_up_on_failure():
                self._writer.flush()
            self._delay = RETRY_SECONDS

    @property
    def is_flush_due(self) -> bool:
        """Whether something has waited for long."""
        return self._writer is not None and self._writer.is_flush_due

    def flush_alerts(self) -> None:
        """The same after a list of alerts: if there is a file that took it, none is owed."""
        self.flush()
        if self._writer is not None:
            self._on_disk = len(self.alerts)
            self.says_what_holds = True

    def close(self) -> None:
        """Flush and close."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _tell_of(self, neighbours: Sequence[int]) -> None:
        if neighbours and not self._has_told:
            self._has_told = True
            tell(
                logging.WARNING,
                "tbwatch: process %s writes into %s too, so the records of one will hide those of "
                "the other. Give each run a log_dir of its own.",
                ", ".join(map(str, neighbours)),
                self.log_dir,
            )

    @contextlib.contextmanager
    def _given_up_on_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._retry_at = time.monotonic() + self._delay
            self._delay = min(2 * self._delay, LONGEST_RETRY_SECONDS)
            self._on_disk = self._listed = 0
            self.says_what_holds = False
            with contextlib.suppress(Exception):  # it has failed already
                self.close()
            raise


def _identity(alert: Alert) -> tuple[object, ...]:
    return alert.step, alert.state, alert.rule, alert.diagnosis, alert.variables
