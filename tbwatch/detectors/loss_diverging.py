"""A loss that climbs."""

from __future__ import annotations

from collections.abc import Iterator

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import Facts, LossTrend
from tbwatch.detectors.rule import check_number
from tbwatch.detectors.run_rule import RunRule
from tbwatch.record import Record

# A gain of less than this share of the start is too small to speak of its loss.
LEAST_GAIN = 0.1


class LossDiverging(RunRule):
    """Fires when the loss has risen far above its start, or most of what was gained is lost.

    Means of 30 sampled losses are compared, two standard errors counted in favour of the run. A
    loss near its minimum that doubles by noise is no divergence: what counts is how much of the
    way down was lost.

    Args:
        factor: times the start. 1.5: first updates with momentum do overshoot by less.
        lost: share of the fall that was lost again.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LossDiverging(factor=2.0)
        LossDiverging(factor=2.0, lost=0.5, patience=3, warmup=20)
    """

    name = "loss_diverging"
    needs = ("loss",)
    records_to_clear = LossTrend.recent_window
    _parameters = ("factor", "lost", "patience", "warmup")

    def __init__(
        self, factor: float = 1.5, lost: float = 0.5, *, patience: int = 3, warmup: int = 20
    ) -> None:
        self.factor = check_number("factor", factor, 1.0)
        self.lost = check_number("lost", lost, 0.0)
        super().__init__(patience=patience, warmup=warmup)

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The loss, if it has climbed."""
        if record.layout.setup.optimizers > 1:  # losses that are opposed need not fall
            return
        loss = facts.loss
        error = 2.0 * loss.recent_error
        gained = loss.start - loss.best - error
        limit = loss.start + (self.factor - 1.0) * abs(loss.start)
        # Means that overlap with the best one say nothing yet.
        if gained > LEAST_GAIN * abs(loss.start) and loss.since_best >= loss.recent_window:
            limit = min(limit, loss.best + error + self.lost * gained)
        if not loss.recent - error > limit:
            return
        has_fallen = loss.best_step and loss.best < loss.start
        yield Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning",
            variable="loss",
            message=f"it has climbed to {loss.recent:.4g}; it began at {loss.start:.4g}"
            + (f" and was {loss.best:.4g} at update {loss.best_step}." if has_fallen else "."),
            value=loss.recent,
            threshold=limit,
            remedy="Lower the learning rate (halve it, or more), clip gradients (clipnorm=1.0), or "
            "warm the rate up.",
            evidence={"start": loss.start, "best": loss.best, "noise": loss.noise},
        )
