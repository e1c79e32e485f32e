"""ReLU units that never fire."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.layout import WatchedActivation
from tbwatch.record import Record

RELU = ("relu", "relu6")
OUTPUT_REMEDY = "Use no ReLU for an output: a linear one, or the softmax or sigmoid of the loss."
CRITICAL_SHARE = 0.95
SILENT_RECORDS = 10
# Earlier, half a layer may be dead on the way down.
LEAST_UPDATES = 100
# Who has learned this much does not ail from its dead units.
FALLEN_ENOUGH = 0.5


class DeadRelu(RunRule):
    """Fires when most ReLU units of a layer were 0 for every example of many batches.

    A unit counts as dead after 10 sampled batches and 1024 examples in a row without an output
    above 0; a layer as a whole after 10 sampled batches. Not the share of zero outputs: half of
    them are 0 in a healthy net, and the rule "70 % are zero" is the largest source of false alarms
    in the field.

    Args:
        share: of dead units in a layer. 0.6: SageMaker Debugger and TheDeepChecker have 0.5, but
            55 % were seen in an AlexNet on its way through a plateau, which then learned. Once the
            loss has fallen by a tenth it is told as `info`. From 0.95 on it is critical, until the
            loss has fallen by half.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> DeadRelu(share=0.8)
        DeadRelu(share=0.8, patience=3, warmup=20)
    """

    name = "dead_relu"
    needs = ("activation_mean",)
    records_to_clear = 10
    _parameters = ("share", "patience", "warmup")

    def __init__(self, share: float = 0.6, *, patience: int = 3, warmup: int = 20) -> None:
        self.share = check_number("share", share, 0.0, 1.0)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._silent = np.zeros(0, int)
        self._fired = np.zeros(0, bool)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """Layers with too many dead units."""
        shares = np.nan_to_num(record.activation("dead_units"))
        # A layer that is silent as a whole need not be watched for long: this is no chance.
        silent = record.activation("silent_units") == 1.0
        if len(self._silent) != len(silent):
            self._silent = np.zeros(len(silent), int)
            self._fired = np.zeros(len(silent), bool)
        self._fired |= record.activation("silent_units") < self.share
        self._silent = np.where(silent, self._silent + 1, 0) if record.quantities else self._silent
        shares = np.where(self._silent >= SILENT_RECORDS, 1.0, shares)
        for row in np.flatnonzero(shares >= self.share):
            activation, share = record.layout.activations[row], float(shares[row])
            if activation.function not in RELU or activation.before:
                continue
            if share >= CRITICAL_SHARE:
                eased = "warning" if share == 1.0 else "info"
                severity = eased if facts.loss.has_fallen_by(FALLEN_ENOUGH) else "critical"
            else:
                early = facts.updates < LEAST_UPDATES
                severity = "info" if early or facts.learns(record) else "warning"
            yield Finding(
                rule=self.name,
                diagnosis=self.name,
                severity=severity,
                variable=activation.label,
                message=_message(activation.units, share, bool(self._fired[row])),
                value=share,
                threshold=self.share,
                remedy=self._remedy(int(row), activation),
                evidence={
                    "dead_units": share,
                    "silent_units": float(record.activation("silent_units")[row]),
                    "units": float(activation.units),
                    "activation_mean": float(record.activation("activation_mean")[row]),
                    "learning_rate": record.learning_rate,
                },
            )

    def _remedy(self, row: int, activation: WatchedActivation) -> str:
        if activation.is_output:
            return OUTPUT_REMEDY
        remedies = "He initialisation, or LeakyReLU"
        if self._fired[row]:
            return (
                "They fired at first: lower the learning rate about tenfold; then "
                f"{remedies} in {activation.layer}."
            )
        return (
            "They never fired: no negative initial biases, inputs that are not all zero and of a "
            f"scale near 1, {remedies} in {activation.layer}; then a lower learning rate."
        )


def _message(units: int, share: float, fired: bool) -> str:
    if share == 1.0:
        fires = "fires any more" if fired else "fires"
        return f"none of its {units} ReLU units {fires}: nothing passes, forward or back."
    dead = round(share * units)
    return f"{dead} of its {units} ReLU units did not fire for the last 1024 examples or more."
