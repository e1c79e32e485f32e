"""Predicates on records: pure functions of arrays, shared by the detectors."""

from __future__ import annotations

import math

import numpy as np

from tbwatch.layout import Layout
from tbwatch.record import Record

# cos > 0.99 leaves less than 14 % of a vector outside of the direction in question.
ALIGNED = 0.99
# With fewer elements two vectors can be aligned by chance; with one they always are.
LEAST_ELEMENTS_FOR_COSINE = 16
# A gradient this small on average is what is left of zero after rounding.
NO_GRADIENT_RMS = 1e-12
# Relative changes below half a unit in the last place of float32 are rounded away.
FLOAT32_HALF_ULP = 6e-8
LOW_PRECISION = ("float16", "bfloat16")


def rms(norm: np.ndarray, layout: Layout) -> np.ndarray:
    """Root mean square from an L2 norm, `[V]`."""
    return norm.astype(np.float64) / np.sqrt(layout.sizes)


def has_no_gradient(record: Record) -> np.ndarray:
    """Gradient exactly zero in every element, `[V]` bool."""
    return record.quantity("gradient_norm") == 0


def only_decay_moves(record: Record) -> np.ndarray:
    """The variable moves, but straight toward zero and without a gradient, `[V]` bool."""
    gradient_rms = rms(record.quantity("gradient_norm"), record.layout)
    aligned = record.quantity("decay_cosine") > ALIGNED
    moves = record.quantity("update_norm") > 0
    return (gradient_rms <= NO_GRADIENT_RMS) & moves & aligned & _has_direction(record.layout)


def only_regularisation_pulls(record: Record) -> np.ndarray:
    """The gradient points along the weights, as that of an L2 penalty does, `[V]` bool.

    Only for variables that have a regularizer: the gradient of a layer whose input is constant can
    point along its weights too.
    """
    aligned = record.quantity("gradient_weight_cosine") > ALIGNED
    aligned &= np.array([v.regularized for v in record.layout.variables], bool)
    return aligned & (record.quantity("gradient_norm") > 0) & _has_direction(record.layout)


def loses_updates(record: Record) -> np.ndarray:
    """Most elements have a gradient, yet most do not change: rounding, `[V]` bool."""
    low = np.array([v.dtype in LOW_PRECISION for v in record.layout.variables], bool)
    tiny = record.quantity("update_ratio") < FLOAT32_HALF_ULP
    has_gradient = record.quantity("gradient_zero_fraction") < 0.5
    stands_still = record.quantity("update_zero_fraction") > 0.5
    return has_gradient & stands_still & (low | tiny)


def is_main(layout: Layout) -> np.ndarray:
    """Variables that carry their layer's function, `[V]` bool.

    Biases and the scale and shift of a normalisation follow their layer: before batch
    normalisation a bias has a gradient of rounding noise in a perfectly healthy net.
    """
    return np.array([not v.is_offset_or_scale for v in layout.variables], bool)


def weight_scale(layout: Layout) -> np.ndarray:
    """Rms at initialisation / rms of a He-initialised kernel, `[V]`, NaN where undefined."""
    return np.array(
        [
            math.nan if v.expected_rms is None or v.initial_rms is None
            else v.initial_rms / v.expected_rms
            for v in layout.variables
        ],
        np.float64,
    )  # fmt: skip


def layers(layout: Layout) -> np.ndarray:
    """Layer number of each variable, `[V]` int."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(v.layer, len(numbers)) for v in layout.variables], int)


def _has_direction(layout: Layout) -> np.ndarray:
    return layout.sizes >= LEAST_ELEMENTS_FOR_COSINE


class LearningRateWatch:
    """Tells when the learning rate is too low for a verdict about small updates.

    A rate of zero moves nothing; a schedule that ends, or that is still warming up, is no fault.
    """

    def __init__(self, least_share_of_peak: float = 0.01) -> None:
        self.least_share_of_peak = least_share_of_peak
        self.reset()

    def reset(self) -> None:
        """Forget all rates."""
        self._peak = 0.0
        self._last = math.inf

    def update(self, rate: float) -> bool:
        """Whether the rate of this record allows a verdict; an unknown rate (NaN) does."""
        if math.isnan(rate):
            return True
        rising = rate > self._last
        self._last = rate
        self._peak = max(self._peak, abs(rate))
        return not rising and abs(rate) > self.least_share_of_peak * self._peak


class LossWatch:
    """Follows the loss: has it fallen at all, has it fallen so far that nothing is left to learn?

    The start is the mean of the first `window` losses, now is an average of the last ones.
    """

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self.reset()

    def reset(self) -> None:
        """Forget all losses."""
        self._first: list[float] = []
        self._now = math.nan

    def update(self, record: Record) -> None:
        """Take the loss of the next record, if it is known and finite."""
        if not record.loss_is_known or not math.isfinite(record.loss):
            return
        if len(self._first) < self.window:
            self._first.append(record.loss)
        weight = 2.0 / (self.window + 1)
        known = math.isfinite(self._now)
        self._now = (1 - weight) * self._now + weight * record.loss if known else record.loss

    @property
    def start(self) -> float:
        """Mean of the first losses; NaN before the first."""
        return sum(self._first) / len(self._first) if self._first else math.nan

    @property
    def now(self) -> float:
        """Moving average of the losses; NaN before the first."""
        return self._now

    @property
    def improves(self) -> bool:
        """Whether the loss has fallen by at least 1 % of its start."""
        return self.start - self.now >= 0.01 * abs(self.start)

    @property
    def has_converged(self) -> bool:
        """Whether less than 5 % of the starting loss is left."""
        return abs(self.now) <= 0.05 * abs(self.start) and self.start != 0
