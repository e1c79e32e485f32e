"""Alerts: what a detector found, and the book that turns levels into events."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbwatch.record import Record

SEVERITIES = ("info", "warning", "critical")
STATES = ("raised", "worsened", "cleared")
DOCS_PAGE = "docs/alerts.md"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a detector holds to be wrong with one variable at one record.

    Attributes:
        rule: name of the detector, e.g. `"dead_update"`.
        diagnosis: the cause as far as it is known, e.g. `"zero_gradient"`; also the docs anchor.
        severity: one of `SEVERITIES`.
        variable: name of the variable, or `"loss"`.
        message: one sentence with the number.
        value: the number that was judged.
        threshold: what it was compared with.
        remedy: one sentence on what to do.
        evidence: further numbers, name -> value.
        samples: consecutive records behind the verdict.
        since: update of the first of them; None for the record at hand.
    """

    rule: str
    diagnosis: str
    severity: str
    variable: str
    message: str
    value: float
    threshold: float
    remedy: str
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    samples: int = 1
    since: int | None = None


@dataclasses.dataclass(frozen=True)
class Alert:
    """A change of state: a finding that was raised, worsened or cleared.

    One alert speaks for all variables that changed state for the same reason at the same record;
    its numbers are those of the first one in forward order.

    Attributes:
        rule, diagnosis, severity, message, value, threshold, remedy, evidence, samples: as in
            `Finding`.
        state: `"raised"`, `"worsened"` or `"cleared"`.
        variables: names in forward order.
        step: update at which the state changed.
        epoch: epoch of that update, from 0.
        first_seen: update of the first record behind it.
        last_seen: update of the last record at which it held.
        wall_time: seconds since the epoch of the clock.

    Example:
        >>> alert.state, alert.variable, alert.diagnosis  # doctest: +SKIP
        ('raised', 'conv1/kernel', 'zero_gradient')
    """

    rule: str
    diagnosis: str
    severity: str
    state: str
    variables: tuple[str, ...]
    message: str
    value: float
    threshold: float
    remedy: str
    step: int
    epoch: int
    first_seen: int
    last_seen: int
    wall_time: float
    samples: int
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)

    @property
    def variable(self) -> str:
        """The first variable in forward order."""
        return self.variables[0]

    @property
    def layer(self) -> str:
        """The layer of the first variable."""
        return self.variable.rpartition("/")[0] or self.variable

    @property
    def link(self) -> str:
        """Where the documentation explains this diagnosis: page and anchor."""
        return f"{DOCS_PAGE}#{self.diagnosis.replace('_', '-')}"

    def __str__(self) -> str:
        head = f"{self.severity.upper()} {self.diagnosis} ({self.state}) at update {self.step}"
        others = len(self.variables) - 1
        also = f" (and {_shown(self.variables[1:])})" if others else ""
        if self.state == "cleared":
            return f"{head}: {self.variable}{also} is no longer affected."
        return f"{head}: {self.variable}{also}: {self.message} {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """Plain data without NaN; `from_json` reverses it."""
        data = dataclasses.asdict(self)
        data["variables"] = list(self.variables)
        data["evidence"] = {name: _to_json(value) for name, value in self.evidence.items()}
        data["value"] = _to_json(self.value)
        data["threshold"] = _to_json(self.threshold)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Alert:
        """Rebuild an alert from `to_json`'s data; unknown keys are ignored.

        Raises:
            ValueError: if the data has another form.
        """
        try:
            known = {field.name: data[field.name] for field in dataclasses.fields(cls)}
            known["variables"] = tuple(str(name) for name in known["variables"])
            known["evidence"] = {str(k): _from_json(v) for k, v in dict(known["evidence"]).items()}
            for name in ("value", "threshold"):
                known[name] = float(_from_json(known[name]))
            for name in ("step", "epoch", "first_seen", "last_seen", "samples"):
                known[name] = int(known[name])
            for name in ("rule", "diagnosis", "severity", "state", "message", "remedy"):
                known[name] = str(known[name])
            known["wall_time"] = float(known["wall_time"])
            if known["severity"] not in SEVERITIES or known["state"] not in STATES:
                raise ValueError(f"severity {known['severity']!r} or state {known['state']!r}")
            if not known["variables"]:
                raise ValueError("no variables")
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a tbwatch alert: {error!r}") from error
        return cls(**known)


@dataclasses.dataclass
class _Active:
    finding: Finding
    first_seen: int
    last_seen: int


class AlertBook:
    """Turns findings, which hold at a record, into alerts, which are changes.

    A finding that goes on makes no second alert; a higher severity or another diagnosis does
    (`worsened`, `raised`), and so does its end (`cleared`).

    Attributes:
        alerts: every alert so far, oldest first.
    """

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self._active: dict[str, _Active] = {}

    @property
    def active(self) -> list[Finding]:
        """Findings that hold now."""
        return [active.finding for active in self._active.values()]

    def update(self, record: Record, findings: Sequence[Finding]) -> list[Alert]:
        """Compare what holds at this record with what held before.

        Args:
            record: the record that was judged.
            findings: all findings of it, the more important first: the first one of a variable
                is its diagnosis, later ones of the same variable are dropped.

        Returns:
            The new alerts, also appended to `alerts`.
        """
        diagnosis: dict[str, Finding] = {}
        for finding in findings:
            diagnosis.setdefault(finding.variable, finding)
        changes: list[tuple[str, _Active]] = []
        for variable in [name for name in self._active if name not in diagnosis]:
            changes.append(("cleared", self._active.pop(variable)))
        for variable, finding in diagnosis.items():
            state = _change(self._active.get(variable), finding)
            active = self._active.setdefault(variable, _Active(finding, record.step, record.step))
            active.finding, active.last_seen = finding, record.step
            if state == "raised":
                active.first_seen = record.step if finding.since is None else finding.since
            if state is not None:
                changes.append((state, active))
        new = [_merge(state, group, record) for state, group in _grouped(changes)]
        self.alerts.extend(new)
        return new


def severity_at_least(severity: str, floor: str) -> bool:
    """Whether a severity is as grave as `floor` or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)


