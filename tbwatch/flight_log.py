"""What the flight recorder kept, on the host: plain numbers, no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

NO_GRADIENT = -1.0
_MOST_UPDATES = 2.0**53  # beyond that a number of updates is damage, not a count


@dataclasses.dataclass(frozen=True)
class FlightLog:
    """Norms of consecutive updates, as the flight recorder of `Watch` keeps them.

    Attributes:
        names: the variables, `V` of them.
        steps: int64 `[N]`, ascending: numbers of the updates.
        loss: float32 `[N]`; NaN where the step does not show it.
        gradient_norm: float32 `[N, V]`; -1 where a variable has no gradient (None).
        weight_norm: float32 `[N, V]`, before the update.

    Example:
        >>> norms = np.ones((2, 1), np.float32)
        >>> steps = np.array([7, 8])
        >>> log = FlightLog(("a/kernel",), steps, np.array([0.5, 0.25]), 2 * norms, norms)
        >>> log.rows(last=1)[1]
        ('8', '0.25', '2', 'a/kernel', '2')
    """

    names: tuple[str, ...]
    steps: np.ndarray
    loss: np.ndarray
    gradient_norm: np.ndarray
    weight_norm: np.ndarray

    def to_table(self, step: int) -> np.ndarray:
        """Float32 `[N, 2 + 2 * V]`; the first column counts from `step`, so that it stays exact."""
        columns = [(self.steps - step)[:, None], self.loss[:, None]]
        return np.hstack([*columns, self.gradient_norm, self.weight_norm]).astype(np.float32)

    @classmethod
    def from_table(cls, table: np.ndarray, step: int, names: Sequence[str]) -> FlightLog:
        """Reverses `to_table`.

        Raises:
            ValueError: if the table has another shape or holds no numbers of updates.
        """
        if table.ndim != 2 or not names or table.shape[1] != 2 + 2 * len(names):
            raise ValueError("flight recorder left out: it does not fit its variables")
        if not (np.abs(table[:, 0]) < _MOST_UPDATES).all():
            raise ValueError("flight recorder left out: its updates have no numbers")
        gradient, weight = np.split(table[:, 2:], 2, axis=1)
        steps = table[:, 0].astype(np.int64) + step
        return cls(tuple(names), steps, table[:, 1], gradient, weight)

    def rows(self, last: int | None = None) -> list[tuple[str, ...]]:
        """A header and one row per update: number, loss, global gradient norm, largest gradient.

        Args:
            last: only so many updates; None for all.
        """
        rows: list[tuple[str, ...]] = [("update", "loss", "gradient norm", "largest in", "norm")]
        first = 0 if last is None else max(len(self.steps) - last, 0)
        for number in range(first, len(self.steps)):
            norms = self.gradient_norm[number].astype(np.float64)
            lost = np.flatnonzero(~np.isfinite(norms))
            at = int(lost[0]) if lost.size else int(np.argmax(norms))
            total = np.sqrt(np.sum(np.square(np.maximum(norms, 0.0))))
            name = self.names[at] if self.names else ""
            numbers = f"{self.loss[number]:.4g}", f"{total:.3g}"
            rows.append((str(self.steps[number]), *numbers, name, f"{norms[at]:.3g}"))
        return rows
