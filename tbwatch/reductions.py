"""Sums over the elements of one or more variables: the forms in which their values are held.

A single variable is a flat vector, a large one is looked at block by block, and many small ones are
packed into the rows of a matrix. All output shapes are static.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tbwatch.histogram import BUCKETS

# A variable of more elements is measured in blocks of so many, and a tensor on the way takes 4 MiB
# at most. Smaller ones are faster all at once.
LARGE, BLOCK = 2**22, 2**20

_WORDS = 255
_WORDS_ELEMENTS = 8 * _WORDS


class Reduction(Protocol):
    """Sums over the elements of each of `n` variables; results are float64 `[n]`.

    Attributes:
        members: n.
    """

    members: int

    def sum_of_squares(self, x: tf.Tensor) -> tf.Tensor:
        """Sum of x * x."""

    def dot(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Sum of x * y."""

    def count(self, mask: tf.Tensor) -> tf.Tensor:
        """Number of true elements."""

    def bucket_counts(self, x: tf.Tensor) -> tf.Tensor:
        """Elements by sign, exponent and three mantissa bits: float32 `[n, 4096]`."""

    def summed(self, function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
        """The sums that a function gives for these tensors, perhaps part by part."""


class Flat:
    """One variable as a vector of any length."""

    members = 1

    def summed(self, function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
        """What the function gives for these tensors."""
        return function(*tensors)

    def sum_of_squares(self, x: tf.Tensor) -> tf.Tensor:
        """Sum of x * x."""
        # l2_loss is the one fused reduction that needs no temporary and that XLA knows too.
        return tf.cast(2.0 * tf.nn.l2_loss(x), tf.float64)[tf.newaxis]

    def dot(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Sum of x * y."""
        # Not tensordot: for 4e7 elements it is four times slower and wrong by 0.8 %.
        return tf.cast(tf.reduce_sum(x * y), tf.float64)[tf.newaxis]

    def count(self, mask: tf.Tensor) -> tf.Tensor:
        """Number of true elements."""
        return tf.cast(count_true(mask), tf.float64)[tf.newaxis]

    def bucket_counts(self, x: tf.Tensor) -> tf.Tensor:
        """Elements by sign, exponent and three mantissa bits: float32 `[1, 4096]`."""
        return _bincount(_buckets(x), BUCKETS)[tf.newaxis]


class Blocks(Flat):
    """One variable as a vector of at least `BLOCK` elements, looked at block by block."""

    def summed(self, function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
        """The sum of what the function gives for blocks of these tensors."""
        size = next(tf.size(tensor) for tensor in tensors if tensor is not None)
        blocks = size // BLOCK

        def add(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            # Of one size, since XLA knows no others.
            block = [None if t is None else tf.slice(t, [number * BLOCK], [BLOCK]) for t in tensors]
            return number + 1, total + function(*block)

        rest = function(*(None if t is None else t[blocks * BLOCK :] for t in tensors))
        # One block at a time, or the memory would be that of several.
        return tf.while_loop(
            lambda number, _: number < blocks, add, [0, rest], parallel_iterations=1
        )[1]


class Rows:
    """Many small variables: each fills rows of a matrix `[R, WIDTH]`, padded with zeros.

    One operation then serves all of them, where a graph of some operations for each of hundreds of
    variables takes longer to trace than the training step itself.

    Args:
        sizes: element counts of the variables.
    """

    WIDTH = 256

    def __init__(self, sizes: Sequence[int]) -> None:
        rows = [-(-size // self.WIDTH) for size in sizes]
        self._pads = [n * self.WIDTH - size for n, size in zip(rows, sizes, strict=True)]
        self._owners = np.repeat(np.arange(len(sizes), dtype=np.int32), rows)
        self.members = len(sizes)
        self.shape = (sum(rows), self.WIDTH)

    def pack(self, flat: Sequence[tf.Tensor]) -> tf.Tensor:
        """Flat vectors of these sizes -> matrix `[R, WIDTH]`."""
        pieces = []
        for vector, pad in zip(flat, self._pads, strict=True):
            pieces.append(vector)
            if pad:
                pieces.append(np.zeros(pad, vector.dtype.as_numpy_dtype))
        return tf.reshape(tf.concat(pieces, axis=0), self.shape)

    def sum_of_squares(self, x: tf.Tensor) -> tf.Tensor:
        """Sum of x * x."""
        return self._sum(tf.square(x))

    def dot(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Sum of x * y."""
        return self._sum(x * y)

    def count(self, mask: tf.Tensor) -> tf.Tensor:
        """Number of true elements; padding is false in every mask used here."""
        return self._sum(tf.cast(mask, tf.float32))

    def bucket_counts(self, x: tf.Tensor) -> tf.Tensor:
        """Elements by sign, exponent and three mantissa bits: float32 `[n, 4096]`."""
        buckets = _buckets(x) + self._owners[:, np.newaxis] * BUCKETS
        counts = _bincount(tf.reshape(buckets, [-1]), self.members * BUCKETS)
        padding = np.zeros([self.members, BUCKETS], np.float32)
        padding[:, 0] = self._pads
        return tf.reshape(counts, [self.members, BUCKETS]) - padding

    def summed(self, function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
        """What the function gives for these tensors: a pack is small."""
        return function(*tensors)

    def _sum(self, x: tf.Tensor) -> tf.Tensor:
        # Short rows in the dtype at hand, their sums in float64: exact enough for any size.
        rows = tf.cast(tf.reduce_sum(x, axis=1), tf.float64)
        return tf.math.unsorted_segment_sum(rows, self._owners, self.members)


def is_large(size: int) -> bool:
    """Whether a variable of so many elements is measured in blocks."""
    return size > LARGE


def count_true(mask: tf.Tensor) -> tf.Tensor:
    """Number of true elements of a vector, int32.

    Eight elements are added at a time, as the bytes of an int64, where a sum of int32 would first
    need a copy with four bytes for each.
    """
    head = tf.size(mask) // _WORDS_ELEMENTS * _WORDS_ELEMENTS
    words = tf.bitcast(tf.reshape(tf.cast(mask[:head], tf.uint8), [-1, _WORDS, 8]), tf.int64)
    sums = tf.bitcast(tf.reduce_sum(words, axis=1), tf.uint8)  # of 255 words: no byte overflows
    rest = tf.reduce_sum(tf.cast(mask[head:], tf.int32))
    return tf.reduce_sum(tf.cast(sums, tf.int32)) + rest


def _buckets(x: tf.Tensor) -> tf.Tensor:
    bits = tf.bitcast(tf.cast(x, tf.float32), tf.uint32)
    return tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(20, tf.uint32)), tf.int32)


def _bincount(x: tf.Tensor, size: int) -> tf.Tensor:
    counts = tf.raw_ops.DenseBincount(
        input=x, size=tf.constant(size), weights=tf.zeros([0], tf.int32)
    )
    # Counts above 2**24 are rounded to float32's seven digits.
    return tf.cast(counts, tf.float32)
