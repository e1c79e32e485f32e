"""The gradient dies out on its way from the loss to the input."""

from __future__ import annotations

import numpy as np

from tbwatch.detectors import predicates
from tbwatch.detectors.facts import Facts
from tbwatch.detectors.rule import VariableRule, check_number
from tbwatch.record import Record

# Adam and its kin rescale a small gradient, down to some multiples of their epsilon.
EPSILONS = 10.0
# While the loss has stood still for so many updates, a layer may move more and be held.
STALLED_UPDATES = 50
STALLED_FACTOR = 10.0
# A layer that the loss has done without is not what ails the run, unless it stands still.
FALLEN_ENOUGH = 0.5
STILL = 1e-7


class VanishingGradient(VariableRule):
    """Fires where gradients are tiny beside those of layers nearer to the loss.

    Layers are compared by ‖g‖ / ‖W‖. A variable is held if it is below `ratio` times the largest
    one behind it, and besides hardly moves, or the loss has stood still for 50 updates. Optimizers
    that rescale the gradient (Adam) are asked only where rms(g) is below 10 times their epsilon:
    above, a small gradient alone is no fault. Once the loss has fallen by half, only a layer that
    stands still (an update ratio below 1e-7) is named.

    Args:
        ratio: beside the largest layer behind it. 1e-3 as in AUTOTRAINER.
        moves: update ratio from which on a layer does move. 1e-5: SGD at a rate of 1e-4 learns
            with 2e-5.
        patience: as in `VariableRule`.
        warmup: as in `VariableRule`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> VanishingGradient(ratio=1e-4)
        VanishingGradient(ratio=0.0001, moves=1e-05, patience=3, warmup=20)
    """

    name = "vanishing_gradient"
    needs = ("gradient_norm",)
    value = "relative_gradient"
    message = (
        "relative to its weights, its gradient is {relative_gradient:.0e} of that of the layers "
        "behind it (rms {gradient_rms:.1e}): it dies out on the way from the loss."
    )
    remedy = (
        "Use ReLU-like activations with He initialisation, batch normalisation or residual "
        "connections behind {layer}, or fewer layers."
    )
    soft = True
    _parameters = ("ratio", "moves", "patience", "warmup")

    def __init__(
        self, ratio: float = 1e-3, moves: float = 1e-5, *, patience: int = 3, warmup: int = 20
    ) -> None:
        super().__init__(patience=patience, warmup=warmup)
        self.ratio = check_number("ratio", ratio, 0.0, 1.0)
        self.moves = check_number("moves", moves, 0.0, 1.0)

    def holds(self, record: Record, facts: Facts) -> np.ndarray:
        """Variables far below those behind them."""
        small = predicates.gradient_beside_later(record) < self.ratio
        small &= (record.quantity("gradient_norm") > 0) & self._counts_for_optimizer(record)
        if facts.loss.has_risen:  # weights thrown up by large steps dwarf their gradients
            return small & False
        if facts.loss.has_fallen_by(FALLEN_ENOUGH):
            return small & predicates.moves_less(STILL, record, facts)
        stalled = facts.stalled_for(record) >= STALLED_UPDATES
        limit = STALLED_FACTOR * self.moves if stalled else self.moves
        rescaled = stalled and record.layout.setup.epsilon is not None
        return small & (predicates.moves_less(limit, record, facts) | rescaled)

    def _counts_for_optimizer(self, record: Record) -> np.ndarray:
        epsilon = record.layout.setup.epsilon
        if epsilon is None:
            return np.ones(len(record.layout), bool)
        return predicates.rms(record.quantity("gradient_norm"), record.layout) < EPSILONS * epsilon
