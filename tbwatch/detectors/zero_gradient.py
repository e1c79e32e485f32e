"""A path to the loss exists, and carries nothing."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.diagnosis import Streak
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_int
from tbwatch.record import Record

# If every gradient is zero although the loss has fallen, the batches may just be solved.
LEAST_SOLVED_UPDATES = 100


# In an epoch longer than this, a branch that never gets anything is reported before its end.
LONG_ENOUGH = 1000


def covers_the_data(streak: Streak, record: Record) -> np.ndarray:
    """Whether every batch had its turn, `[V]` bool; at the end of a fit it has had it."""
    return (streak.epochs >= 1) | (streak.updates >= LONG_ENOUGH) | record.is_last


class ZeroGradient(VariableRule):
    """Fires when every element of a gradient is exactly 0, for long enough.

    Zero needs no scale. But a healthy branch can get nothing from a few small batches, so either
    nothing moved for `least_updates`, or the gradient is 0 in `least_records` in a row while the
    updates only died away. Where other kernels do get a gradient, it may be a branch that few
    batches use: then it must have lasted a whole epoch (or 1000 updates, or to the end).

    Args:
        least_updates: updates that a variable must stand still. 10: three zeros in a row do happen
            at a batch size of 1.
        least_records: records in a row that count even if it moved in between.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> ZeroGradient(least_updates=50)
        ZeroGradient(least_updates=50, least_records=10, patience=3, warmup=20)
    """

    name = "zero_gradient"
    needs = ("gradient_norm",)
    severity = "critical"
    value = "gradient_zero_fraction"
    message = (
        "every element of its gradient is exactly 0 (update ratio {update_ratio:.1e}; {moved})."
    )
    remedy = (
        "No signal from the loss reaches {layer}: look for inputs that are all 0, dead ReLUs after "
        "or before it, a saturated softmax, rounding (sign, argmax), masks or a constant loss."
    )
    exact = quiet = True
    _parameters = ("least_updates", "least_records", "patience", "warmup")

    def __init__(
        self,
        least_updates: int = 10,
        least_records: int = 10,
        *,
        patience: int = 3,
        warmup: int = 20,
    ) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.least_updates = check_int("least_updates", least_updates, 0)
        self.least_records = check_int("least_records", least_records, 1)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables whose gradient is zero in every element."""
        return predicates.has_no_gradient(record)

    def lasts(self, streak: Streak, record: Record, facts: Facts) -> np.ndarray:
        """Between sparse samples a zero proves little, unless nothing moved in between."""
        unmoved = ~streak.moved & (streak.updates >= self.least_updates)
        coasting = ~streak.revived & (streak.hits >= self.least_records)
        lasts = (streak.hits >= self.patience) & (unmoved | coasting)
        if predicates.others_learn(record):
            lasts &= covers_the_data(streak, record)
        connected = record.layout.is_connected
        if facts.loss.improves and predicates.has_no_gradient(record)[connected].all():
            lasts &= streak.updates >= LEAST_SOLVED_UPDATES
        return lasts

    @property
    def limit(self) -> float:
        """Share of zeros."""
        return 1.0
