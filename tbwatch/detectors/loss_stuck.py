"""A loss that does not fall."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tbwatch.alerts import Finding
from tbwatch.detectors.facts import LEARNS, STALLED, Facts, LossTrend
from tbwatch.detectors.rule import check_int
from tbwatch.detectors.run_rule import RunRule
from tbwatch.layout import Layout
from tbwatch.record import Record

# At the end of a fit less is enough: what has not learned by then has failed.
LEAST_UPDATES_OF_A_FIT = 50
LEAST_NOTICED = 0.05
# Far below the usual 1e-3, and the loss stands still: the rate is the first suspect.
SLOW_UPDATE_RATIO = 1e-4

# The other thing that it may say.
TOO_LOW = "learning_rate_too_low"


class LossStuck(RunRule):
    """Fires when the loss is where it began, after a long time or at the end of the fit.

    Noise counts in favour of the run: the fall that the losses allow for, two standard errors
    included, must be below 1 % of the start. A run of which update 1 was not sampled (resumed, a
    second fit, a sparse schedule) is judged only where its loss is that of guessing: it may have
    converged before.

    If the median update ratio is below 1e-4, the diagnosis is `learning_rate_too_low`.

    Args:
        updates: updates without a fall, at least ...
        epochs: ... and epochs. 1000 and 3: plateaus of several hundred updates are seen in runs
            that learn. At the end of a fit 50 updates are enough.
        patience: as in `RunRule`.
        warmup: as in `RunRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> LossStuck(updates=5000)
        LossStuck(updates=5000, epochs=3, patience=3, warmup=20)
    """

    name = "loss_stuck"
    needs = ("loss",)
    records_to_clear = LossTrend.recent_window
    _parameters = ("updates", "epochs", "patience", "warmup")

    def __init__(
        self, updates: int = 1000, epochs: int = 3, *, patience: int = 3, warmup: int = 20
    ) -> None:
        self.updates = check_int("updates", updates, 1)
        self.epochs = check_int("epochs", epochs, 0)
        super().__init__(patience=patience, warmup=warmup)

    def reset(self) -> None:
        """Forget everything seen."""
        super().reset()
        self._median_ratio = math.nan
        self._said = ""

    def found(self, record: Record, facts: Facts) -> Iterator[Finding]:
        """The loss, if it stands still."""
        if record.layout.setup.optimizers > 1:  # losses that are opposed need not fall
            return
        ratios = record.quantity("update_ratio")[record.layout.is_main]
        if np.isfinite(ratios).any() and facts.rate_is_alive:
            self._median_ratio = float(np.nanmedian(ratios))
        # What a schedule has switched off is no time in which to learn.
        long = facts.alive_updates >= self.updates and facts.epochs >= self.epochs
        ended = record.is_last and facts.alive_updates >= LEAST_UPDATES_OF_A_FIT
        loss, chance = facts.loss, record.layout.setup.chance_loss
        # After the last update nobody has to wait for a clearer fall than one of 1 %.
        flat = loss.fallen_by < STALLED and loss.most_likely_fallen_by < LEAST_NOTICED
        is_worse = facts.stays_worse_than_guessing(record)
        stands = (facts.stands_still or (ended and flat) or is_worse) and not (
            facts.first_step > 1 and not facts.at_chance
        )
        if not (long or ended) or not stands:
            self._said = ""
            return
        if not self._said:  # near the limit the diagnosis must not flicker
            # What a rate that is too high has thrown up may stand still, but not for a low rate;
            # nor is it low if the loss has fallen, perhaps for its penalties alone.
            moved = is_worse or loss.has_fallen_by(LEARNS)
            slow = self._median_ratio < SLOW_UPDATE_RATIO and not moved
            self._said = TOO_LOW if slow else self.name
        too_slow = self._said != self.name
        message = f"it was {loss.start:.4g} and is {loss.recent:.4g} after {facts.updates} updates"
        if facts.at_chance:
            message += f", which is what guessing gives ({chance:.4g})"
        elif is_worse:
            message += f", which is worse than guessing ({chance:.4g})"
        if too_slow:
            message += (
                f"; one update changes a typical kernel by {self._median_ratio:.0e} of its size "
                f"(a usual value is 1e-3) at a learning rate of {facts.peak_rate:.1e}"
            )
        yield Finding(
            rule=self.name,
            diagnosis=self._said,
            severity="warning",
            variable="loss",
            message=message + ".",
            value=loss.recent,
            threshold=loss.start * (1 - STALLED),
            remedy="Raise the learning rate, about tenfold at a time."
            if too_slow
            else _without_functions(record.layout)
            + "Check that the labels belong to the inputs, the loss to the output activation "
            "and the inputs to a scale near 1; then try learning rates ten times higher and lower.",
            evidence={
                "start": loss.start,
                "noise": loss.noise,
                "median_update_ratio": self._median_ratio,
                "chance_loss": math.nan if chance is None else chance,
            },
        )


def _without_functions(layout: Layout) -> str:
    """What to say first if all layers but the last are linear; "" if they are not, as far known."""
    hidden = [a.function for a in layout.activations if not a.is_output and not a.before]
    if not hidden or set(hidden) != {"linear"}:
        return ""
    return "No layer before the output has an activation function: give them one, such as relu. "
