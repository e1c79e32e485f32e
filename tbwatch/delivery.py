"""Hands records to the parts of a fit, and what they make of them to the event files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.flight_log import FlightLog
from tbwatch.parts import Part, View
from tbwatch.problems import Problems
from tbwatch.record import Record
from tbwatch.run_writer import RunWriter

# Rows of the flight recorder in TensorBoard's Text tab; the file holds all.
SHOWN_UPDATES = 30


class Delivery:
    """The event files of one fit, one for each log directory, and the judges that write to them.

    Args:
        problems: takes what fails.
        flight_log: gives what the flight recorder holds, None if there is none.
    """

    def __init__(
        self,
        problems: Problems,
        flight_log: Callable[[], FlightLog | None],
    ) -> None:
        self._problems = problems
        self._flight_log = flight_log
        self._runs: dict[str, RunWriter] = {}

    def open(self, log_dirs: Iterable[str]) -> None:
        """Expect records for these directories."""
        for log_dir in log_dirs:
            self._runs.setdefault(log_dir, RunWriter(log_dir))

    def deliver(self, view: View, parts: Sequence[Part], due: Sequence[Part]) -> None:
        """Have a record judged and written wherever a part is due.

        What is written into a directory is judged by all parts of that directory, due or not, so
        that a replay, which sees what was written, comes to the same alerts.

        Args:
            view: the record and its histograms.
            parts: all parts of the fit.
            due: those of them that want this record.
        """
        told: list[tuple[Part, Alert]] = []
        for log_dir, run in self._runs.items():
            members = [part for part in parts if part.log_dir == log_dir]
            mine = [part for part in due if part.log_dir == log_dir]
            if mine:
                begins = any(part.begins_anew for part in members)
                record = dataclasses.replace(view.record, is_first=begins)
                told += self._deliver_to(run, View(record, view.histograms), members, mine)
        # Last, when everything is on the disk: what users do at an alert may fail or take for ever.
        for part, alert in told:
            with self._problems.caught("telling of an alert"):
                part.notify(alert)

    def flush(self) -> None:
        """Hand everything to the file system."""
        for run in self._runs.values():
            with self._problems.caught(f"writing into {run.log_dir}"):
                run.flush()

    def flush_if_due(self) -> None:
        """The same for what has waited for long; costs nothing otherwise."""
        for run in self._runs.values():
            if run.is_flush_due:
                with self._problems.caught(f"writing into {run.log_dir}"):
                    run.flush()

    def close(self) -> None:
        """Flush and close all files."""
        for run in self._runs.values():
            with self._problems.caught(f"writing into {run.log_dir}"):
                run.close()

    def _deliver_to(
        self, run: RunWriter, view: View, members: Sequence[Part], due: Sequence[Part]
    ) -> list[tuple[Part, Alert]]:
        """Returns what is to be told."""
        record = view.record
        judged = [(part, alert) for part in members for alert in self._judged(part, record)]
        fresh = run.add([alert for _, alert in judged])
        values = list(summaries.packed_record(record))
        active = sum(part.count_active_alerts() for part in members)
        if record.quantities:
            values += summaries.run_scalars(record, active)
            for part in due:
                with self._problems.caught(f"summaries of {type(part).__name__}"):
                    values += part.values(view)
        if any(part.flight for part in members) and any(map(_is_grave, fresh)):
            with self._problems.caught("writing the flight recorder"):
                values += self._flight_values(record)
        owed = run.owed()
        if owed:
            values.append(summaries.text("alerts", summaries.alerts_markdown(owed)))
        with_alerts = bool(owed or (record.is_last and run.alerts))
        if with_alerts:
            values.append(summaries.packed_alerts(run.list_to_write(whole=record.is_last)))
        # A second fit goes on with what held at the end of the first, and need not raise it anew.
        goes_on = active and (record.is_last or not run.says_what_holds)
        if with_alerts or goes_on:
            holding = [alert for part in members for alert in part.holding()]
            values.append(summaries.packed_holding(holding))
        at_once = bool(fresh) or record.is_last
        with self._problems.caught(f"writing into {run.log_dir}"):
            run.write(record.step, record.wall_time, _unique(values), at_once)
            if with_alerts or goes_on:
                run.flush_alerts()
            elif record.is_last:
                run.flush()
        return judged

    def _flight_values(self, record: Record) -> list[summaries.Value]:
        log = self._flight_log()
        if log is None or not len(log.steps):
            return []
        table = summaries.markdown_table(log.rows(last=SHOWN_UPDATES))
        return [summaries.packed_flight(log, record.step), summaries.text("flight_recorder", table)]

    def _judged(self, part: Part, record: Record) -> list[Alert]:
        with self._problems.caught(f"judging by {type(part).__name__}"):
            return part.judge(record)
        return []


def _is_grave(alert: Alert) -> bool:
    return alert.severity == "critical" and alert.state != "cleared"


def _unique(values: Sequence[summaries.Value]) -> list[summaries.Value]:
    """One value per tag and step: TensorBoard keeps no more, and two callbacks may share a file."""
    return list({value.tag: value for value in values}.values())
