"""Statistics of one update as pure tensor functions: they run inside the training step.

All output shapes are static, so that everything compiles under XLA. Every function works on the
values of one or more variables at once, in a form that a `Reduction` knows how to sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS
from tbwatch.reductions import Reduction

# Between these bounds a float32 sum of squares neither overflows nor loses its small terms to
# underflow: 1e-24 is 14 orders above the smallest normal number, so 1e8 lost terms do not show.
_LOW, _HIGH = 1e-12, 1e18


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
