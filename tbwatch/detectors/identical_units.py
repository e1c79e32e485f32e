"""Units that start out equal and get equal gradients stay equal for ever."""

from __future__ import annotations

import math

import numpy as np

from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule
from tbwatch.layout import WatchedVariable
from tbwatch.record import Record

# Share of the mean square that float32 sums may leave.
ROUNDING = 1e-5


class IdenticalUnits(VariableRule):
    """Fires when a kernel, and the one behind it, start with one and the same number each.

    Then all units of the layer compute the same and are corrected alike: the layer is one unit
    wide for ever, or, if the number is zero, gets no gradient at all. Where activations are
    recorded they must agree: all units of the layer hand on the same. Where they are not, every
    kernel behind must be constant too. A zero kernel before the output alone is good practice.

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
        "all its weights were initialised to the same number, and so were those of the next layer: "
        "its units compute the same and stay the same."
    )
    remedy = "Give {layer} a random initializer, such as the default one."

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Constant kernels before constant kernels."""
        variables = record.layout.variables
        held = np.zeros(len(variables), bool)
        following: WatchedVariable | None = None
        all_constant = True
        for row in reversed(range(len(held))):
            variable = variables[row]
            if len(variable.shape) < 2 or variable.is_offset_or_scale:
                continue
            before_constant = following is not None and following.constant
            if variable.constant and before_constant and variable.shape[-1] > 1:
                seen = _are_identical(variable.layer, record)
                held[row] = all_constant if seen is None else seen
            all_constant &= variable.constant
            following = variable
        return held

    @property
    def limit(self) -> float:
        """No number is compared."""
        return 0.0


def _are_identical(layer: str, record: Record) -> bool | None:
    """Whether all units of a layer hand on the same; None where that is not recorded."""
    for row, activation in enumerate(record.layout.activations):
        if activation.layer == layer and not activation.before:
            names = "activation_mean", "activation_std", "unit_std"
            mean, std, inner = (float(record.activation(name)[row]) for name in names)
            if not math.isfinite(std):
                return None
            # The variance between units is what is left of all variance without that within them.
            between = max(std**2 - inner**2, 0.0)
            return between <= ROUNDING * (mean**2 + std**2)
    return None
