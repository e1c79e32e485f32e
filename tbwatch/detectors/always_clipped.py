"""Clipping that decides the step, not the gradient."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

RECORDS = 30
# A rate of less than this share of the nominal one, while the loss has stood still for so long.
GRAVE = 0.01
GRAVE_UPDATES = 50


class AlwaysClipped(RunRule):
    """Tells (as `info`) when clipping by norm shrinks every gradient many times.

    It is a warning if less than a hundredth is left and the loss has stood still for 50 updates.

    Then the learning rate in effect is the nominal one times that factor. Optimizers that rescale
    gradients themselves (Adam) take no notice of it and are not judged.

    Args:
        factor: clipped norm / norm, median of the last 30 records. 0.1: a tenth of the rate.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> AlwaysClipped(factor=0.01)
        AlwaysClipped(factor=0.01, patience=3, warmup=20)
    """

    name = "always_clipped"
    _parameters = ("factor", "patience", "warmup")

    def __init__(self, factor: float = 0.1, *, patience: int = 3, warmup: int = 20) -> None:
        self.factor = check_number("factor", factor, 0.0, 1.0)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._factors: deque[float] = deque(maxlen=RECORDS)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The run, if clipping decides its steps."""
        setup = record.layout.setup
        limit = setup.global_clipnorm or setup.clipnorm
        if not limit or setup.epsilon is not None or not record.quantities:
            return
        norm = record.global_gradient_norm
        if not setup.global_clipnorm:
            norms = record.quantity("gradient_norm")
            norm = float(np.nanmedian(norms)) if np.isfinite(norms).any() else np.nan
        if norm > 0:
            self._factors.append(min(limit / norm, 1.0))
        factor = float(np.median(self._factors)) if self._factors else 1.0
        if len(self._factors) < RECORDS or factor >= self.factor:
            return
        grave = factor < GRAVE and facts.stalled_for(record) >= GRAVE_UPDATES
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning" if grave else "info",
            variable="learning_rate",
            message=f"clipping shrinks gradients to {factor:.1e} of their size: the learning rate "
            f"in effect is {factor * record.learning_rate:.1e}.",
            value=factor,
            threshold=self.factor,
            remedy="Raise the clipping norm to about the largest norm of a healthy run."
            if grave
            else "Raise the clipping norm, or take this for the rate that you train with.",
            evidence={"clipnorm": float(limit), "learning_rate": record.learning_rate},
        )
