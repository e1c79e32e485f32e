"""Statistics of one update as pure tensor functions: they run inside the training step.

All functions take flat tensors of the same float dtype (float32, or float64 for float64 variables)
and have static output shapes, so that they compile under XLA. They are `tf.function`s of unknown
length: traced once, then called once per variable, which keeps the graph of a model with many
small variables cheap to build.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from tbwatch.histogram import BUCKETS

# Between these bounds a float32 sum of squares neither overflows nor loses its small terms to
# underflow: 1e-24 is 14 orders above the smallest normal number, so 1e8 lost terms do not show.
_SAFE_NORM = (1e-12, 1e18)


def compute_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype to do statistics in: float64 for float64, else float32 (half is cast up)."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def flat(tensor: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Cast up and flatten."""
    return tf.reshape(tf.cast(tensor, dtype), [-1])


def before_rows(
    weights: Sequence[tf.Tensor],
    previous: Sequence[tf.Tensor | None],
    gradients: Sequence[tf.Tensor | None],
) -> list[tf.Tensor]:
    """Statistics known before the update, per variable.

    Args:
        weights: flat W before the update.
        previous: flat W at the sample before, or None where no snapshot is kept.
        gradients: flat gradients, or None.

    Returns:
        float32 vectors in the order of `quantities.BEFORE_COLUMNS`, NaN where an input is None.
    """
    windows = [
        None if old is None else weight - old for weight, old in zip(weights, previous, strict=True)
    ]
    norms = _norms([*weights, *windows, *gradients])
    count = len(weights)
    rows = []
    for row, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        weight_norm, weight_bad = norms[row]
        window_norm, _ = norms[count + row]
        gradient_norm, gradient_bad = norms[2 * count + row]
        if gradient is None:
            cosine, nonzeros = _nan(), _nan()
        else:
            cosine = _for(_cosine, gradient)(gradient, weight, gradient_norm, weight_norm)
            nonzeros = _for(_nonzeros, gradient)(gradient)
        rows.append(
            tf.stack(
                [
                    weight_norm,
                    window_norm,
                    gradient_norm,
                    cosine,
                    nonzeros,
                    weight_bad,
                    gradient_bad,
                ]
            )
        )
    return rows


