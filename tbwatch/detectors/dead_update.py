"""There is a gradient, but the variable does not move."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import AFTER_JUMP, VariableRule, check_number
from tbwatch.record import Record


class DeadUpdate(VariableRule):
    """Fires when one update changes a variable by less than `threshold` of its size.

    The measure is the update ratio, rms(dW) / rms(W). A learning rate that is zero, still rising
    or below 1 % of its peak is no fault.

    Args:
        threshold: update ratio below which a variable does not move. 1e-7 is where float32 ends:
            its spacing is 1.2e-7 relative, so smaller changes are mostly rounded away.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> DeadUpdate(threshold=1e-8, patience=5)
        DeadUpdate(threshold=1e-08, patience=5, warmup=20)
    """

    name = "dead_update"
    severity = "critical"
    message = (
        "one update changes it by {update_ratio:.1e} of its size, below {limit:.0e}, at a learning "
        "rate of {learning_rate:.1e}: it is not moving."
    )
    remedy = (
        "Raise the learning rate{of_layer}, shrink the initial weights, check constraints and "
        "clipping, or freeze it on purpose."
    )
    remedy_after_jump = AFTER_JUMP
    quiet = True
    _parameters = ("threshold", "patience", "warmup")

    def __init__(self, threshold: float = 1e-7, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.threshold = check_number("threshold", threshold, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables that stand still."""
        return predicates.moves_less(self.threshold, record, facts)
