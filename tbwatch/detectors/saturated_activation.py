"""Sigmoid and tanh units at their limits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

OUTPUT_REMEDY = (
    "The targets seem to lie beyond what the output can reach: use a linear output, or scale the "
    "targets into its range."
)


class SaturatedActivation(RunRule):
    """Fires when most outputs of a hidden sigmoid or tanh layer are at their limits.

    An output counts as saturated where the derivative is below 1 % of its maximum: a sigmoid below
    0.0025 or above 0.9975, a tanh beyond 0.995. In the output layer a saturated sigmoid is a sure
    answer, so it is judged only where the loss is no cross-entropy and has not fallen by half. A
    run with less than 5 % of its loss left is not judged.

    Args:
        share: of saturated outputs in a batch. 0.7: healthy nets stay below 0.2, also gates and
            codes; with initial weights of scale 1 it is 0.75 and more. Single units that are
            always saturated, which others count, miss those that flip from one limit to the other.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> SaturatedActivation(share=0.8)
        SaturatedActivation(share=0.8, patience=3, warmup=20)
    """

    name = "saturated_activation"
    needs = ("activation_mean",)
    records_to_clear = 10
    _parameters = ("share", "patience", "warmup")

    def __init__(self, share: float = 0.7, *, patience: int = 3, warmup: int = 20) -> None:
        self.share = check_number("share", share, 0.0, 1.0)
        super().__init__(patience=patience, warmup=warmup)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """Hidden layers with too many saturated outputs."""
        if facts.loss.has_converged:
            return
        shares = record.activation("saturated_fraction")
        for row in np.flatnonzero(shares >= self.share):
            activation, share = record.layout.activations[row], float(shares[row])
            if activation.before or (activation.is_output and not _misfits(record, facts)):
                continue
            yield Finding(
                rule=self.name,
                diagnosis=self.name,
                severity="warning",
                variable=activation.label,
                message=f"{share:.0%} of its {activation.function} outputs are at their limits: "
                "hardly any gradient passes.",
                value=share,
                threshold=self.share,
                remedy=OUTPUT_REMEDY
                if activation.is_output
                else f"Scale the inputs of {activation.layer}, add normalisation before it, or "
                "give it smaller initial weights (Glorot).",
                evidence={
                    "saturated_fraction": share,
                    "saturated_units": float(record.activation("saturated_units")[row]),
                    "units": float(activation.units),
                    "activation_mean": float(record.activation("activation_mean")[row]),
                },
            )


def _misfits(record: Record, facts: Facts) -> bool:
    """Whether the targets seem to lie beyond what the output can reach."""
    loss = record.layout.setup.loss
    return bool(loss) and "crossentropy" not in loss and not facts.loss.has_fallen_by(0.5)
