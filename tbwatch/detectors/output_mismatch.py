"""Outputs, losses and labels that cannot belong together."""

from __future__ import annotations

from collections.abc import Iterator

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.run_rule import RunRule
from tbwatch.layout import WatchedActivation
from tbwatch.record import Record

RELU = ("relu", "relu6")


class OutputMismatch(RunRule):
    """Fires for a softmax over one unit, a ReLU before a cross-entropy, and one without a floor.

    The first two are exact, by structure: a softmax over one unit is always 1, whatever the net
    does (Keras may train its logit all the same, and predictions stay wrong), and a ReLU cannot
    say "unlikely". A cross-entropy is never negative while labels lie in 0 to 1: it has lost its
    floor if it lies as far below 0 as it began above. A little below can be meant, by sample
    weights or an added loss.

    Args:
        patience: as in `RunRule`. 3 outlasts a single odd batch.
        warmup: as in `RunRule`. 0: nothing has to settle.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> OutputMismatch()
        OutputMismatch(patience=3, warmup=0)
    """

    name = "output_mismatch"
    needs = ("activation_mean",)

    def __init__(self, *, patience: int = 3, warmup: int = 0) -> None:
        super().__init__(patience=patience, warmup=warmup)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """Outputs and the loss, where they do not fit."""
        if not record.quantities:
            return
        entropy = "crossentropy" in record.layout.setup.loss
        for activation in record.layout.activations:
            if not activation.is_output or activation.before:
                continue
            if activation.function == "softmax" and activation.units == 1:
                yield self._finding(
                    activation,
                    "a softmax over a single unit is always 1, whatever the net has learned.",
                    "Use a sigmoid for two classes, a linear output for a number, or one unit per "
                    "class.",
                )
            elif activation.function in RELU and entropy:
                yield self._finding(
                    activation,
                    "a ReLU hands its outputs to a cross-entropy: it cannot go below 0, and units "
                    "that are 0 do not learn.",
                    "Use a softmax or sigmoid, or no activation with from_logits=True.",
                )
        if entropy and facts.loss.now < -abs(facts.loss.start):
            yield Finding(
                rule=self.name,
                diagnosis=self.name,
                severity="critical",
                variable="loss",
                message=f"it is {facts.loss.now:.4g}, and a cross-entropy is never negative: "
                "labels lie outside of 0 to 1.",
                value=facts.loss.now,
                threshold=-abs(facts.loss.start),
                remedy="Check the labels: classes as numbers need a sparse categorical "
                "cross-entropy and one unit per class.",
                evidence={"loss": facts.loss.now, "start": facts.loss.start},
            )

    def _finding(self, activation: WatchedActivation, message: str, remedy: str) -> Finding:
        return Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="critical",
            variable=activation.label,
            message=message,
            value=float(activation.units),
            threshold=1.0,
            remedy=remedy,
            evidence={"units": float(activation.units), "function": activation.function},
        )
