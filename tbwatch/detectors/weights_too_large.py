"""Initial weights so large that the updates are nothing beside them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record

# With one initializer for the whole net, layers of small fan-in show it less.
ALSO_LARGE = 2.0
USUAL_UPDATE_RATIO = 1e-3
# Gain of the whole net by its initial weights, and growth from the first activation to the largest.
EXPLODING = 1e3
AMPLIFIED = 100.0
AMPLIFYING = (
    "its initial weights are {weight_scale:.0f} times larger than a He initialiser's, and the "
    "layers together make the activations more than a hundred times larger."
)


class WeightsTooLarge(VariableRule):
    """Fires when initial weights are many times He's and updates are small beside them.

    Adam's step is about the learning rate whatever the gradient: beside weights of scale 1 it
    shows nowhere, and the filters seem frozen. Or the layers together amplify the signal more than
    a thousandfold, and the activations show it.

    Args:
        scale: rms at init / sqrt(2 / fan-in). 10 is outside of every initializer in use; once one
            kernel is above it, all those above 2 are named.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> WeightsTooLarge(scale=5)
        WeightsTooLarge(scale=5, patience=3, warmup=20)
    """

    name = "weights_too_large"
    value = "weight_scale"
    message = (
        "its initial weights are {weight_scale:.0f} times larger than a He initialiser's: one "
        "update changes it by only {update_ratio:.1e} of its size, and its outputs are too large."
    )
    remedy = (
        "Use the default (Glorot) or a He initializer for {layer}; a higher learning rate does "
        "not cure it."
    )
    _parameters = ("scale", "patience", "warmup")

    def __init__(self, scale: float = 10.0, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.scale = check_number("scale", scale, ALSO_LARGE)

    def message_for(self, evidence: Mapping[str, float | str]) -> str:
        """It may move as usual, and the net amplify all the same."""
        return self.message if float(evidence["update_ratio"]) < USUAL_UPDATE_RATIO else AMPLIFYING

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Kernels of a net with oversized weights that move less than usual, or that amplify."""
        scale = record.layout.weight_scales
        large = scale > self.scale
        if large.any():
            large = scale > ALSO_LARGE
        large &= predicates.moves_less(USUAL_UPDATE_RATIO, record, facts)
        return large | ((scale > ALSO_LARGE) & _amplifies(scale, record))

    @property
    def limit(self) -> float:
        """The scale at which a whole net comes under suspicion."""
        return self.scale


def _amplifies(scale: np.ndarray, record: Record) -> bool:
    """Whether the initial weights together, and the activations too, say that the signal explodes.

    A He-initialised layer hands on what it gets at the same size, so the product of the scales is
    the gain of the net, unless it normalises; what happens shows in the activations.
    """
    gain = float(np.nanprod(scale)) if np.isfinite(scale).any() else 0.0
    hidden = [not a.is_output and not a.before for a in record.layout.activations]
    spread = record.activation("activation_std")[hidden]
    known = spread[np.isfinite(spread) & (spread > 0)]
    return gain > EXPLODING and known.size > 1 and bool(known.max() > AMPLIFIED * known[0])
