"""Which units of a layer have been silent or saturated for long: host side, NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

# So many sampled batches in a row, and so many examples in them, before a unit is called dead or
# saturated: one batch may just hold no example that excites it.
LEAST_BATCHES = 10
LEAST_EXAMPLES = 1024
# A unit is saturated in a batch if more than this share of its elements is.
SATURATED_SHARE = 0.95


@dataclasses.dataclass
class _Streak:
    """For how many sampled batches and examples in a row something has held, `[units]` each."""

    batches: np.ndarray
    examples: np.ndarray

    @classmethod
    def none(cls, units: int) -> _Streak:
        return cls(np.zeros(units, np.int64), np.zeros(units, np.int64))

    def update(self, holds: np.ndarray, examples: int) -> np.ndarray:
        """Take in one batch; which units it has held for long enough, bool `[units]`."""
        self.batches = np.where(holds, self.batches + 1, 0)
        self.examples = np.where(holds, self.examples + examples, 0)
        return (self.batches >= LEAST_BATCHES) & (self.examples >= LEAST_EXAMPLES)


class UnitStreaks:
    """The units of one activation over the sampled batches of a run.

    Example:
        >>> streaks = UnitStreaks(2)
        >>> for _ in range(10):
        ...     last = streaks.update(np.array([0.0, 3.0]), np.array([np.nan, np.nan]), 128)
        >>> last
        (0.5, nan)
    """

    def __init__(self, units: int) -> None:
        self._units = units
        self._batches = self._examples = 0
        self._silent, self._saturated = _Streak.none(units), _Streak.none(units)

    @property
    def units(self) -> int:
        """Number of units."""
        return self._units

    def update(
        self, largest: np.ndarray, saturated: np.ndarray, examples: int
    ) -> tuple[float, float]:
        """Take in one sampled batch.

        Args:
            largest: `[units]` largest magnitude in the batch; NaN (not finite) is not silent.
            saturated: `[units]` share of saturated elements; NaN where that cannot be.
            examples: examples looked at.

        Returns:
            The share of dead and of saturated units; NaN while too little has been seen, and for
            a function that does not saturate.
        """
        self._batches += 1
        self._examples += examples
        dead = self._silent.update(largest == 0.0, examples)
        stuck = self._saturated.update(saturated > SATURATED_SHARE, examples)
        if self._batches < LEAST_BATCHES or self._examples < LEAST_EXAMPLES:
            return np.nan, np.nan
        return float(dead.mean()), np.nan if np.isnan(saturated).all() else float(stuck.mean())
