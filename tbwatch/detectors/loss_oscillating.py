"""A loss that jumps up and down and gets nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts, LossTrend
from tbwatch.detectors.rule import check_int, check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

# Of the lowest of the first losses: what has fallen below that is on its way down, and may jump.
FALLEN_ENOUGH = 0.5


class LossOscillating(RunRule):
    """Fires when the loss jumps while, on average, it is worse than guessing or than its start.

    Jumps alone are no fault: at a batch size of 1 every healthy loss has them.

    Args:
        amplitude: standard deviation of single losses / their mean.
        updates: updates before anything is said.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LossOscillating(amplitude=0.5)
        LossOscillating(amplitude=0.5, updates=100, patience=3, warmup=20)
    """

    name = "loss_oscillating"
    needs = ("loss",)
    records_to_clear = LossTrend.recent_window
    _parameters = ("amplitude", "updates", "patience", "warmup")

    def __init__(
        self,
        amplitude: float = 0.2,
        updates: int = 100,
        *,
        patience: int = 3,
        warmup: int = 20,
    ) -> None:
        self.amplitude = check_number("amplitude", amplitude, 0.0)
        self.updates = check_int("updates", updates, 1)
        super().__init__(patience=patience, warmup=warmup)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The loss, if it jumps to no avail."""
        if record.layout.setup.optimizers > 1:  # losses that are opposed need not fall
            return
        loss, chance = facts.loss, record.layout.setup.chance_loss
        if facts.updates < self.updates or not loss.noise > self.amplitude * abs(loss.recent):
            return
        bar = loss.start if chance is None else chance
        at_least = loss.recent - 2.0 * loss.recent_error
        still_falls = loss.recent < loss.older - 2.0 * loss.recent_error
        if (
            not at_least > bar
            or still_falls
            or 0 <= loss.recent < FALLEN_ENOUGH * loss.lowest_first
        ):
            return
        than = "it began" if chance is None else f"guessing gives ({chance:.4g})"
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning",
            variable="loss",
            message=f"it jumps by {loss.noise / abs(loss.recent):.0%} from one update to the next, "
            f"and its mean ({loss.recent:.4g}) is worse than {than}.",
            value=loss.noise / abs(loss.recent),
            threshold=self.amplitude,
            remedy="Lower the learning rate (a tenth), or use larger batches.",
            evidence={"start": loss.start, "older": loss.older, "recent": loss.recent},
        )
