"""Gradients that grow without end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

# Records at the start that set the scale; an explosion may begin soon after.
REFERENCE = 5
# Records whose median is what is usual: all of a short run, and no more memory in a long one.
REMEMBERED = 1000


class ExplodingGradient(RunRule):
    """Fires when the gradient is many times what it ever was, and the loss rises with it.

    A gradient has no natural size: a loss summed over the batch multiplies it by the batch size.
    So it is measured by its own past, the largest global norm of the first records and the median
    of the last 1000. A gradient that grows while the loss falls leaves a plateau, which is good.

    Args:
        factor: times that past. 10, in `patience` records in a row.
        patience: as in `RunRule`. 2: a single spike is no explosion.
        warmup: as in `RunRule`. 5: an explosion does not wait.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> ExplodingGradient(factor=100)
        ExplodingGradient(factor=100, patience=2, warmup=5)
    """

    name = "exploding_gradient"
    needs = ("global_gradient_norm",)
    _parameters = ("factor", "patience", "warmup")

    def __init__(self, factor: float = 10.0, *, patience: int = 2, warmup: int = 5) -> None:
        self.factor = check_number("factor", factor, 1.0)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._first: list[float] = []
        self._logs: deque[float] = deque(maxlen=REMEMBERED)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The net as a whole, if its gradient explodes."""
        norm, loss = record.global_gradient_norm, facts.loss
        if not record.quantities or not (math.isfinite(norm) and norm > 0):
            return
        if len(self._first) < REFERENCE:
            self._first.append(norm)
            self._logs.append(math.log(norm))
            return
        usual = max(self._first)
        if norm > self.factor * usual:  # a median takes longer than all the rest
            usual = max(usual, math.exp(float(np.median(self._logs))))
        if norm <= self.factor * usual:
            self._logs.append(math.log(norm))
            return
        if not record.loss > loss.start + 0.5 * abs(loss.start):
            return
        norms = np.where(np.isfinite(record.quantity("gradient_norm")), 1, 0)
        norms = norms * np.nan_to_num(record.quantity("gradient_norm"))
        worst = record.layout.names[int(np.argmax(norms))] if len(record.layout) else "run"
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="critical",
            variable=worst,
            message=f"the gradient is {norm / usual:.0f} times what it was (global norm {norm:.1e}"
            f", before {usual:.1e}), and the loss has risen to {record.loss:.4g} from "
            f"{loss.start:.4g}.",
            value=norm / usual,
            threshold=self.factor,
            remedy="Lower the learning rate, clip gradients (clipnorm=1.0) or warm the rate up; if "
            "the loss has only risen, check its sign.",
            evidence={"global_gradient_norm": norm, "usual": usual, "loss": record.loss},
        )
