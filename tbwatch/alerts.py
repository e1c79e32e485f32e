"""Findings, which hold at a record, and alerts, which are changes of what holds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tbwatch.format import listed, plain, shown, text, whole

__all__ = ["SEVERITIES", "STATES", "Alert", "Finding"]

#: How grave a finding is, the gravest last.
SEVERITIES = ("info", "warning", "critical")
#: What can become of a finding, in the order in which it can.
STATES = ("raised", "worsened", "cleared")
DOCS_PAGE = "docs/alerts.md"
MOST_NAMED = 4  # variables in a line of text, besides the first
DOCS_FOLDER = "docs/alerts"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a detector holds to be wrong with one variable at one record.

    A detector of your own returns it for as long as it holds; alerts are made of the changes.

    Attributes:
        rule: name of the detector, e.g. `"dead_update"`.
        diagnosis: the cause as far as it is known, e.g. `"zero_gradient"`; also the name
            of its page in the docs.
        severity: one of `SEVERITIES`.
        variable: name of the variable; `"loss"`, or `"run"` for what is about no variable.
        message: one sentence with the number.
        value: the number that was judged; NaN if there is none.
        threshold: what it was compared with, in the unit of `value`; NaN if there is none.
        remedy: one sentence on what to do; may be empty.
        evidence: further numbers, name -> value; by default none.
        samples: consecutive records behind the verdict; by default the one at hand.
        since: update of the first of them; None for the record at hand.
        follows: True for a variable that is only affected by what ails another one: in an alert
            it is listed behind those that are sick themselves.

    Raises:
        ValueError: if the severity is none.
        TypeError: if a text is none, or a number, or the evidence no mapping.

    Example:
        >>> message = "one update changes it by 50 %."
        >>> remedy = "Lower the learning rate."
        >>> finding = Finding(
        ...     "fast", "fast", "warning", "conv1/kernel", message, 0.5, 0.1, remedy
        ... )
        >>> finding.value > finding.threshold, finding.samples
        (True, 1)
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
    follows: bool = False

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            known = ", ".join(map(repr, SEVERITIES))
            raise ValueError(f"severity must be one of {known}; got {self.severity!r}.")
        for name in ("rule", "diagnosis", "variable", "message", "remedy"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a text; got {getattr(self, name)!r}.")
        for name in ("value", "threshold"):
            _check_number(name, getattr(self, name))
        if not isinstance(self.evidence, Mapping):
            raise TypeError(f"evidence must be a mapping of names; got {self.evidence!r}.")
        for name, value in self.evidence.items():
            if not isinstance(value, str):
                _check_number(f"evidence {name!r}", value)


@dataclasses.dataclass(frozen=True, repr=False)
class Alert:
    """A change of state: a finding that was raised, worsened or cleared.

    One alert speaks for all variables that are affected by the same cause; its numbers are those
    of the first one.

    Attributes:
        rule: as in `Finding`.
        diagnosis: as in `Finding`.
        severity: the gravest of its findings.
        state: one of `STATES`.
        variables: names in forward order, those that are only affected behind the others. The
            output of a layer is called `<layer>/activation`, the loss `loss`.
        message: as in `Finding`.
        value: as in `Finding`.
        threshold: as in `Finding`.
        remedy: as in `Finding`.
        step: update at which the state changed.
        epoch: epoch of that update, from 0.
        first_seen: update of the first record behind it.
        last_seen: update of the last record at which it held.
        wall_time: seconds since the epoch of the clock.
        samples: as in `Finding`.
        evidence: as in `Finding`.

    Example:
        >>> from tbwatch.testing import make_record, run
        >>> still = {"update_ratio": 1e-9, "window_change": 1e-9}
        >>> alert = run("dead_update", [make_record(step, **still) for step in range(1, 40)])[0]
        >>> alert.state, alert.variable, alert.diagnosis, alert.step
        ('raised', 'dense/kernel', 'dead_update', 21)
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
        """The page of the documentation on this diagnosis.

        A diagnosis of a detector of your own has none: then the page on alerts in general.
        """
        # Not at the top: detectors make findings, and so import this module.
        from tbwatch.detectors import DIAGNOSES

        return f"{DOCS_FOLDER}/{self.diagnosis}.md" if self.diagnosis in DIAGNOSES else DOCS_PAGE

    def __repr__(self) -> str:
        more = f" and {len(self.variables) - 1} more" if len(self.variables) > 1 else ""
        what = f"{self.severity} {self.diagnosis} {self.state} at update {self.step}"
        return plain(f"<Alert {what}: {shown(self.variable)}{more}>")

    def __str__(self) -> str:
        head = f"{self.severity.upper()} {plain(self.diagnosis)} ({self.state})"
        head += f" at update {self.step}"
        others = len(self.variables) - 1
        also = (
            f" (and {listed(list(map(shown, self.variables[1:])), MOST_NAMED)})" if others else ""
        )
        if self.state == "cleared":
            return f"{head}: {shown(self.variable)}{also} is no longer affected."
        what = plain(f"{self.message} {self.remedy}")
        return f"{head}: {shown(self.variable)}{also}: {what}"

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
            if not isinstance(known["variables"], (list, tuple)):
                raise TypeError("variables are no list")
            known["variables"] = tuple(text(name) for name in known["variables"])
            known["evidence"] = {str(k): _from_json(v) for k, v in dict(known["evidence"]).items()}
            for name in ("value", "threshold"):
                known[name] = float(_from_json(known[name]))
            for name in ("step", "epoch", "first_seen", "last_seen", "samples"):
                known[name] = whole(known[name])
            for name in ("rule", "diagnosis", "severity", "state", "message", "remedy"):
                known[name] = text(known[name])
            known["wall_time"] = float(known["wall_time"])
            if known["severity"] not in SEVERITIES or known["state"] not in STATES:
                raise ValueError(f"severity {known['severity']!r} or state {known['state']!r}")
            if not known["variables"]:
                raise ValueError("no variables")
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a tbwatch alert: {error!r}") from error
        return cls(**known)


def severity_at_least(severity: str, floor: str) -> bool:
    """Whether a severity is as grave as `floor` or graver."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)


def _check_number(name: str, value: Any) -> None:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number; got {value!r}.") from None


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
