"""No path leads from a variable to the loss."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule
from tbwatch.record import Record


class NotConnected(VariableRule):
    """Fires when the training step hands the optimizer no gradient (None) for a variable.

    Exact, and known when the step is traced: raised at the first record, without patience or
    warm-up.

    Args:
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> NotConnected()
        NotConnected(patience=3, warmup=20)
    """

    name = "not_connected"
    needs = ()
    severity = "critical"
    message = (
        "the training step hands the optimizer no gradient (None) for it: no path leads from it "
        "to the loss."
    )
    remedy = (
        "Connect {layer} to an output that has a loss, remove the stop_gradient or the "
        "non-differentiable operation behind it, or set trainable=False."
    )
    exact = immediate = True

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables without a path to the loss."""
        return ~record.layout.is_connected

    @property
    def limit(self) -> float:
        """No number is compared."""
        return 0.0