def _change(active: _Active | None, finding: Finding) -> str | None:
    if active is None or active.finding.diagnosis != finding.diagnosis:
        return "raised"
    before, now = active.finding.severity, finding.severity
    return "worsened" if SEVERITIES.index(now) > SEVERITIES.index(before) else None


def _grouped(changes: Iterable[tuple[str, _Active]]) -> list[tuple[str, list[_Active]]]:
    groups: dict[tuple[str, str, str, str], list[_Active]] = {}
    for state, active in changes:
        finding = active.finding
        key = (state, finding.rule, finding.diagnosis, finding.severity)
        groups.setdefault(key, []).append(active)
    return [(key[0], group) for key, group in groups.items()]


def _merge(state: str, group: list[_Active], record: Record) -> Alert:
    order = {name: row for row, name in enumerate(record.layout.names)}
    group = sorted(group, key=lambda active: order.get(active.finding.variable, len(order)))
    first = group[0].finding
    return Alert(
        rule=first.rule,
        diagnosis=first.diagnosis,
        severity=first.severity,
        state=state,
        variables=tuple(active.finding.variable for active in group),
        message=first.message,
        value=first.value,
        threshold=first.threshold,
        remedy=first.remedy,
        step=record.step,
        epoch=record.epoch,
        first_seen=min(active.first_seen for active in group),
        last_seen=max(active.last_seen for active in group),
        wall_time=record.wall_time,
        samples=first.samples,
        evidence=dict(first.evidence),
    )


def _shown(names: Sequence[str], limit: int = 4) -> str:
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"


def _to_json(value: float | str) -> float | str:
    if isinstance(value, str):
        return value
    number = float(value)  # a NumPy scalar is no JSON
    # JSON has no NaN and no infinity; their names survive as text.
    return number if math.isfinite(number) else str(number)


def _from_json(value: Any) -> float | str:
    if isinstance(value, str):
        return float(value) if value in ("nan", "inf", "-inf") else value
    return float(value)
