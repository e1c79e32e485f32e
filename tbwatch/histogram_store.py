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
        # One for each kind: under XLA a branch of the step copies whatever it may write.
        self._counts = {kind: state([slots, variables, BUCKETS]) for kind in kinds}

    def store(self, slot: tf.Tensor, kind: str, counts: tf.Tensor) -> None:
        """Store float32 `[variables, 4096]` of one kind, in the step."""
        rows = tf.range(self._rows, dtype=tf.int64)
        where = tf.stack([tf.fill([self._rows], slot), rows], axis=1)
        self._counts[kind].scatter_nd_update(where, counts)

    def read(self) -> dict[str, np.ndarray]:
        """Bucket counts `[slots, variables, 4096]` by kind, copied from the device."""
        return {kind: counts.numpy() for kind, counts in self._counts.items()}
