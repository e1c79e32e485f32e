"""NaN and infinity, wherever they show first."""

from __future__ import annotations

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.record import Record

REMEDY = (
    "Lower the learning rate or clip gradients (clipnorm=1.0); check the inputs and any log, "
    "division or square root in the loss."
)


class NonFinite:
    """Fires at the first record with NaN or Inf in the loss, a gradient, a weight or an update.

    There is nothing to wait for: one such value spreads through the whole net within an update or
    two. The alert names the affected variables in forward order, so it can tell a single sick
    layer from a net that is lost.

    Args:
        patience: consecutive records without such values before the alert is cleared.

    Raises:
        ValueError: if `patience` is not an int of at least 1.
    """

    name = "nonfinite"

    def __init__(self, patience: int = 3) -> None:
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 1:
            raise ValueError(f"patience must be an int of at least 1; got {patience!r}.")
        self.patience = patience
        self.reset()

    def __repr__(self) -> str:
        return f"NonFinite(patience={self.patience})"

    def reset(self) -> None:
        """Forget everything seen."""
        self._held: dict[str, tuple[Finding, int]] = {}
        self._last_finite_step = 0
        self._last_gradient_norm = float("nan")

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record; returns the findings that hold now."""
        found = {finding.variable: finding for finding in self._found(record)}
        if not found:
            self._last_finite_step = record.step
            if np.isfinite(record.global_gradient_norm):
                self._last_gradient_norm = record.global_gradient_norm
        held = {}
        for variable, (finding, clean) in self._held.items():
            if variable not in found and clean + 1 < self.patience:
                held[variable] = (finding, clean + 1)
        held.update({variable: (finding, 0) for variable, finding in found.items()})
        self._held = held
        return [finding for finding, _ in held.values()]

    def _found(self, record: Record) -> list[Finding]:
        counts = {
            "gradient": record.quantity("gradient_nonfinite"),
            "weights": record.quantity("weight_nonfinite"),
            "update": record.quantity("update_nonfinite"),
        }
        found = []
        if record.loss_is_nonfinite:
            message = f"the loss is {record.loss}."
            found.append(self._finding("loss", message, 1.0, {"loss": record.loss}))
        total = np.nansum(list(counts.values()), axis=0)
        for row in np.flatnonzero(total > 0):
            variable = record.layout.variables[row]
            parts = {k: float(v[row]) for k, v in counts.items() if v[row] > 0}
            listed = ", ".join(f"{count:.0f} in the {what}" for what, count in parts.items())
            message = f"{listed} of {variable.size} elements are NaN or infinite."
            evidence = {f"nonfinite_{what}": count for what, count in parts.items()}
            found.append(self._finding(variable.name, message, float(total[row]), evidence))
        return found

    def _finding(
        self, variable: str, message: str, value: float, evidence: dict[str, float]
    ) -> Finding:
        history = {
            "last_finite_update": float(self._last_finite_step),
            "last_finite_gradient_norm": self._last_gradient_norm,
        }
        return Finding(
            rule=self.name,
            diagnosis="nonfinite",
            severity="critical",
            variable=variable,
            message=message,
            value=value,
            threshold=0.0,
            remedy=REMEDY,
            evidence={**evidence, **history},
        )