def after_rows(
    before: Sequence[tf.Tensor], after: Sequence[tf.Tensor], before_norms: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Statistics of the change, per variable.

    Args:
        before: flat W before the update.
        after: flat W after it.
        before_norms: `weight_norm` of each, from `before_rows`.

    Returns:
        float32 vectors in the order of `quantities.AFTER_COLUMNS`.
    """
    changes = [new - old for old, new in zip(before, after, strict=True)]
    rows = []
    for old, old_norm, change, (norm, bad) in zip(
        before, before_norms, changes, _norms(changes), strict=True
    ):
        cosine = -_for(_cosine, change)(change, old, norm, old_norm)
        rows.append(tf.stack([norm, cosine, _for(_nonzeros, change)(change), bad]))
    return rows


def global_norm(norms: Sequence[tf.Tensor]) -> tf.Tensor:
    """L2 norm over tensors whose own norms are given; survives norms up to 1e38."""
    if not norms:
        return _nan()
    stacked = tf.stack(norms)
    peak = tf.reduce_max(tf.abs(stacked))
    scale = tf.where(tf.math.is_finite(peak) & (peak > 0), peak, 1.0)
    return tf.norm(stacked / scale) * scale


def norms_only(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """L2 norms of flat tensors, float32."""
    return [norm for norm, _ in _norms(tensors)]


def bucket_counts(tensor: tf.Tensor) -> tf.Tensor:
    """Count the elements of a flat tensor by sign, exponent and three mantissa bits.

    Returns:
        float32 `[4096]`: counts above 2**24 are rounded to float32's seven digits.
    """
    return _for(_bucket_counts, tensor)(tensor)


Norm = tuple[tf.Tensor, tf.Tensor]


def _norms(tensors: Sequence[tf.Tensor | None]) -> list[Norm]:
    """(L2 norm, non-finite count) of each tensor, float32; NaN for None.

    One fast pass for all. Only if a sum of squares left the safe range, or might hide a NaN, all
    are computed again with care: one branch for the whole model keeps the graph small.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        return [(_nan(), _nan()) for _ in tensors]
    fast = tf.stack([_for(_fast_norm, tensor)(tensor) for tensor in present])
    low, high = _SAFE_NORM
    safe = tf.reduce_all((fast >= low) & (fast <= high))

    def careful() -> tuple[tf.Tensor, tf.Tensor]:
        pairs = [_for(_careful_norm, tensor)(tensor) for tensor in present]
        return tf.stack([norm for norm, _ in pairs]), tf.stack([bad for _, bad in pairs])

    norms, counts = tf.cond(safe, lambda: (fast, tf.zeros_like(fast)), careful)
    pairs = iter(zip(tf.unstack(norms), tf.unstack(counts), strict=True))
    return [(_nan(), _nan()) if tensor is None else next(pairs) for tensor in tensors]


def _fast_norm(tensor: tf.Tensor) -> tf.Tensor:
    # l2_loss is the one fused reduction that needs no temporary and that XLA knows too.
    return tf.cast(tf.sqrt(2.0 * tf.nn.l2_loss(tensor)), tf.float32)


def _careful_norm(tensor: tf.Tensor) -> Norm:
    finite = tf.math.is_finite(tensor)
    bad = tf.reduce_sum(tf.cast(~finite, tf.int32))
    peak = tf.reduce_max(tf.where(finite, tf.abs(tensor), tf.zeros_like(tensor)))
    # Maximum of an empty tensor is -inf: a variable of no elements has norm 0.
    scale = tf.where(peak > 0, peak, tf.ones_like(peak))
    norm = tf.sqrt(2.0 * tf.nn.l2_loss(tensor / scale)) * scale
    return tf.cast(norm, tf.float32), tf.cast(bad, tf.float32)


def _nonzeros(tensor: tf.Tensor) -> tf.Tensor:
    count = tf.reduce_sum(tf.cast(tf.not_equal(tensor, tf.zeros_like(tensor)), tf.int32))
    return tf.cast(count, tf.float32)


def _cosine(x: tf.Tensor, y: tf.Tensor, x_norm: tf.Tensor, y_norm: tf.Tensor) -> tf.Tensor:
    """Cosine of the angle between two tensors; NaN if one of them is all 0 or not finite."""
    # Each factor is scaled by its own norm, so that neither the product nor its sum can overflow.
    x_scale, y_scale = tf.cast(x_norm, x.dtype), tf.cast(y_norm, y.dtype)
    return tf.cast(tf.reduce_sum((x / x_scale) * (y / y_scale)), tf.float32)


def _bucket_counts(tensor: tf.Tensor) -> tf.Tensor:
    bits = tf.bitcast(tf.cast(tensor, tf.float32), tf.uint32)
    buckets = tf.bitcast(tf.bitwise.right_shift(bits, tf.constant(20, tf.uint32)), tf.int32)
    counts = tf.raw_ops.DenseBincount(
        input=buckets, size=tf.constant(BUCKETS), weights=tf.zeros([0], tf.int32)
    )
    return tf.cast(counts, tf.float32)


def _nan() -> tf.Tensor:
    return tf.constant(float("nan"), tf.float32)


_TRACED: dict[tuple[Callable[..., tf.Tensor], tf.DType], Callable[..., tf.Tensor]] = {}


def _for(function: Callable[..., tf.Tensor], tensor: tf.Tensor) -> Callable[..., tf.Tensor]:
    """The function as a `tf.function` for flat tensors of any length of this dtype."""
    key = (function, tensor.dtype)
    if key not in _TRACED:
        vector, scalar = tf.TensorSpec([None], tensor.dtype), tf.TensorSpec([], tf.float32)
        signature = [vector, vector, scalar, scalar] if function is _cosine else [vector]
        _TRACED[key] = tf.function(function, input_signature=signature, autograph=False)
    return _TRACED[key]
