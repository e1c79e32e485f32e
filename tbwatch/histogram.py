"""One-pass histograms: from bucket counts of float32 bits to TensorBoard's rows.

The training step counts elements by the top 12 bits of their float32 form: sign, 8 exponent bits,
3 mantissa bits. That is a logarithmic histogram over all magnitudes in one pass, with buckets 6 to
12 % wide. Here, on the host, the counts become the few linear rows that TensorBoard draws.
"""

from __future__ import annotations

import numpy as np

BUCKETS = 4096
_HALF = BUCKETS // 2
_FIRST_NONFINITE = 255 << 3  # exponent 255 means NaN or Inf

# Smallest magnitude of each bucket of one sign, and the end of the last finite one.
_EDGES = np.concatenate(
    [
        (np.arange(_FIRST_NONFINITE, dtype=np.uint32) << 20).view(np.float32).astype(np.float64),
        [2.0**128],
    ]
)

# The finite buckets in ascending order: their numbers, left and right edges. Zero stands for both
# of its signs.
_ASCENDING = np.concatenate(
    [_HALF + np.arange(_FIRST_NONFINITE - 1, 0, -1), np.arange(_FIRST_NONFINITE)]
)
_LEFT = np.concatenate([-_EDGES[2:][::-1], [0.0], _EDGES[1:-1]])
_RIGHT = np.concatenate([-_EDGES[1:-1][::-1], [0.0], _EDGES[2:]])

DEFAULT_ROWS = 30

# Magnitudes by powers of two: below 2^-50 and above 2^12 the first and the last one take all.
MAGNITUDES = 64
LOWEST_EXPONENT = -50


def to_rows(counts: np.ndarray, rows: int = DEFAULT_ROWS) -> np.ndarray:
    """Re-bin bucket counts into linear TensorBoard rows.

    Args:
        counts: `[4096]` counts by the top 12 bits of float32; +0 and -0 and tiny subnormals count
            as 0. Non-finite elements are left out.
        rows: number of rows; 30 is what TensorBoard's own summaries write.

    Returns:
        float64 `[k, 3]` rows (left, right, count): k = `rows`, or 1 if all finite elements lie in
        one bucket, or 0 if there is none. The counts add up to the number of finite elements.
    """
    left, right, count = _finite_buckets(counts)
    if not count.size:
        return np.zeros((0, 3))
    low, high = left[0], right[-1]
    if count.size == 1:
        return np.array([[low, high, count[0]]])
    edges = np.linspace(low, high, rows + 1)
    # Share every bucket's count over the rows that cut it, as if spread evenly within the bucket:
    # that is the cumulative distribution, linear between bucket edges, read at the row edges.
    widths = right - left
    spikes = widths == 0
    cumulative = _interpolated(edges, left[~spikes], right[~spikes], count[~spikes])
    shares = np.diff(cumulative)
    for position, number in zip(left[spikes], count[spikes], strict=True):
        row = min(int(np.searchsorted(edges, position, side="right")) - 1, rows - 1)
        shares[max(row, 0)] += number
    return np.column_stack([edges[:-1], edges[1:], shares])


def to_magnitudes(counts: np.ndarray) -> np.ndarray:
    """Fold bucket counts into counts by magnitude, where small and large elements show alike.

    Args:
        counts: `[..., 4096]` counts by the top 12 bits of float32.

    Returns:
        float32 `[..., 64]`: elements that are 0 (or below 1.2e-38), those of a magnitude from
        2^-50 to 2^-49, and so on up to 2^12, and those that are not finite. What is smaller or
        larger counts as the nearest.
    """
    counts = np.asarray(counts, np.float64)
    exponents = counts.reshape(*counts.shape[:-1], 2, 256, 8).sum(axis=(-3, -1))
    first = 127 + LOWEST_EXPONENT
    end = first + MAGNITUDES - 2
    folded = np.empty((*exponents.shape[:-1], MAGNITUDES), np.float32)
    folded[..., 0], folded[..., -1] = exponents[..., 0], exponents[..., 255]
    folded[..., 1:-1] = exponents[..., first:end]
    folded[..., 1] += exponents[..., 1:first].sum(axis=-1)
    folded[..., -2] += exponents[..., end:255].sum(axis=-1)
    return folded


def nonfinite_count(counts: np.ndarray) -> int:
    """Number of NaN and infinite elements in bucket counts `[4096]`."""
    return int(counts[_FIRST_NONFINITE:_HALF].sum() + counts[_HALF + _FIRST_NONFINITE :].sum())


def _finite_buckets(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Non-empty finite buckets in ascending order: left edges, right edges, counts."""
    ascending = np.asarray(counts, np.float64)[_ASCENDING]
    ascending[_FIRST_NONFINITE - 1] += counts[_HALF]
    filled = ascending > 0
    return _LEFT[filled], _RIGHT[filled], ascending[filled]


def _interpolated(
    edges: np.ndarray, left: np.ndarray, right: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Cumulative count at each edge, linear within buckets and flat between them."""
    if not count.size:
        return np.zeros_like(edges)
    after = np.cumsum(count)
    positions = np.column_stack([left, right]).ravel()
    heights = np.column_stack([after - count, after]).ravel()
    return np.interp(edges, positions, heights)
