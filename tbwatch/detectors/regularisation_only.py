"""An L2 penalty pulls a variable, and the loss does not."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record


class RegularisationOnly(VariableRule):
    """Fires when the gradient of a variable with a regularizer points along its weights.

    With Adam such a layer moves at full speed, so its update ratio looks healthy. Variables
    without a regularizer are not tested: the gradient of a layer whose input is constant can point
    along its weights too.

    Args:
        cosine: least cosine of g and W. 0.99 leaves less than 14 % of g in other directions.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> RegularisationOnly(cosine=0.95)
        RegularisationOnly(cosine=0.95, patience=3, warmup=20)
    """

    name = "regularisation_only"
    needs = ("gradient_weight_cosine",)
    value = "gradient_weight_cosine"
    message = (
        "its gradient points along the weights (cosine {gradient_weight_cosine:.3f}): an L2 "
        "penalty pulls it to zero, the loss adds next to nothing."
    )
    remedy = "Look for what stops the loss's gradient before {layer}, or weaken its L2 penalty."
    _parameters = ("cosine", "patience", "warmup")

    def __init__(self, cosine: float = 0.99, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.cosine = check_number("cosine", cosine, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables with a regularizer that is all they feel."""
        aligned = record.quantity("gradient_weight_cosine") > self.cosine
        aligned &= np.array([v.regularized for v in record.layout.variables], bool)
        has_gradient = record.quantity("gradient_norm") > 0
        return aligned & has_gradient & predicates.has_direction(record.layout)
