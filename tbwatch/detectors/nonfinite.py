"""NaN and infinity, wherever they show first."""

from __future__ import annotations

import dataclasses

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

REMEDIES = {
    "loss": "Look for NaN in the targets, and at the loss function: log(0), a division by 0 or a "
    "square root of 0; cross-entropies of Keras guard against it, hand-written ones need a clip or "
    "from_logits=True.",
    "activation": "Check the inputs of {layer} and its operations (exp, log, division); lower the "
    "learning rate or the scale of the initial weights.",
    "gradient": "Look for NaN in the inputs (a ReLU hides it), and behind {layer} for an operation "
    "whose derivative is infinite (square root or norm at 0, division).",
    "update": "The gradient is finite, so look at the learning rate or its schedule, at the "
    "optimizer's epsilon, and at weights in float16 that overflow.",
    "weights": "Check the inputs for NaN (a ReLU hides it), and any log, division or square root "
    "in the loss; then lower the learning rate or clip gradients (clipnorm=1.0).",
}


class NonFinite(RunRule):
    """Fires at the first record with NaN or Inf in the loss, an activation, a gradient or a weight.

    There is nothing to wait for: one such value spreads through the whole net within an update or
    two. The alert begins with the place where it arose: the first activation in forward order, the
    loss if all activations are finite, a gradient if the loss is finite too. Where weights were
    lost at an update before this record, that place cannot be told.

    Args:
        patience: consecutive records without such values before the alert is cleared.

    Raises:
        ValueError: if `patience` is not an int of at least 1.

    Example:
        >>> NonFinite()
        NonFinite(patience=3)
    """

    name = "nonfinite"
    _parameters = ("patience",)

    def __init__(self, patience: int = 3) -> None:
        super().__init__(patience=patience, warmup=0)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._held: dict[str, tuple[Finding, int]] = {}
        self._is_told = False  # whether the place where it arose is known
        self._last_finite_step = 0
        self._last_gradient_norm = float("nan")

    def update(self, record: Record, facts: Facts | None = None) -> list[Finding]:
        """Judge the next record; returns the findings that hold now."""
        found = {finding.variable: finding for finding in self._found(record)}
        if not found and not record.quantities:
            return [finding for finding, _ in self._held.values()]
        if not found:
            self._last_finite_step = record.step
            if np.isfinite(record.global_gradient_norm):
                self._last_gradient_norm = record.global_gradient_norm
        if not self._held:
            self._is_told = False
        if self._is_told:
            # Later records show how far it has spread, not where it arose.
            first = {variable: finding for variable, (finding, _) in self._held.items()}
            found = {
                variable: first[variable]
                if variable in first
                else dataclasses.replace(finding, follows=True)
                for variable, finding in found.items()
            }
        self._is_told |= any(finding.follows for finding in found.values())
        held = {}
        for variable, (finding, clean) in self._held.items():
            if variable not in found and clean + 1 < self.patience:
                held[variable] = (finding, clean + 1)
        held.update({variable: (finding, 0) for variable, finding in found.items()})
        self._held = held
        return [finding for finding, _ in held.values()]

    def _found(self, record: Record) -> list[Finding]:
        layout = record.layout
        weights = record.quantity("weight_nonfinite") > 0
        gradients = record.quantity("gradient_nonfinite") > 0
        updates = record.quantity("update_nonfinite") > 0
        counts = record.activation("activation_nonfinite")
        outputs = np.flatnonzero(counts > 0)
        origin = _origin(record, weights, gradients, outputs)
        found = []
        for row in outputs:
            activation = layout.activations[row]
            message = f"{counts[row]:.0f} elements of what {activation.layer} hands on "
            message += "are NaN or infinite."
            if origin == activation.label:
                message += " All weights and all activations before it are finite."
            found.append(
                self._finding(activation.label, message, float(counts[row]), "activation", origin)
            )
        if record.loss_is_nonfinite:
            message = f"the loss is {record.loss}."
            if origin == "loss":
                message += " All weights and activations are finite: it arises in the loss itself."
            found.append(self._finding("loss", message, 1.0, "loss", origin))
        for row in np.flatnonzero(weights | gradients | updates):
            found.append(self._about_variable(record, int(row), origin))
        return found

    def _about_variable(self, record: Record, row: int, origin: str) -> Finding:
        counts = {
            "gradient": float(record.quantity("gradient_nonfinite")[row]),
            "weights": float(record.quantity("weight_nonfinite")[row]),
            "update": float(record.quantity("update_nonfinite")[row]),
        }
        parts = {what: count for what, count in counts.items() if count > 0}
        variable = record.layout.variables[row]
        listed = ", ".join(f"{count:.0f} in the {what}" for what, count in parts.items())
        message = f"{listed} of {variable.size} elements are NaN or infinite."
        place = next(place for place in ("weights", "gradient", "update") if place in parts)
        if origin == variable.name and place == "gradient":
            message += " Loss, weights and activations are finite: it arises behind this layer, "
            message += "where the loss or an operation is differentiated."
        evidence = {f"nonfinite_{what}": count for what, count in parts.items()}
        total = sum(parts.values())
        return self._finding(variable.name, message, total, place, origin, evidence)

    def _finding(
        self,
        variable: str,
        message: str,
        value: float,
        place: str,
        origin: str,
        evidence: dict[str, float] | None = None,
    ) -> Finding:
        layer = variable.rpartition("/")[0] or variable
        return Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="critical",
            variable=variable,
            message=message,
            value=value,
            threshold=0.0,
            remedy=REMEDIES[place].format(layer=layer),
            evidence={
                **(evidence or {}),
                "last_finite_update": float(self._last_finite_step),
                "last_finite_gradient_norm": self._last_gradient_norm,
            },
            follows=bool(origin) and variable != origin,
        )


def _origin(record: Record, weights: np.ndarray, gradients: np.ndarray, outputs: np.ndarray) -> str:
    """Where it arose, as far as this record tells; "" if it does not."""
    if not record.quantities:
        return ""
    if weights.any():  # lost at an update before; where not all are, these were first
        return record.layout.names[int(np.argmax(weights))]
    if outputs.size:
        return record.layout.activations[outputs[0]].label
    knows_activations = bool(np.isfinite(record.activation("activation_nonfinite")).any())
    if record.loss_is_nonfinite:
        return "loss" if knows_activations else ""
    # Backward, it spreads toward the input: the last layer that has it is the nearest.
    last = np.flatnonzero(gradients)[-1:]
    return record.layout.names[last[0]] if last.size else ""
