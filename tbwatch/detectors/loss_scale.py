"""Mixed precision whose loss scale collapses."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

WINDOW = 1000  # updates
LEAST_HALVINGS = 10


class LossScale(RunRule):
    """Fires when loss scaling skips too many updates, or has given up.

    Keras halves the scale for each update with an infinite gradient, which it skips, and doubles
    it after 2000 good ones. A few halvings at the start are how it finds its place.

    Args:
        skipped: share of the last 1000 updates. 0.05: fifty times more than one in 2000.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LossScale(skipped=0.1)
        LossScale(skipped=0.1, patience=3, warmup=20)
    """

    name = "loss_scale"
    _parameters = ("skipped", "patience", "warmup")

    def __init__(self, skipped: float = 0.05, *, patience: int = 3, warmup: int = 20) -> None:
        self.skipped = check_number("skipped", skipped, 0.0, 1.0)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._log = 0.0
        self._steps: deque[int] = deque()
        self._falls: deque[tuple[int, float]] = deque()  # after which step; negative: it rose

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The loss scale, if it is lost."""
        scale = record.loss_scale
        if not record.quantities or not scale > 0:
            return
        log = math.log2(scale)
        if self._steps and log != self._log:
            self._falls.append((self._steps[-1], self._log - log))
        self._steps.append(record.step)
        self._log = log
        while self._steps[0] <= record.step - WINDOW:
            self._steps.popleft()
        while self._falls and self._falls[0][0] < self._steps[0]:
            self._falls.popleft()
        halvings = sum(max(fall, 0.0) for _, fall in self._falls)
        updates = record.step - self._steps[0] + 1
        share = halvings / (updates + halvings)
        often = halvings >= LEAST_HALVINGS and share > self.skipped
        if not often and not (scale < 1.0 and self._falls):
            return
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning",
            variable="loss_scale",
            message=f"it is {scale:g}: {halvings:.0f} of the last {updates + halvings:.0f} updates "
            "were skipped because a gradient was infinite.",
            value=share,
            threshold=self.skipped,
            remedy="Clip gradients, look for overflow in float16 activations, or use "
            "mixed_bfloat16, which needs no loss scale.",
            evidence={"loss_scale": scale, "halvings": halvings},
        )
