"""Units that start out equal and get equal gradients stay equal for ever."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule
from tbwatch.record import Record


class IdenticalUnits(VariableRule):
    """Fires when a kernel, and every one behind it, starts with one and the same number.

    Then all units of the layer compute the same and are corrected alike: the layer is one unit
    wide, or, if the number is zero, gets no gradient at all. A zero kernel before the output alone
    is good practice and is not meant.

    Args:
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> IdenticalUnits()
        IdenticalUnits(patience=3, warmup=20)
    """

    name = "identical_units"
    needs = ()
    severity = "critical"
    value = "weight_rms"
    message = (
        "all its weights were initialised to the same number, and so were those of every layer "
        "behind it: its units compute the same and stay the same."
    )
    remedy = "Give {layer} a random initializer, such as the default one."

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Constant kernels with nothing but constant kernels behind them, the last one apart."""
        held = np.zeros(len(record.layout), bool)
        behind = 0
        for row in reversed(range(len(held))):
            variable = record.layout.variables[row]
            if len(variable.shape) < 2 or variable.is_offset_or_scale:
                continue
            if not variable.constant:
                break
            held[row] = behind > 0 and variable.shape[-1] > 1
            behind += 1
        return held

    @property
    def limit(self) -> float:
        """No number is compared."""
        return 0.0
