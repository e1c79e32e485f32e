"""Mixed precision whose loss scale collapses."""

from __future__ import annotations

import itertools
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
        self._scales: deque[tuple[int, float]] = deque()

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The loss scale, if it is lost."""
        scale = record.loss_scale
        if not record.quantities or not scale > 0:
            return
        self._scales.append((record.step, math.log2(scale)))
        while self._scales[0][0] <= record.step - WINDOW:
            self._scales.popleft()
        logs = [log for _, log in self._scales]
        falls = itertools.pairwise(logs)
        halvings = sum(max(before - after, 0.0) for before, after in falls)
        updates = record.step - self._scales[0][0] + 1
        share = halvings / (updates + halvings)
        often = halvings >= LEAST_HALVINGS and share > self.skipped
        if not often and not (scale < 1.0 and len(set(logs)) > 1):
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
