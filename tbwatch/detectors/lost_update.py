"""The update is rounded away: weights plus dW is the weights."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record

FALLEN_ENOUGH = 0.5


class LostUpdate(VariableRule):
    """Fires when most elements of a half-precision variable have a gradient but do not change.

    In float32 an update is lost only where the update ratio is below 1e-7, which `dead_update`
    says better. A run whose loss has fallen by half can afford it.

    Args:
        share: share of the elements. A bfloat16 variable at an SGD rate of 0.01 keeps 72 % of its
            elements, at a healthy gradient.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LostUpdate(share=0.9)
        LostUpdate(share=0.9, patience=3, warmup=20)
    """

    name = "lost_update"
    needs = ("update_zero_fraction",)
    value = "update_zero_fraction"
    message = (
        "{update_zero_fraction:.0%} of its elements did not change although they have a gradient: "
        "in {dtype} the update is rounded away (update ratio {update_ratio:.1e})."
    )
    remedy = (
        "Keep the variables of {layer} in float32, as the policies mixed_float16 and "
        "mixed_bfloat16 do, or raise the learning rate."
    )
    quiet = True
    _parameters = ("share", "patience", "warmup")

    def __init__(self, share: float = 0.5, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.share = check_number("share", share, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables that stand still under a gradient, by rounding."""
        low = [v.dtype in predicates.LOW_PRECISION for v in record.layout.variables]
        has_gradient = record.quantity("gradient_zero_fraction") < 0.5
        stands_still = record.quantity("update_zero_fraction") > self.share
        matters = facts.rate_allows and not facts.loss.has_fallen_by(FALLEN_ENOUGH)
        return has_gradient & stands_still & np.array(low, bool) & matters
