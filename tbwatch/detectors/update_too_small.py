"""A variable moves, but far too little, and the loss does not fall."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import AFTER_JUMP, VariableRule, check_number
from tbwatch.record import Record


class UpdateTooSmall(VariableRule):
    """Fires when the update ratio is far below any that learns, while the loss stays up.

    Slow is not frozen: SGD at a rate of 1e-4 gives 2e-5, Adam at 1e-5 gives 5e-5, and both learn.
    Only far below these, and only if the loss has not fallen by 1 %, it is a finding.

    Args:
        threshold: update ratio.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> UpdateTooSmall(threshold=1e-5)
        UpdateTooSmall(threshold=1e-05, patience=3, warmup=20)
    """

    name = "update_too_small"
    message = (
        "one update changes it by {update_ratio:.1e} of its size (a usual value is 1e-3) at a "
        "learning rate of {learning_rate:.1e}, and the loss does not fall."
    )
    remedy = "Raise the learning rate{of_layer}, about tenfold at a time."
    remedy_after_jump = AFTER_JUMP
    quiet = True
    soft = True
    _parameters = ("threshold", "patience", "warmup")

    def __init__(self, threshold: float = 1e-6, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.threshold = check_number("threshold", threshold, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables that hardly move while the loss stays up."""
        return predicates.moves_less(self.threshold, record, facts) & (not facts.loss.improves)
