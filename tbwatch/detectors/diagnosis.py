"""One diagnosis per variable: the first rule of a list that holds, and for how long it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.record import Record

if TYPE_CHECKING:
    from tbwatch.detectors.rule import VariableRule

_NONE = -1
# An update that is larger than the one before by more than rounding.
GROWTH = 1.1
# An update that makes another variable of it: the threshold of `update_too_large`.
JUMP = 0.1


@dataclasses.dataclass
class Streak:
    """For how long the same rule has held for each variable, all arrays `[V]`.

    Attributes:
        hits: consecutive records.
        updates: updates since the first of them.
        epochs: whole epochs that lie within it.
        moved: whether the variable moved meanwhile.
        revived: whether an update was larger than the one of the record before: not what momentum
            or decay leave behind, but a new gradient in between.
    """

    hits: np.ndarray
    updates: np.ndarray
    epochs: np.ndarray
    moved: np.ndarray
    revived: np.ndarray


class Diagnosis:
    """Runs variable rules in their order: the first one that holds for a variable has the word.

    What is no fault stays silent: a learning rate of zero, an update that overwrote the weights by
    their average, a bias whose layer trains, a loss that has nothing left to give.

    Args:
        rules: in the order of diagnosis.
        on_error: called with a rule and the exception that it raised, which then goes no further;
            None lets it through.
    """

    def __init__(
        self,
        rules: Sequence[VariableRule],
        on_error: Callable[[VariableRule, Exception], None] | None = None,
    ) -> None:
        self.rules = list(rules)
        # One more at the end, for `_NONE`.
        self._traits = {
            trait: np.array([*(bool(getattr(rule, trait)) for rule in self.rules), False])
            for trait in ("exact", "immediate", "quiet")
        }
        self._on_error = on_error
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._names: tuple[str, ...] | None = None
        self._latest: Record | None = None
        self._own_facts = Facts()

    def update(self, record: Record, facts: Facts | None = None) -> list[Finding]:
        """Judge the next record.

        Args:
            record: the record.
            facts: what is known of the run at this record; None to keep account here.

        Returns:
            The findings that hold now, one per variable at most.
        """
        if facts is None:
            facts = self._own_facts
            facts.update(record)
        if record.is_last and self._latest is not None:
            # No more records will come: what holds by now is told now.
            self._decide(dataclasses.replace(self._latest, is_last=True), facts)
            return self._findings(self._latest)
        if not record.quantities or not len(record.layout):
            return self._findings(self._latest or record)  # a batch alone has no numbers of its own
        if record.layout.names != self._names:
            self._start(record)
        self._last_moved[record.quantity("update_norm") > 0] = record.step
        self._note_jump(record, facts)
        if record.judged and record.learning_rate != 0:
            self._count(self._diagnose(record, facts), record)
            self._decide(record, facts)
            self._latest = record
        return self._findings(record)

    def _start(self, record: Record) -> None:
        count = len(record.layout)
        self._names = record.layout.names
        self._first_step = record.step
        self._latest = None
        self._candidate = np.full(count, _NONE)  # rule of the latest record
        self._since = np.zeros(count, int)  # update at which it began
        self._hits = np.zeros(count, int)  # consecutive records with it
        self._since_epoch = np.zeros(count, int)  # first whole epoch after that
        self._moved = np.zeros(count, bool)  # whether the variable moved meanwhile
        self._revived = np.zeros(count, bool)  # whether an update grew meanwhile
        self._clean = np.zeros(count, int)  # consecutive records without any
        self._held = np.full(count, _NONE)  # rule that was raised
        self._held_since = np.zeros(count, int)
        self._told: dict[int, Finding] = {}  # as of the last record at which it held
        self._last_moved = np.zeros(count, int)
        self._jump, self._jumped = 0.0, ""  # largest ratio while the loss was up, and of which

    def _note_jump(self, record: Record, facts: Facts) -> None:
        layout = record.layout
        sized = layout.is_main & (layout.initial_rms != 0)  # a zero has no size yet
        ratios = np.where(sized, np.nan_to_num(record.quantity("update_ratio")), 0.0)
        row = int(ratios.argmax())
        if ratios[row] > self._jump and facts.is_worse(record):
            self._jump, self._jumped = float(ratios[row]), layout.names[row]

    def _diagnose(self, record: Record, facts: Facts) -> np.ndarray:
        """Index of the first rule that holds for each variable, `[V]`; -1 for none."""
        found = np.full(len(record.layout), _NONE)
        for index, rule in enumerate(self.rules):
            try:
                found[(found == _NONE) & rule.holds(record, facts)] = index
            except Exception as error:
                self._failed(rule, error)
        return self._without_followers(found, record, facts)

    def _failed(self, rule: VariableRule, error: Exception) -> None:
        if self._on_error is None:
            raise error
        self._on_error(rule, error)

    def _without_followers(self, found: np.ndarray, record: Record, facts: Facts) -> np.ndarray:
        """Judge biases, scales and shifts by exact tests only, and only if their layer is sick."""
        layout = record.layout
        main, layer = layout.is_main, layout.layer_numbers
        kept = np.where(main | self._are(found, "exact"), found, _NONE)
        immediate = self._are(found, "immediate")
        for row in np.flatnonzero((kept != _NONE) & ~main & ~immediate):
            carriers = main & (layer == layer[row])
            if (found[carriers] == _NONE).any():
                kept[row] = _NONE
        quiet = self._are(kept, "quiet")
        if facts.loss.has_converged and quiet[main].all():
            kept[quiet] = _NONE
        return kept

    def _are(self, found: np.ndarray, trait: str) -> np.ndarray:
        """Variables whose rule has a trait, `[V]` bool."""
        return self._traits[trait][found]

    def _count(self, found: np.ndarray, record: Record) -> None:
        """Advance the counters."""
        same = (found == self._candidate) & (found != _NONE)
        begins = (found != _NONE) & ~same
        self._hits = np.where(same, self._hits + 1, np.where(begins, 1, 0))
        self._since[begins] = record.step
        self._moved = np.where(same, self._moved | (record.quantity("window_change") > 0), False)
        before, now = self._latest, record.quantity("update_norm")
        # Divided, since a norm near the greatest float32 may not be multiplied.
        grew = now / GROWTH > (now if before is None else before.quantity("update_norm"))
        self._revived = np.where(same, self._revived | grew, False)
        begins_epoch = before is None or before.epoch != record.epoch
        self._since_epoch[begins] = record.epoch + (not begins_epoch)
        self._candidate = found
        self._clean = np.where(found == _NONE, self._clean + 1, 0)

    def _decide(self, record: Record, facts: Facts) -> None:
        """Settle what is held."""
        found = self._candidate
        streak = Streak(
            self._hits,
            record.step - self._since,
            record.epoch - self._since_epoch,
            self._moved,
            self._revived,
        )
        for index, rule in enumerate(self.rules):
            self._held[(self._held == index) & (self._clean >= rule.records_to_clear)] = _NONE
            ready = found == index
            if not rule.immediate:
                warm = record.step - self._first_step >= rule.warmup
                ready &= warm & rule.lasts(streak, record, facts)
            self._held_since[ready & (self._held != index)] = self._since[
                ready & (self._held != index)
            ]
            self._held[ready] = index

    def _findings(self, record: Record) -> list[Finding]:
        if self._names is None or record.layout.names != self._names:
            return []
        findings = {}
        held = np.flatnonzero(self._held != _NONE)
        beside = predicates.gradient_beside_later(record) if held.size else np.empty(0)
        for row in map(int, held):
            told = self._told.get(row)
            holds_now = self._held[row] == self._candidate[row]
            if told is None or holds_now or told.rule != self.rules[self._held[row]].name:
                rule = self.rules[self._held[row]]
                try:
                    told = self._finding(rule, record, row, beside)
                except Exception as error:
                    self._failed(rule, error)
                    continue
            findings[row] = told
        self._told = findings
        return list(findings.values())

    def _finding(self, rule: VariableRule, record: Record, row: int, beside: np.ndarray) -> Finding:
        variable = record.layout.variables[row]
        evidence = predicates.evidence(record, row, beside)
        evidence["last_moved_at"] = float(self._last_moved[row])
        at = self._last_moved[row]
        moved = f"it last moved at update {at}" if at else "it has never moved"
        if at == record.step:  # by momentum or weight decay
            moved = "it moved at this update too"
        words = {"limit": rule.limit, "layer": variable.layer, "moved": moved, **evidence}
        words |= {"jump": self._jump, "jumped": self._jumped}
        # A rate is one layer's affair only where the others move.
        everywhere = self._are(self._held, "quiet")[record.layout.is_main].all()
        words["of_layer"] = "" if everywhere else f" of {variable.layer}"
        remedy = (self._jump > JUMP and rule.remedy_after_jump) or rule.remedy
        return Finding(
            rule=rule.name,
            diagnosis=rule.name,
            severity=rule.severity,
            variable=variable.name,
            message=rule.message_for(evidence).format(**words),
            value=float(evidence[rule.value]),
            threshold=rule.limit,
            remedy=remedy.format(**words),
            evidence=evidence,
            samples=max(int(self._hits[row]), 1),
            since=int(self._held_since[row]),
        )
