"""Layers whose output hardly depends on the input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_int, check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.layout import WatchedActivation
from tbwatch.record import Record

# Weights of which less is left were pulled to zero: no net that learns does so by itself.
SHRUNK = 0.1


class SignalLost(RunRule):
    """Fires when a hidden layer gives nearly the same for every example, and the loss stands still.

    What does not reach the output cannot be learned from: initial weights that are too small, or a
    chain of sigmoids, shrink the differences between examples layer by layer until the biases
    drown them. Compared is the spread of single units over examples with the size of the outputs.

    Args:
        ratio: `unit_std` / rms of the outputs. 0.02: of 120 nets that learn, none is below 0.1
            while its loss stands still.
        updates: updates for which the loss must have stood still.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> SignalLost(ratio=0.001)
        SignalLost(ratio=0.001, updates=50, patience=3, warmup=20)
    """

    name = "signal_lost"
    needs = ("activation_mean",)
    records_to_clear = 10
    _parameters = ("ratio", "updates", "patience", "warmup")

    def __init__(
        self, ratio: float = 0.02, updates: int = 50, *, patience: int = 3, warmup: int = 20
    ) -> None:
        self.ratio = check_number("ratio", ratio, 0.0, 1.0)
        self.updates = check_int("updates", updates, 0)
        super().__init__(patience=patience, warmup=warmup)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """Hidden layers without a signal."""
        if facts.stalled_for(record) < self.updates:
            return
        spread = record.activation("unit_std").astype(np.float64)
        mean, std = record.activation("activation_mean"), record.activation("activation_std")
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = spread / np.hypot(mean, std)
        # Exactly 0 is a batch of one example, or a dead layer.
        for row in np.flatnonzero((ratio > 0) & (ratio < self.ratio)):
            activation = record.layout.activations[row]
            if activation.is_output or activation.before or activation.units < 2:
                continue
            yield Finding(
                rule=self.name,
                diagnosis=self.name,
                severity="warning",
                variable=activation.label,
                message="what it hands on hardly depends on the input: over a batch a unit varies "
                f"by {ratio[row]:.0e} of its size, and the loss stands still.",
                value=float(ratio[row]),
                threshold=self.ratio,
                remedy=_of_shrunk_weights(activation, record)
                or "Bring the inputs to a scale near 1, use larger initial weights (Glorot, He) up "
                f"to and including {activation.layer}, smaller initial biases, ReLU instead of "
                "sigmoid, or normalisation.",
                evidence={
                    "unit_std": float(spread[row]),
                    "activation_mean": float(mean[row]),
                    "activation_std": float(std[row]),
                },
            )


def _of_shrunk_weights(activation: WatchedActivation, record: Record) -> str:
    """What to do where weights before it were pulled to zero; "" if none were."""
    layout = record.layout
    before = [layout.rank(name) < layout.rank(activation.label) for name in layout.names]
    left = np.where(before & layout.is_main, predicates.growth(record), np.nan)
    if not (left < SHRUNK).any():
        return ""
    row = int(np.nanargmin(left))
    variable = layout.variables[row]
    pull = f"what pulls {variable.layer} to zero, such as weight decay or a constraint"
    if variable.regularized:
        pull = f"the L2 penalty of {variable.layer}"
    return (
        f"Weaken {pull}: its weights have shrunk to {left[row]:.1g} of their initial size, and "
        "pass on nothing."
    )
