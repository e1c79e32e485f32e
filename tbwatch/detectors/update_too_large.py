"""A variable is rewritten at every step."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record


class UpdateTooLarge(VariableRule):
    """Fires when one update changes a variable by a large share of its size, to no avail.

    Args:
        threshold: update ratio. 0.1: 100 times the usual, and ten such steps make other weights.
            Small initial weights grow like that at first; only if the loss is above its start, or
            above that of guessing, it is a finding: such steps do harm. Variables that start at
            zero are not judged, they have no size yet.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> UpdateTooLarge(threshold=0.5)
        UpdateTooLarge(threshold=0.5, patience=3, warmup=20)
    """

    name = "update_too_large"
    message = (
        "one update changes it by {update_ratio:.0%} of its size (a usual value is 0.1 %) at a "
        "learning rate of {learning_rate:.1e}, and the loss is worse than before."
    )
    remedy = "Lower the learning rate about tenfold, or warm it up."
    soft = True
    _parameters = ("threshold", "patience", "warmup")

    def __init__(self, threshold: float = 0.1, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.threshold = check_number("threshold", threshold, 0.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables of some size that change fast while the loss is up."""
        if not facts.is_worse(record):
            return np.zeros(len(record.layout), bool)
        fast = record.quantity("update_ratio") > self.threshold
        return fast & predicates.has_direction(record.layout) & (record.layout.initial_rms != 0)
