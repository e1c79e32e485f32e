"""From records to alerts: detectors, order of diagnosis, causes and alert book, in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tbwatch.alert_book import AlertBook
from tbwatch.alerts import Alert, Finding
from tbwatch.causes import attributed
from tbwatch.detectors import Chosen, Detector, VariableRule, make_detectors
from tbwatch.detectors.diagnosis import Diagnosis
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record


class Panel:
    """Judges the records of a run, live or read back: the same records give the same alerts.

    Args:
        detectors: names, detector objects or functions of a record; None for all that there are.
        selects: whether findings about a variable of this name are wanted; None for all.
        on_error: called with a detector and the exception that it raised, which then goes no
            further; None lets it through.

    Raises:
        TypeError: as `make_detectors`.
        ValueError: as `make_detectors`.

    Example:
        >>> from tbwatch.testing import make_record
        >>> panel = Panel("dead_update")
        >>> for step in range(1, 40):
        ...     alerts = panel.update(make_record(step, update_ratio=1e-9, window_change=1e-9))
        >>> [(alert.step, alert.diagnosis) for alert in panel.alerts]
        [(21, 'dead_update')]
    """

    def __init__(
        self,
        detectors: Sequence[Chosen] | Chosen | None = None,
        selects: Callable[[str], bool] | None = None,
        on_error: Callable[[Detector, Exception], None] | None = None,
    ) -> None:
        self.detectors = make_detectors(detectors)
        self._selects = selects
        self._on_error = on_error
        rules = [d for d in self.detectors if isinstance(d, VariableRule)]
        self._rules = Diagnosis(rules, on_error)
        self._others = [d for d in self.detectors if not isinstance(d, VariableRule)]
        self.reset()

    def reset(self) -> None:
        """Begin anew, with another run."""
        self._book = AlertBook()
        self._facts = Facts()
        self._last: Record | None = None
        self._missing = {name for detector in self.detectors for name in _needs(detector)}
        self._rules.reset()
        for detector in self._others:
            detector.reset()

    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, oldest first."""
        return list(self._book.alerts)

    @property
    def active(self) -> list[Finding]:
        """Findings that hold now."""
        return self._book.active

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was judged since the beginning or the last `reset`."""
        return self._last is None

    def update(self, record: Record) -> list[Alert]:
        """Judge the next record; returns the new alerts."""
        went_back = self._last is not None and record.step < self._last.step
        if record.is_first or went_back:
            self.reset()  # a fresh optimizer, or weights of an earlier update: another run
        self._last = record
        self._missing -= {name for name in self._missing if record.knows(name)}
        self._facts.update(record)
        findings: list[Finding] = []
        for detector in self._others:
            try:
                if isinstance(detector, RunRule):
                    findings += detector.update(record, self._facts)
                else:
                    findings += _checked(detector.update(record))
            except Exception as error:
                if self._on_error is None:
                    raise
                self._on_error(detector, error)
        findings += self._rules.update(record, self._facts)
        lost = [f for f in findings if f.diagnosis == "nonfinite"]
        if lost:
            # Nothing else can be said of numbers that are none.
            return self._book.update(record, self._selected(lost, record), keep_others=True)
        wanted = self._selected(attributed(findings, record), record)
        return self._book.update(record, wanted)

    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now, in the order in which they came."""
        return [] if self._last is None else self._book.holding(self._last)

    @property
    def latest(self) -> Record | None:
        """The last record that was judged; None before the first."""
        return self._last

    @property
    def updates(self) -> int:
        """Updates from the first record to the last, both included."""
        return self._facts.updates

    @property
    def notes(self) -> list[str]:
        """A sentence for each kind of data that is missing, and the rules silent for want of it."""
        if self._last is None:
            return []
        return [
            f"not judged, since no record holds {name}: "
            + ", ".join(d.name for d in self.detectors if name in _needs(d))
            for name in sorted(self._missing)
        ]

    def _selected(self, findings: list[Finding], record: Record) -> list[Finding]:
        if self._selects is None:
            return findings
        names = set(record.layout.names)
        return [f for f in findings if f.variable not in names or self._selects(f.variable)]


def _checked(found: object) -> list[Finding]:
    """What a detector of somebody else returned, if it is what it should be."""
    findings: list[Any] = list(found) if isinstance(found, Iterable) else [found]
    wrong = [finding for finding in findings if not isinstance(finding, Finding)]
    if wrong:
        raise TypeError(f"a detector must return a list of Findings; got {wrong[0]!r}.")
    return findings


def _needs(detector: Detector) -> tuple[str, ...]:
    return tuple(getattr(detector, "needs", ()))
