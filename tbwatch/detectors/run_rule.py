"""What the detectors that judge layers or the whole run have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_int
from tbwatch.record import Record


class RunRule:
    """A detector of layers or of the whole run, which asks how loss and learning rate go.

    A subclass implements `found`; findings are held from the `patience`th record in a row on,
    until `patience` records, or `records_to_clear`, without them.

    Args:
        patience: consecutive records before an alert is raised, and clean ones before it is
            cleared. 3 outlasts a single odd batch.
        warmup: updates from the first record on before anything is raised. 20 lets moment
            estimates and first steep gradients settle.

    Raises:
        ValueError: if an argument is out of its range.
    """

    name: ClassVar[str] = ""
    # Quantities or fields of a record without which nothing can be said.
    needs: ClassVar[tuple[str, ...]] = ()
    # Clean records before an alert is cleared; None for as many as `patience`.
    records_to_clear: ClassVar[int | None] = None
    _parameters: ClassVar[tuple[str, ...]] = ("patience", "warmup")

    def __init__(self, *, patience: int = 3, warmup: int = 20) -> None:
        self.patience = check_int("patience", patience, 1)
        self.warmup = check_int("warmup", warmup, 0)
        self.reset()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._parameters)
        return f"{type(self).__name__}({arguments})"

    def reset(self) -> None:
        """Forget everything seen."""
        self._own_facts = Facts()
        self._tracked: dict[str, _Tracked] = {}

    def update(self, record: Record, facts: Facts | None = None) -> list[Finding]:
        """Judge the next record.

        Args:
            record: the record.
            facts: what is known of the run at this record; None to keep account here.

        Returns:
            The findings that hold now.
        """
        if facts is None:
            facts = self._own_facts
            facts.update(record)
        if record.quantities or record.is_last:
            self._track(self.found(record, facts), record, facts)
        return [tracked.told() for tracked in self._tracked.values() if tracked.held]

    def found(self, record: Record, facts: Facts) -> Iterable[Finding]:
        """What is wrong at this record, before patience and warm-up."""
        raise NotImplementedError

    def _track(self, found: Iterable[Finding], record: Record, facts: Facts) -> None:
        now = {finding.variable: finding for finding in found}
        warm = record.step - facts.first_step >= self.warmup
        for variable, finding in now.items():
            tracked = self._tracked.setdefault(variable, _Tracked(finding, record.step))
            tracked.finding, tracked.clean = finding, 0
            # The end of a fit has the numbers of the last sample, and is none itself.
            tracked.hits += not (record.is_last and tracked.hits)
            tracked.held |= warm and (tracked.hits >= self.patience or record.is_last)
        if record.is_last:
            return
        for variable in [name for name in self._tracked if name not in now]:
            tracked = self._tracked[variable]
            tracked.clean += 1
            if not tracked.held or tracked.clean >= (self.records_to_clear or self.patience):
                del self._tracked[variable]


@dataclasses.dataclass
class _Tracked:
    finding: Finding
    since: int
    hits: int = 0
    clean: int = 0
    held: bool = False

    def told(self) -> Finding:
        return dataclasses.replace(self.finding, since=self.since, samples=self.hits)
