"""Weights that have grown beyond all measure."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record

# Small initial weights may well grow a hundredfold; only beyond He's scale it is divergence.
LARGE_SCALE = 10.0


class WeightDivergence(VariableRule):
    """Fires when weights have grown many times over and the loss has not fallen.

    Args:
        growth: rms now / rms before the first update. 100 is far beyond what training needs,
            unless the initial weights were tiny: the rms must also be above 10 times He's.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> WeightDivergence(growth=1000)
        WeightDivergence(growth=1000, patience=3, warmup=20)
    """

    name = "weight_divergence"
    needs = ("weight_norm",)
    value = "growth"
    message = (
        "its weights have grown to {growth:.0f} times their initial size (rms {weight_rms:.1e}), "
        "and the loss does not fall."
    )
    remedy = "Lower the learning rate, add weight decay, or clip gradients (clipnorm=1.0)."
    soft = True
    _parameters = ("growth", "patience", "warmup")

    def __init__(self, growth: float = 100.0, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.growth = check_number("growth", growth, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Kernels that grew that much while the loss stayed up."""
        if facts.loss.improves:
            return np.zeros(len(record.layout), bool)
        growth = predicates.growth(record)
        with np.errstate(invalid="ignore"):
            scale = record.layout.weight_scales * growth
        return (growth > self.growth) & (scale > LARGE_SCALE)
