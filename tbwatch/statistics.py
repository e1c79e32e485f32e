"""Statistics of one update as pure tensor functions: they run inside the training step.

All output shapes are static, so that everything compiles under XLA. Every function works on the
values of one or more variables at once, in one of two forms that a `Reduction` knows how to sum:
a single variable as a flat vector, or many small ones packed into the rows of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tbwatch.histogram import BUCKETS
from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS

# Between these bounds a float32 sum of squares neither overflows nor loses its small terms to
# underflow: 1e-24 is 14 orders above the smallest normal number, so 1e8 lost terms do not show.
_LOW, _HIGH = 1e-12, 1e18

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


def before_update(
    by: Reduction,
    weight: tf.Tensor,
    previous: tf.Tensor | None,
    gradient: tf.Tensor | None,
) -> tf.Tensor:
    """Statistics known before the update.

    Args:
        by: how to sum.
        weight: W before the update.
        previous: W at the sample before, or None where no copy is kept.
        gradient: the gradient, or None.

    Returns:
        float32 `[n, len(BEFORE_COLUMNS)]`, in their order, NaN where an input is None.
    """

    def measure(careful: bool) -> dict[str, tf.Tensor]:
        def sums(*tensors: tf.Tensor | None) -> tf.Tensor:
            w, old, g = (_float64(x) if careful else x for x in tensors)
            zeros = tf.zeros([by.members], tf.float64)
            found = [by.sum_of_squares(w), _nonfinite(by, w, careful)]
            found += [zeros if old is None else by.sum_of_squares(w - old)]
            if g is None:
                return tf.stack([*found, *[zeros] * 4], axis=1)
            bad = _nonfinite(by, g, careful)
            of_gradient = [by.sum_of_squares(g), by.dot(g, w), _nonzeros(by, g), bad]
            return tf.stack([*found, *of_gradient], axis=1)

        w2, weight_bad, window2, g2, dot, nonzeros, bad = tf.unstack(
            by.summed(sums, weight, previous, gradient), axis=1
        )
        unknown = tf.fill([by.members], np.float64("nan"))
        weight_norm, gradient_norm = tf.sqrt(w2), tf.sqrt(g2)
        of_weight = {
            "weight_norm": weight_norm,
            "window_norm": unknown if previous is None else tf.sqrt(window2),
            "weight_nonfinite": weight_bad,
        }
        of_gradient = {
            "gradient_norm": gradient_norm,
            "gradient_weight_cosine": dot / (gradient_norm * weight_norm),
            "gradient_nonzeros": nonzeros,
            "gradient_nonfinite": bad,
        }
        if gradient is None:
            of_gradient = dict.fromkeys(of_gradient, unknown)
        return of_weight | of_gradient

    fast = measure(careful=False)
    safe = _is_safe(fast["weight_norm"])
    if previous is not None:
        safe &= _is_safe(fast["window_norm"])
    if gradient is not None:
        safe &= _is_safe(fast["gradient_norm"], nonzeros=fast["gradient_nonzeros"])
    return _columns(BEFORE_COLUMNS, safe, fast, lambda: measure(careful=True))


def after_update(
    by: Reduction, before: tf.Tensor, after: tf.Tensor, weight_norm: tf.Tensor
) -> tf.Tensor:
    """Statistics of the change.

    Args:
        by: how to sum.
        before: W before the update.
        after: W after it.
        weight_norm: norm of W before the update, `[n]`.

    Returns:
        float32 `[n, len(AFTER_COLUMNS)]`, in their order.
    """

    def measure(careful: bool) -> dict[str, tf.Tensor]:
        def sums(*tensors: tf.Tensor) -> tf.Tensor:
            old, new = (_float64(x) if careful else x for x in tensors)
            change = new - old
            nonzeros, bad = _nonzeros(by, change), _nonfinite(by, change, careful)
            return tf.stack([by.sum_of_squares(change), by.dot(change, old), nonzeros, bad], axis=1)

        squares, dot, nonzeros, bad = tf.unstack(by.summed(sums, before, after), axis=1)
        norm = tf.sqrt(squares)
        return {
            "update_norm": norm,
            "decay_cosine": -dot / (norm * tf.cast(weight_norm, tf.float64)),
            "update_nonzeros": nonzeros,
            "update_nonfinite": bad,
        }

    fast = measure(careful=False)
    safe = _is_safe(fast["update_norm"], nonzeros=fast["update_nonzeros"])
    return _columns(AFTER_COLUMNS, safe, fast, lambda: measure(careful=True))


def norms(by: Reduction, x: tf.Tensor) -> tf.Tensor:
    """L2 norms, float32 `[n]`."""
    fast = tf.sqrt(by.sum_of_squares(x))

    def careful() -> dict[str, tf.Tensor]:
        return {"norm": tf.sqrt(by.summed(lambda block: by.sum_of_squares(_float64(block)), x))}

    return _columns(["norm"], _is_safe(fast), {"norm": fast}, careful)[:, 0]


def bucket_counts(by: Reduction, x: tf.Tensor) -> tf.Tensor:
    """Elements by sign, exponent and three mantissa bits: float32 `[n, 4096]`."""
    return by.summed(by.bucket_counts, x)


def bucket_counts_of_change(by: Reduction, before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """The same of after - before."""
    return by.summed(lambda old, new: by.bucket_counts(new - old), before, after)


def global_norm(of: Sequence[tf.Tensor]) -> tf.Tensor:
    """L2 norm over all tensors whose own norms are given, as vectors.

    Returns:
        float32 scalar; NaN if there is none.
    """
    if not of:
        return tf.constant(float("nan"), tf.float32)
    every = tf.cast(tf.concat(of, axis=0), tf.float64)
    return tf.cast(tf.sqrt(tf.reduce_sum(tf.square(every))), tf.float32)


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


def compute_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype to do statistics in: float64 for float64, else float32 (half is cast up)."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def flat(tensor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Cast up and flatten."""
    return tf.reshape(tf.cast(tensor, dtype), [-1])


