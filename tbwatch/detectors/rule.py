"""A rule about variables: which test, how it is put into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.diagnosis import Diagnosis, Streak
from tbwatch.detectors.facts import Facts
from tbwatch.record import Record

SOFT_RECORDS_TO_CLEAR = 10


# A remedy for small updates after large ones, which the rate cannot be too low for.
AFTER_JUMP = (
    "Before, one update changed {jumped} by {jump:.0%} of its size and the loss rose, so the "
    "learning rate is not too low: begin again with a lower one, or a warm-up."
)


class VariableRule:
    """One row of the diagnosis order: a test of all variables at one record.

    A subclass says what it tests (`holds`) and how that is told; counting records and settling
    which rule has the word for a variable is `Diagnosis`' work.

    Args:
        patience: consecutive records before the alert is raised, and clean ones before it is
            cleared. 3 outlasts a single odd batch.
        warmup: updates from the first record on before anything is raised. 20 lets moment
            estimates and first steep gradients settle.

    Raises:
        ValueError: if an argument is out of its range.
    """

    name: ClassVar[str] = ""
    severity: ClassVar[str] = "warning"
    # Name of the evidence that was judged; message and remedy may name evidence in braces.
    value: ClassVar[str] = "update_ratio"
    message: ClassVar[str] = ""
    remedy: ClassVar[str] = ""
    # In place of it in a run that an update larger than `diagnosis.JUMP` has thrown up before.
    remedy_after_jump: ClassVar[str] = ""
    # Quantities without which nothing can be said.
    needs: ClassVar[tuple[str, ...]] = ("update_ratio",)
    # Judges biases, scales and shifts too: for tests that are exact.
    exact: ClassVar[bool] = False
    # What it finds is no fault once the loss has nothing left to give.
    quiet: ClassVar[bool] = False
    # Needs no patience: known for certain when the step is traced.
    immediate: ClassVar[bool] = False
    # A threshold near which values hover: cleared late, lest it flicker.
    soft: ClassVar[bool] = False
    _parameters: ClassVar[tuple[str, ...]] = ("patience", "warmup")

    def __init__(self, *, patience: int = 3, warmup: int = 20) -> None:
        self.patience = check_int("patience", patience, 1)
        self.warmup = check_int("warmup", warmup, 0)
        self._alone: Diagnosis | None = None

    def message_for(self, evidence: Mapping[str, float | str]) -> str:
        """What to say where it holds; `message`, for most rules."""
        return self.message

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._parameters)
        return f"{type(self).__name__}({arguments})"

    @property
    def records_to_clear(self) -> int:
        """Clean records before the alert is cleared; more for a test that may come and go."""
        return SOFT_RECORDS_TO_CLEAR if self.soft else self.patience

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables of which it is true at this record, `[V]` bool."""
        raise NotImplementedError

    def lasts(self, streak: Streak, record: Record, facts: Facts) -> np.ndarray:
        """Variables for which it has held for long enough, `[V]` bool."""
        return streak.hits >= self.patience

    @property
    def limit(self) -> float:
        """What the value is compared with."""
        return float(getattr(self, self._parameters[0]))

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record by this rule alone; returns the findings that hold now."""
        if self._alone is None:
            self._alone = Diagnosis([self])
        return self._alone.update(record)

    def reset(self) -> None:
        """Forget everything seen."""
        self._alone = None


def check_int(name: str, value: int, least: int) -> int:
    """Refuse anything but an int of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}; got {value!r}.")
    return value


def check_number(name: str, value: float, low: float, high: float = np.inf) -> float:
    """Refuse anything but a number strictly between `low` and `high`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low < value < high:
        allowed = f"between {low:g} and {high:g}" if high < np.inf else f"above {low:g}"
        raise ValueError(f"{name} must be a number {allowed}; got {value!r}.")
    return value
