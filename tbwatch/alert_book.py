"""The book that turns findings, which hold at a record, into alerts, which are changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tbwatch.alerts import SEVERITIES, Alert, Finding
from tbwatch.record import Record


@dataclasses.dataclass
class _Cause:
    """A diagnosis that holds: the variables that it holds for now, and what was told of it."""

    findings: list[Finding]
    severity: str
    first_seen: int
    last_seen: int
    told: int  # variables named in the last alert about it


class AlertBook:
    """Turns findings, which hold at a record, into alerts, which are changes.

    What goes on makes no second alert. One alert speaks for all variables with the same diagnosis;
    another one follows when its severity rises or when it has spread to twice as many variables
    (`worsened`), and when the last of them is well again (`cleared`). If all of them get another
    diagnosis instead, only that one is told.

    Attributes:
        alerts: every alert so far, oldest first.
    """

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self._causes: dict[tuple[str, str], _Cause] = {}
        self._absorbed: dict[tuple[str, str], _Cause] = {}

    @property
    def active(self) -> list[Finding]:
        """Findings that hold now."""
        return [finding for cause in self._causes.values() for finding in cause.findings]

    def update(
        self, record: Record, findings: Sequence[Finding], keep_others: bool = False
    ) -> list[Alert]:
        """Compare what holds at this record with what held before.

        Args:
            record: the record that was judged.
            findings: all findings of it, the more important first: the first one of a variable
                is its diagnosis, unless it is only `info`; others of the same variable are dropped.
            keep_others: what is not among the findings still holds: nothing could be said of it.

        Returns:
            The new alerts, also appended to `alerts`.
        """
        new: list[Alert] = []
        now = _by_cause(findings, record)
        affected = {finding.variable for group in now.values() for finding in group}
        for key in [key for key in self._causes if key not in now and not keep_others]:
            self._absorbed[key] = self._causes.pop(key)
        for key in [key for key in self._absorbed if key not in now and not keep_others]:
            # While its variables are told under another cause, it has not ended.
            if not affected.issuperset(f.variable for f in self._absorbed[key].findings):
                new.append(self._alert("cleared", self._absorbed.pop(key), record))
        for key, group in now.items():
            severity = max((f.severity for f in group), key=SEVERITIES.index)
            known = self._causes.get(key) or self._absorbed.pop(key, None)
            since = [record.step if f.since is None else f.since for f in group]
            first_seen = min(since) if known is None else known.first_seen
            told = 0 if known is None else known.told
            cause = _Cause(group, severity, first_seen, record.step, told)
            self._causes[key] = cause
            if known is None:
                new.append(self._alert("raised", cause, record))
            elif _is_graver(severity, known.severity) or len(group) >= 2 * known.told:
                new.append(self._alert("worsened", cause, record))
            else:
                # An alert at this severity was told already, also if it has eased meanwhile.
                cause.severity = known.severity
        self.alerts.extend(new)
        return new

    def holding(self, record: Record) -> list[Alert]:
        """One alert for each cause that holds now, with today's variables and numbers."""
        return [_alert("raised", cause, record) for cause in self._causes.values()]

    def _alert(self, state: str, cause: _Cause, record: Record) -> Alert:
        cause.told = len(cause.findings)
        return _alert(state, cause, record)


def _is_graver(severity: str, than: str) -> bool:
    return SEVERITIES.index(severity) > SEVERITIES.index(than)


def _by_cause(findings: Iterable[Finding], record: Record) -> dict[tuple[str, str], list[Finding]]:
    """Findings by rule and diagnosis, one for each variable, in forward order."""
    of_variable: dict[str, Finding] = {}
    for finding in findings:
        first = of_variable.setdefault(finding.variable, finding)
        if _is_graver(finding.severity, first.severity) and first.severity == "info":
            of_variable[finding.variable] = finding
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in of_variable.values():
        groups.setdefault((finding.rule, finding.diagnosis), []).append(finding)
    rank = record.layout.rank
    for group in groups.values():
        group.sort(key=lambda finding: (finding.follows, rank(finding.variable)))
    return groups


def _alert(state: str, cause: _Cause, record: Record) -> Alert:
    first = cause.findings[0]
    return Alert(
        rule=first.rule,
        diagnosis=first.diagnosis,
        severity=cause.severity,
        state=state,
        variables=tuple(finding.variable for finding in cause.findings),
        message=first.message,
        value=first.value,
        threshold=first.threshold,
        remedy=first.remedy,
        step=record.step,
        epoch=record.epoch,
        first_seen=cause.first_seen,
        last_seen=cause.last_seen,
        wall_time=record.wall_time,
        samples=first.samples,
        evidence=dict(first.evidence),
    )
