"""Weight decay moves a variable, and nothing else does."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.diagnosis import Streak
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.detectors.zero_gradient import covers_the_data
from tbwatch.record import Record

# A gradient this small on average is what is left of zero after rounding.
NO_GRADIENT_RMS = 1e-12


class DecayOnly(VariableRule):
    """Fires when a variable moves straight toward zero without a gradient.

    AdamW with its default decay moves a layer that gets nothing from the loss by 4e-6 of its size
    per update: the update ratio alone calls it alive.

    Args:
        cosine: least cosine of dW and -W. 0.99 leaves less than 14 % of dW in other directions.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> DecayOnly(cosine=0.999)
        DecayOnly(cosine=0.999, patience=3, warmup=20)
    """

    name = "decay_only"
    needs = ("decay_cosine",)
    severity = "critical"
    value = "decay_cosine"
    message = (
        "only weight decay moves it (update ratio {update_ratio:.1e}, cosine of dW and -W "
        "{decay_cosine:.3f}); its gradient is zero."
    )
    remedy = (
        "No signal from the loss reaches {layer}: look for dead ReLUs after it, stop_gradient, "
        "masks or a constant loss."
    )
    exact = True
    _parameters = ("cosine", "patience", "warmup")

    def __init__(self, cosine: float = 0.99, *, patience: int = 3, warmup: int = 20) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.cosine = check_number("cosine", cosine, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables that have no gradient, move, and only shrink."""
        gradient_rms = predicates.rms(record.quantity("gradient_norm"), record.layout)
        shrinks = record.quantity("decay_cosine") > self.cosine
        moves = record.quantity("update_norm") > 0
        no_gradient = gradient_rms <= NO_GRADIENT_RMS
        return no_gradient & moves & shrinks & predicates.has_direction(record.layout)

    def lasts(self, streak: Streak, record: Record, facts: Facts) -> np.ndarray:
        """A branch that few batches use is asked for as long as by `ZeroGradient`."""
        lasts = streak.hits >= self.patience
        if predicates.others_learn(record):
            lasts &= ~streak.revived & covers_the_data(streak, record)
        return lasts
