"""Histograms by the bits of a float, held against `np.histogram` and `np.frexp`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tbwatch.histogram import BUCKETS, MAGNITUDES, nonfinite_count, to_magnitudes, to_rows
from tbwatch.reductions import Flat


def bucket_counts(tensor: tf.Tensor) -> tf.Tensor:
    """The counts of one variable."""
    return Flat().bucket_counts(tensor)[0]


RNG = np.random.default_rng(0)
WIDE = RNG.choice([-1, 1], 5000) * 10 ** RNG.uniform(-15, 15, 5000)
LARGEST = float(np.finfo(np.float32).max)

CASES: dict[str, np.ndarray] = {
    name: np.asarray(values, np.float32)
    for name, values in {
        "normal": RNG.normal(size=20_000),
        "negative": -RNG.lognormal(size=3000),
        "positive": RNG.random(3000),
        "with zeros": RNG.normal(size=3000) * (RNG.random(3000) > 0.5),
        "zeros and positive": [0, 0, 0, 1, 2, 3],
        "zeros and negative": [0, 0, -1, -2, -3],
        "constant": np.full(100, 0.1),
        "constant negative": np.full(100, -7.3),
        "two values": [-1.0, 1.0, 1.0],
        "all zero": np.zeros(10),
        "minus zero": [-0.0, 0.0, -0.0, 1.0],
        "one": [3.0],
        "one nan": [np.nan, 1.0, 2.0, 3.0],
        "inf": [np.inf, -np.inf, -np.inf, 1.0, 2.0],
        "only nan": [np.nan, np.nan],
        "empty": [],
        "subnormal": [1e-45, -1e-40, 1e-39, 5e-39, 1e-38],
        "30 orders of magnitude": WIDE,
        "powers of two": 2.0 ** np.arange(-20, 21),
        "largest": [-LARGEST, LARGEST, 0.0],
    }.items()
}
each_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module", params=["eager", "graph", "xla"])
def counts(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Bucket counts of all cases, counted in the given way."""

    def count(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        return [bucket_counts(tensor) for tensor in tensors]

    wrapped = {"eager": count, "graph": tf.function(count)}.get(
        request.param, tf.function(count, jit_compile=True)
    )
    result = wrapped([tf.constant(array) for array in CASES.values()])
    return {name: tensor.numpy() for name, tensor in zip(CASES, result, strict=True)}


def bucket_of(values: np.ndarray) -> np.ndarray:
    """Lower and upper magnitude of the buckets of finite numbers, `[N, 2]`, by arithmetic.

    A bucket is an eighth of a power of two; below the smallest normal number the eighths stay as
    wide as in the first power, and what lies in the first of them counts as zero.
    """
    magnitude = np.abs(values.astype(np.float64))
    _, exponent = np.frexp(magnitude)  # magnitude = m * 2**exponent, 0.5 <= m < 1
    width = 2.0 ** (np.maximum(exponent - 1, -126) - 3)
    lower = np.floor(magnitude / width) * width
    return np.column_stack([lower, np.where(lower == 0, 0, lower + width)])


def finite(name: str) -> np.ndarray:
    """Finite elements of a case, in float64; what counts as zero is zero."""
    values = CASES[name][np.isfinite(CASES[name])].astype(np.float64)
    return np.where(bucket_of(values)[:, 0] == 0, 0.0, values)


@each_case
def test_bucket_counts(counts: dict[str, np.ndarray], name: str) -> None:
    """Each element is counted once, with the others of its bucket; `[4096]` float32."""
    got = counts[name]
    assert (got.shape, got.dtype) == ((BUCKETS,), np.float32)
    assert got.sum() == CASES[name].size
    values = finite(name)
    lower = np.where(values < 0, -1, 1) * bucket_of(values)[:, 0]
    expected = sorted(np.unique(lower, return_counts=True)[1])
    is_finite = np.arange(BUCKETS) % 2048 < 2040
    merged = np.append(got[is_finite & (np.arange(BUCKETS) % 2048 > 0)], got[0] + got[2048])
    assert expected == sorted(merged[merged > 0])
    assert nonfinite_count(got) == CASES[name].size - values.size


@each_case
def test_rows_agree_with_numpy(counts: dict[str, np.ndarray], name: str) -> None:
    """No element is lost, and a row is wrong by no more than what the buckets at its edges hold."""
    rows, values = to_rows(counts[name]), finite(name)
    assert rows.dtype == np.float64
    assert rows[:, 2].sum() == pytest.approx(values.size, rel=1e-12)
    if not values.size:
        assert rows.shape == (0, 3)
        return
    lower, upper = bucket_of(values).T
    low, high = np.where(values < 0, [-upper, -lower], [lower, upper])
    assert (rows[0, 0], rows[-1, 1]) == (low.min(), high.max())
    np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])
    if low.min() == low.max():
        assert rows.shape == (1, 3)
        return
    assert rows.shape == (30, 3)
    assert (rows[:, 2] >= 0).all()
    edges = np.append(rows[:, 0], rows[-1, 1])
    np.testing.assert_allclose(np.diff(edges), (high.max() - low.min()) / 30, rtol=1e-9)
    cut = np.array([np.sum((low < edge) & (edge < high)) for edge in edges])
    error = np.abs(rows[:, 2] - np.histogram(values, edges)[0])
    assert (error <= cut[:-1] + cut[1:] + 1e-6).all()


