"""The device side of histograms: the bucket counts of watched variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tbwatch.groups import state
from tbwatch.histogram import BUCKETS


class HistogramStore:
    """Bucket counts of all variables, of some kinds, at some updates.

    Args:
        kinds: out of `sample.HISTOGRAM_KINDS`; at least one.
        variables: how many there are.
        slots: updates that there is room for.
    """

    def __init__(self, kinds: Sequence[str], variables: int, slots: int) -> None:
        self.kinds = list(kinds)
        self._rows = variables
        self._counts = state([slots, len(kinds) * variables, BUCKETS])

    def store(self, slot: tf.Tensor, kind: str, counts: tf.Tensor) -> None:
        """Store float32 `[variables, 4096]` of one kind, in the step."""
        rows = tf.range(self._rows, dtype=tf.int64) + self.kinds.index(kind) * self._rows
        where = tf.stack([tf.fill([self._rows], slot), rows], axis=1)
        self._counts.scatter_nd_update(where, counts)

    def read(self) -> dict[str, np.ndarray]:
        """Bucket counts `[slots, variables, 4096]` by kind (one copy from the device)."""
        counts = self._counts.numpy().reshape(-1, len(self.kinds), self._rows, BUCKETS)
        return {kind: counts[:, number] for number, kind in enumerate(self.kinds)}