def _is_safe(norm: tf.Tensor, nonzeros: tf.Tensor | None = None) -> tf.Tensor:
    """Whether these norms from float32 sums can be trusted, and no element is NaN or infinite.

    A norm of 0 is believed where no element differs from 0; and where the non-zeros are not
    counted, since weights of less than 1e-22 are as good as none.
    """
    trusted = (norm >= _LOW) & (norm <= _HIGH)
    return tf.reduce_all(trusted | tf.equal(norm if nonzeros is None else nonzeros, 0.0))


def _columns(
    names: Sequence[str],
    safe: tf.Tensor,
    fast: Mapping[str, tf.Tensor],
    careful: Callable[[], Mapping[str, tf.Tensor]],
) -> tf.Tensor:
    """The fast results if they are safe, else the careful ones: float32 `[n, len(names)]`."""

    def stacked(columns: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.stack([columns[name] for name in names], axis=1)

    return tf.cast(tf.cond(safe, lambda: stacked(fast), lambda: stacked(careful())), tf.float32)


def _nonzeros(by: Reduction, x: tf.Tensor) -> tf.Tensor:
    return by.count(tf.not_equal(x, tf.zeros([], x.dtype)))


def _nonfinite(by: Reduction, x: tf.Tensor, careful: bool) -> tf.Tensor:
    # Where sums are safe, every element is finite: nothing to count.
    return by.count(~tf.math.is_finite(x)) if careful else tf.zeros([by.members], tf.float64)


def _float64(x: Any) -> Any:
    return None if x is None else tf.cast(x, tf.float64)


def _buckets(x: tf.Tensor) -> tf.Tensor:
    bits = tf.bitcast(tf.cast(x, tf.float32), tf.uint32)
    return tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(20, tf.uint32)), tf.int32)


def _bincount(x: tf.Tensor, size: int) -> tf.Tensor:
    counts = tf.raw_ops.DenseBincount(
        input=x, size=tf.constant(size), weights=tf.zeros([0], tf.int32)
    )
    # Counts above 2**24 are rounded to float32's seven digits.
    return tf.cast(counts, tf.float32)
