"""A schedule that took the learning rate away long before there was nothing left to learn."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import check_int, check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record


class LearningRateVanished(RunRule):
    """Fires when the rate has been next to nothing for most of the run.

    A schedule that ends near zero is good practice, and silent. But if the rate was above `share`
    of its peak for a short while only, and then below for twice as long, its decay is usually
    counted in updates where epochs were meant.

    Args:
        share: of the peak.
        updates: updates at less than that, at least.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LearningRateVanished(updates=500)
        LearningRateVanished(share=0.01, updates=500, patience=3, warmup=20)
    """

    name = "learning_rate_vanished"
    needs = ("learning_rate",)
    _parameters = ("share", "updates", "patience", "warmup")

    def __init__(
        self, share: float = 0.01, updates: int = 50, *, patience: int = 3, warmup: int = 20
    ) -> None:
        self.share = check_number("share", share, 0.0, 1.0)
        self.updates = check_int("updates", updates, 1)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._last_alive = 0

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The learning rate, if it is gone too early."""
        rate = record.learning_rate
        if not record.quantities or math.isnan(rate) or facts.peak_rate == 0:
            return
        if abs(rate) > self.share * facts.peak_rate:
            self._last_alive = record.step
            return
        alive = self._last_alive - facts.first_step + 1
        gone = record.step - self._last_alive
        if gone < max(self.updates, 2 * alive) or facts.loss.has_converged:
            return
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning",
            variable="learning_rate",
            message=f"it fell to {rate:.1e}, less than {100 * self.share:g}% of its peak "
            f"({facts.peak_rate:.1e}), after {alive} updates, and has stayed there for {gone}, at "
            f"a loss of {facts.loss.recent:.4g}.",
            value=rate,
            threshold=self.share * facts.peak_rate,
            remedy="Let the rate decay more slowly: the steps of a Keras schedule are updates, not "
            "epochs.",
            evidence={"peak": facts.peak_rate, "alive_updates": float(alive)},
        )
