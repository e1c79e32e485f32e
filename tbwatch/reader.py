"""Read runs back from event files: the same records and alerts that the training process had.

Imports neither TensorFlow nor Keras. Only local files are read.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tbwatch.alerts import Alert
from tbwatch.file_reading import Notes, Span, read_file
from tbwatch.flight_log import FlightLog
from tbwatch.format import counted, plain
from tbwatch.record import Record
from tbwatch.run_files import (
    ReadError,
    directory,
    find_runs,
    no_records,
    record_files,
    run_directory,
)

__all__ = ["FlightLog", "ReadError", "Run", "find_runs", "read_run", "read_runs"]

logger = logging.getLogger("tbwatch")


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """What the event files of one run hold: made by `read_run`.

    Attributes:
        name: name of the run's directory.
        path: the run's directory: the `log_dir` that the run was given.
        records: the records by growing step; at most two of them with `last_only`.
        alerts: every alert, oldest first.
        holding: variable -> the alert about it that holds at the end of the last file. Each `fit`
            opens one; with a new callback it judges afresh, and what was found before is history.
        notes: a sentence for each kind of thing that could not be read and was left out.
        steps: the steps of all records, also of those that `last_only` left out.
        flight: what the flight recorder held when it was written last; None if it never was.

    Example:
        >>> run = read_run("logs/run1")  # doctest: +SKIP
        >>> len(run.records), [alert.diagnosis for alert in run.alerts]  # doctest: +SKIP
        (142, ['weights_too_large'])
    """

    name: str
    path: Path
    records: list[Record]
    alerts: list[Alert]
    holding: dict[str, Alert]
    notes: list[str]
    steps: list[int]
    flight: FlightLog | None = None

    @property
    def samples(self) -> list[Record]:
        """The records that hold quantities, not those that end a fit or tell a loss alone."""
        return [record for record in self.records if record.quantities]

    def __repr__(self) -> str:
        held = f"{counted(len(self.steps), 'record')}, {counted(len(self.alerts), 'alert')}"
        return f"<Run {plain(self.name)}: {held}>"


def read_runs(
    log_dir: str | os.PathLike[str],
    *,
    last_only: bool = False,
    on_failure: Callable[[ReadError], object] | None = None,
) -> dict[str, Run]:
    """Read all runs in a directory or below it; those that cannot be read are left out.

    Args:
        log_dir: as in `find_runs`.
        last_only: as in `read_run`.
        on_failure: called with the error of each run that is left out. None for a warning in the
            log.

    Returns:
        The runs by their path below `log_dir`; a run that is `log_dir` itself by its own name. What
        was left out of a run is in its `notes`.

    Raises:
        ReadError: if there is no run, or none could be read.

    Example:
        >>> for name, run in read_runs("logs").items():  # doctest: +SKIP
        ...     print(name, len(run.samples))
    """
    runs: dict[str, Run] = {}
    failures: list[ReadError] = []
    paths = find_runs(log_dir)
    for path in paths:
        try:
            run = read_run(path, last_only=last_only)
        except ReadError as error:
            failures.append(error)
            continue
        below = os.path.relpath(path, log_dir)
        # The directory itself, or the one above it if it is the sub-run, has no name below it.
        is_nameless = below in (os.curdir, os.pardir) and len(paths) == 1
        runs[run.name if is_nameless else below] = run
    if failures and not runs:
        raise failures[0]
    for failure in failures:
        if on_failure is None:
            logger.warning("tbwatch: %s", failure)
        else:
            on_failure(failure)
    return runs


def read_run(path: str | os.PathLike[str], *, last_only: bool = False) -> Run:
    """Read the event files of one run, in the order in which they were created.

    A record evicts the run's earlier records at its own step and later ones, and the alerts that
    earlier files hold for those steps: a restarted run replaces what it repeats, as in TensorBoard.

    Args:
        path: the run's log directory, or the `tbwatch` directory inside it.
        last_only: keep only the last record, and the last one with quantities where that is
            another. By default all are kept, about 50 bytes per variable and record.

    Returns:
        Records, alerts and what could not be read.

    Raises:
        ReadError: if it does not exist, is a file, or nothing in it can be read.

    Example:
        >>> run = read_run("logs/run1")  # doctest: +SKIP
        >>> run.records[-1].quantity("update_ratio")  # doctest: +SKIP
        array([0.0021, 0.0018], dtype=float32)
    """
    path = run_directory(directory(path))
    gathered = _Gathered(last_only)
    for file in record_files(path):
        gathered.take_in(file)
    if not gathered.steps and not gathered.alerts:
        raise ReadError("; ".join([no_records(path), *gathered.notes]))
    return Run(
        name=os.path.basename(os.path.abspath(path)),
        path=path,
        records=gathered.records,
        alerts=gathered.alerts,
        holding=gathered.holding,
        notes=gathered.notes,
        steps=gathered.steps,
        flight=gathered.flight,
    )


class _Gathered:
    """What the files of a run hold together, as in `Run`: a later file replaces what it repeats."""

    def __init__(self, last_only: bool) -> None:
        self._last_only = last_only
        self.records: list[Record] = []
        self.steps: list[int] = []
        self.alerts: list[Alert] = []
        self.holding: dict[str, Alert] = {}
        self.notes: list[str] = []
        self.flight: FlightLog | None = None
        self._spans: list[Span] = []

    def take_in(self, file: Path) -> None:
        """Read the next file, in the order in which they were begun."""
        notes, span = Notes(), Span(file)
        # A list of alerts holds all that its file knows, or what is new to it; None before there is
        # anything in the file, an empty one before the first list.
        own: list[Alert] | None = None
        held: list[Alert] | None = None
        evicted = math.inf  # the least step that a record of this file repeats
        for decoded in read_file(file, notes, span):
            if decoded.record is not None:
                evicted = min(evicted, self._append(decoded.record))
            self.flight = decoded.flight or self.flight
            own = own or []
            if decoded.alerts is not None:
                own = joined(own, decoded.alerts)
            held = decoded.holding if decoded.holding is not None else held
        beside = [] if own is None else [s.file.name for s in self._spans if s.overlaps(span)]
        self._spans.append(span)
        if beside:
            self.notes.append(
                f"{file.name}: was written while {', '.join(beside)} was, by another process: two "
                "runs in one directory. Where their updates overlap, only the last file's records "
                "are shown; move it elsewhere to see the others"
            )
        else:  # another run's alerts stay: a fault that was found
            self.alerts = [alert for alert in self.alerts if alert.step < evicted]
        if own is not None:
            self.alerts = joined(self.alerts, own)
            self.holding = holding_of(own if held is None else held)
        self.notes.extend(f"{file.name}: {note}" for note in notes.sentences())

    def _append(self, record: Record) -> float:
        """Returns the step from which on earlier records are replaced by it; infinity for none."""
        records, steps = self.records, self.steps
        evicted = math.inf
        # The record that ends a fit repeats the step of its last sample, and adds to it.
        if steps and record.step <= steps[-1] - record.is_last:
            evicted = record.step
            while steps and steps[-1] >= record.step:
                steps.pop()
            while records and records[-1].step >= record.step:
                records.pop()
        if self._last_only:
            records[:] = [] if record.quantities else [r for r in records if r.quantities]
        records.append(record)
        steps.append(record.step)
        return evicted


def joined(earlier: Sequence[Alert], own: Sequence[Alert]) -> list[Alert]:
    """Alerts of earlier files, then a file's own list, which may repeat some of them."""

    def key(alert: Alert) -> tuple[Any, ...]:
        return (alert.step, alert.state, alert.rule, alert.diagnosis, alert.variables)

    known = {key(alert) for alert in own}
    return [*(alert for alert in earlier if key(alert) not in known), *own]


def holding_of(alerts: Sequence[Alert]) -> dict[str, Alert]:
    """Variable -> the alert about it that was not cleared."""
    holding: dict[str, Alert] = {}
    for alert in alerts:
        for name in alert.variables:
            if alert.state != "cleared":
                holding[name] = alert
            elif name in holding and holding[name].diagnosis == alert.diagnosis:
                del holding[name]
    return holding