def test_a_cut_bucket_is_shared_evenly() -> None:
    """Buckets [1, 1.125) and [1.125, 1.25) in four rows: half of each bucket's count in each."""
    counts = bucket_counts(tf.constant([1.0] * 6 + [1.125] * 2)).numpy()
    expected = [
        [1.0, 1.0625, 3],
        [1.0625, 1.125, 3],
        [1.125, 1.1875, 1],
        [1.1875, 1.25, 1],
    ]
    np.testing.assert_allclose(to_rows(counts, 4), expected, rtol=1e-12)


def test_constant_weights_are_one_narrow_row(counts: dict[str, np.ndarray]) -> None:
    """0.1 lies in [0.09375, 0.1015625): an eighth of [0.0625, 0.125)."""
    np.testing.assert_array_equal(to_rows(counts["constant"]), [[0.09375, 0.1015625, 100]])
    np.testing.assert_array_equal(to_rows(counts["all zero"]), [[0, 0, 10]])


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_number_of_rows(rows: int) -> None:
    """As many as asked for, whatever the number."""
    counts = bucket_counts(tf.constant(CASES["with zeros"])).numpy()
    result = to_rows(counts, rows)
    assert result.shape == (rows, 3)
    assert result[:, 2].sum() == pytest.approx(3000, rel=1e-12)


def test_float64_is_counted_as_float32() -> None:
    """A float64 variable lands in the buckets of its rounded values."""
    values = RNG.normal(size=1000)
    np.testing.assert_array_equal(
        bucket_counts(tf.constant(values)), bucket_counts(tf.constant(values.astype(np.float32)))
    )


def test_input_is_left_alone() -> None:
    """Counts are read, not changed."""
    counts = np.ones(BUCKETS, np.float32)
    to_rows(counts)
    assert (counts == 1).all()
    assert nonfinite_count(counts) == 16


def test_magnitudes_count_powers_of_two() -> None:
    """Held against NumPy's logarithm of the elements themselves, in float64."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(3, 5000)) * 10.0 ** rng.uniform(-20, 6, (3, 5000))).astype(np.float32)
    x[0, :10], x[1, 0], x[2, :2] = 0.0, np.nan, [np.inf, -np.inf]
    bits = x.view(np.uint32) >> 20
    counts = np.stack([np.bincount(row, minlength=4096) for row in bits])
    found = to_magnitudes(counts)
    assert found.shape == (3, MAGNITUDES)
    assert found[:, 0].tolist() == [10, 0, 0]
    assert found[:, -1].tolist() == [0, 1, 2]
    for row, values in zip(found, x.astype(np.float64), strict=True):
        kept = values[np.isfinite(values) & (values != 0)]
        powers = np.clip(np.floor(np.log2(np.abs(kept))), -50, 11).astype(int)
        want = np.bincount(powers + 50, minlength=62)
        np.testing.assert_array_equal(row[1:-1], want)
    np.testing.assert_array_equal(found[0], to_magnitudes(counts[0]))
