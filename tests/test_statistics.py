"""Statistics inside the training step, held against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import tensorflow as tf

from tbwatch import reductions, statistics
from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS
from tbwatch.reductions import Blocks, Flat, Reduction, Rows

MODES: dict[str, Callable] = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}

Arrays = dict[str, np.ndarray]
Table = dict[str, dict[str, float]]


def noise(seed: int, size: int, scale: float = 1.0, dtype: str = "float32") -> np.ndarray:
    """Normal numbers of a scale, a fifth of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=size) * (rng.random(size) > 0.2) * scale).astype(dtype)


def spoilt(array: np.ndarray, *values: float) -> np.ndarray:
    """The array with its first elements replaced."""
    return np.concatenate([np.array(values, array.dtype), array[len(values) :]])


PLAIN: Arrays = {
    "one": np.array([-3.0], np.float32),
    "long": noise(2, 300_001),
    "double": noise(3, 100, 1e-6, "float64"),
}
# Of few lengths: in a graph each one is traced anew.
HARD: Arrays = {
    "huge": noise(4, 100, 1e19),
    "largest": np.full(2, 2e38, np.float32),
    "tiny": noise(5, 100, 1e-25),
    "wide": np.array([1e-20, 1e20, 1.0], np.float32),
    "nan and inf": spoilt(noise(7, 100), np.nan, np.inf, -np.inf, np.nan),
    "inf": spoilt(noise(8, 100), -np.inf),
    "only nan": np.full(3, np.nan, np.float32),
    "empty": np.zeros(0, np.float32),
    "zero": np.array([0.0, -0.0, 0.0], np.float32),
    "huge double": noise(9, 100, 1e30, "float64"),
    "tiny double": noise(10, 100, 1e-30, "float64"),
}


def weights_for(array: np.ndarray) -> np.ndarray:
    """Weights of the same form, so that each gradient meets an ordinary variable."""
    return np.random.default_rng(array.size).normal(size=array.size).astype(array.dtype)


def norm(array: np.ndarray) -> float:
    """L2 norm in extended range: float64 scaled by the largest element."""
    array = array.astype(np.float64)
    peak = np.max(np.abs(array), initial=0.0)
    if peak == 0 or not np.isfinite(peak):
        return peak
    return float(np.sqrt(np.sum((array / peak) ** 2)) * peak)


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Cosine in float64; NaN where a direction is missing."""
    norms = norm(x), norm(y)
    if not all(0 < n < np.inf for n in norms):
        return np.nan
    return float(np.sum((x.astype(np.float64) / norms[0]) * (y.astype(np.float64) / norms[1])))


def near(expected: float) -> object:
    """Equal to 1e-6 of the value, however small; NaN equals NaN."""
    return pytest.approx(expected, rel=1e-6, abs=0, nan_ok=True)


def nonfinite(array: np.ndarray) -> int:
    """Number of NaN and infinite elements."""
    return int(np.sum(~np.isfinite(array)))


def named(rows: tf.Tensor, cases: Arrays, columns: tuple[str, ...]) -> Table:
    """Case -> column -> number."""
    lines = zip(cases, rows.numpy(), strict=True)
    return {name: dict(zip(columns, line, strict=True)) for name, line in lines}


@cache
def _compiled(mode: str, function: Callable, form: Callable[[], Reduction]) -> Callable:
    """One function for all cases: TensorFlow traces it once for each length and dtype."""
    return MODES[mode](partial(function, form()))


def each_alone(mode: str, function: Callable, cases: Arrays, *inputs: list) -> tf.Tensor:
    """Every case as a flat vector of its own."""
    step = _compiled(mode, function, Flat)
    return tf.concat([step(*of_one) for of_one in zip(*inputs, strict=True)], axis=0)


def in_blocks(mode: str, function: Callable, cases: Arrays, *inputs: list) -> tf.Tensor:
    """Every case in blocks of a third of its length, with or without a rest."""
    rows = []
    for of_one in zip(*inputs, strict=True):
        size = of_one[0].shape[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reductions, "BLOCK", max(size // 3, 1))
            rows.append(_compiled(mode, function, Blocks if size else Flat)(*of_one))
    return tf.concat(rows, axis=0)


def in_a_pack(mode: str, function: Callable, cases: Arrays, *inputs: list) -> tf.Tensor:
    """All cases of a dtype as rows of one matrix."""
    results: dict[int, tf.Tensor] = {}
    for dtype in (tf.float32, tf.float64):
        members = [at for at, tensor in enumerate(inputs[0]) if tensor.dtype == dtype]
        if not members:
            continue
        by = Rows([inputs[0][at].shape[0] for at in members])
        step = MODES[mode](
            lambda *of_all, by=by: function(by, *(by.pack(of_one) for of_one in of_all))
        )
        rows = step(*([of_one[at] for at in members] for of_one in inputs))
        results.update(zip(members, tf.unstack(rows), strict=True))
    return tf.stack([results[at] for at in sorted(results)])


FORMS = {"alone": each_alone, "in blocks": in_blocks, "packed": in_a_pack}


def before(mode: str, form: str, cases: Arrays) -> Table:
    """Statistics before an update of which the cases are the gradients."""
    gradients = [tf.constant(array) for array in cases.values()]
    weights = [tf.constant(weights_for(array)) for array in cases.values()]
    previous = [weight - tf.constant(0.5, weight.dtype) for weight in weights]
    rows = FORMS[form](mode, statistics.before_update, cases, weights, previous, gradients)
    return named(rows, cases, BEFORE_COLUMNS)


def without_copy(by: Reduction, weight: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Statistics before an update, where nothing is known of the sample before."""
    return statistics.before_update(by, weight, None, gradient)


def before_of_hard(mode: str, form: str) -> dict[str, Table]:
    """Statistics before an update of which the hard cases are the weights, or those before."""
    hard = [tf.constant(array) for array in HARD.values()]
    plain = [tf.constant(weights_for(array)) for array in HARD.values()]
    gradients = [tf.reverse(array, [0]) for array in plain]
    measure = FORMS[form]
    rows = {
        "weights": measure(mode, without_copy, HARD, hard, gradients),
        "copy": measure(mode, statistics.before_update, HARD, plain, hard, gradients),
    }
    return {what: named(table, HARD, BEFORE_COLUMNS) for what, table in rows.items()}


def after_update(by: Reduction, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """With the norm of the weights as the step knows it: float32."""
    return statistics.after_update(by, old, new, statistics.norms(by, old))


def after(mode: str, form: str, cases: Arrays) -> Table:
    """Statistics after an update by which the weights became the cases, from `weights_for`."""
    new = [tf.constant(array) for array in cases.values()]
    old = [tf.constant(weights_for(array)) for array in cases.values()]
    rows = FORMS[form](mode, after_update, cases, old, new)
    return named(rows, cases, AFTER_COLUMNS)


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """How the function runs: eagerly, as a graph, or compiled by XLA."""
    return request.param


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """How the values are laid out: each variable alone, in blocks, or packed."""
    return request.param


@pytest.fixture(scope="module")
def rows_before(mode: str, form: str) -> Table:
    """`before` of all cases; ordinary and hard ones apart, as one hard one changes the way."""
    return before(mode, form, PLAIN) | before(mode, form, HARD)


@pytest.fixture(scope="module")
def rows_after(mode: str, form: str) -> Table:
    """The same for `after`."""
    return after(mode, form, PLAIN) | after(mode, form, HARD)


@pytest.fixture(scope="module", params=["alone", "packed"])
def rows_of_hard(mode: str, request: pytest.FixtureRequest) -> dict[str, Table]:
    """`before_of_hard`."""
    return before_of_hard(mode, request.param)


CASES = PLAIN | HARD
each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_gradient_statistics(rows_before: Table, name: str) -> None:
    """Norm to 1e-6, exact counts, and the cosine with the weights."""
    gradient, row = CASES[name], rows_before[name]
    expected = cosine(gradient, weights_for(gradient))
    assert row["gradient_norm"] == near(norm(gradient))
    assert row["gradient_weight_cosine"] == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert row["gradient_nonfinite"] == nonfinite(gradient)
    assert row["gradient_nonzeros"] == np.count_nonzero(gradient)


@each_case
def test_weight_statistics(rows_before: Table, name: str) -> None:
    """Norms of the weights and of their change since the sample before, beside any gradient."""
    weights, row = weights_for(CASES[name]), rows_before[name]
    assert row["weight_norm"] == near(norm(weights))
    window = weights - (weights - weights.dtype.type(0.5))
    assert row["window_norm"] == near(norm(window))
    assert row["weight_nonfinite"] == 0


@pytest.mark.parametrize("name", HARD)
def test_hard_weights(rows_of_hard: dict[str, Table], name: str) -> None:
    """They are measured as exactly as gradients, and so is the change since a hard copy."""
    hard, plain = HARD[name], weights_for(HARD[name])
    change = hard.astype(np.float64) - plain
    for what, table in rows_of_hard.items():
        row, weights = table[name], plain if what == "copy" else hard
        # Weights whose squares are all lost are as good as none.
        lost = norm(weights) < 1e-22 and row["weight_norm"] == 0
        assert lost or row["weight_norm"] == near(norm(weights)), what
        assert row["window_norm"] == near(np.nan if what == "weights" else norm(change)), what
        assert row["weight_nonfinite"] == nonfinite(weights), what
        assert row["gradient_norm"] == near(norm(plain)), what
        assert row["gradient_nonfinite"] == 0, what
        assert row["gradient_nonzeros"] == np.count_nonzero(plain), what
        expected = cosine(plain[::-1], weights)
        got = row["gradient_weight_cosine"]
        assert lost or got == pytest.approx(expected, abs=1e-6, nan_ok=True), what


@each_case
def test_update_statistics(rows_after: Table, name: str) -> None:
    """Norm, counts and direction of W after - W before."""
    old, row = weights_for(CASES[name]), rows_after[name]
    change = CASES[name] - old
    assert row["update_norm"] == near(norm(change))
    assert row["decay_cosine"] == pytest.approx(cosine(change, -old), abs=1e-6, nan_ok=True)
    assert row["update_nonfinite"] == nonfinite(change)
    assert row["update_nonzeros"] == np.count_nonzero(change)


@each_case
def test_each_case_alone(name: str) -> None:
    """The careful way is taken whenever one tensor needs it, without other hard ones beside it."""
    array = CASES[name]
    weights = tf.constant(weights_for(array))
    rows = statistics.before_update(Flat(), weights, None, tf.constant(array))
    row = named(rows, {name: array}, BEFORE_COLUMNS)[name]
    assert row["gradient_norm"] == near(norm(array))
    assert row["gradient_nonfinite"] == nonfinite(array)
    assert row["weight_norm"] == near(norm(weights_for(array)))


def test_what_is_missing_is_nan(mode: str) -> None:
    """Without a gradient or a copy their columns are NaN, and only those."""
    weights = tf.constant([3.0, 4.0])

    def step(weight: tf.Tensor) -> tf.Tensor:
        no_copy = statistics.before_update(Flat(), weight, None, weight)
        return tf.concat([no_copy, statistics.before_update(Flat(), weight, weight, None)], 0)

    cases = {"no copy": weights, "no gradient": weights}
    table = named(MODES[mode](step)(weights), cases, BEFORE_COLUMNS)
    missing = {name: {k for k, v in row.items() if np.isnan(v)} for name, row in table.items()}
    gradient = {"gradient_norm", "gradient_weight_cosine", "gradient_nonzeros"}
    assert missing == {"no copy": {"window_norm"}, "no gradient": gradient | {"gradient_nonfinite"}}
    assert [row["weight_norm"] for row in table.values()] == [5, 5]


@pytest.mark.parametrize("sizes", [[1], [256], [255, 257], [1, 512, 3, 1000]])
def test_packed_bucket_counts_are_those_of_each_variable(mode: str, sizes: list[int]) -> None:
    """Padding is not counted, and no variable is counted into another."""
    arrays = [noise(seed, size) for seed, size in enumerate(sizes)]
    by = Rows(sizes)
    step = MODES[mode](lambda *flat: by.bucket_counts(by.pack(flat)))
    packed = step(*map(tf.constant, arrays)).numpy()
    for row, array in zip(packed, arrays, strict=True):
        want = np.bincount(array.view(np.uint32) >> 20, minlength=4096)
        np.testing.assert_array_equal(row, want)


@pytest.mark.parametrize("size", [7, 8, 9, 31, 32, 100])
def test_bucket_counts_in_blocks(mode: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tensor and of a change, in blocks of 8: those that NumPy counts by the bits."""
    monkeypatch.setattr(reductions, "BLOCK", 8)
    old, new = noise(1, size), noise(2, size)
    by = Blocks() if size >= 8 else Flat()
    counts = MODES[mode](partial(statistics.bucket_counts, by))(tf.constant(old))
    change = partial(statistics.bucket_counts_of_change, by)
    of_change = MODES[mode](change)(tf.constant(old), tf.constant(new))
    for found, array in ((counts, old), (of_change, new - old)):
        want = np.bincount(array.view(np.uint32) >> 20, minlength=4096)
        np.testing.assert_array_equal(found.numpy(), want[np.newaxis])


@pytest.mark.parametrize("size", [0, 1, 8, 2039, 2040, 2041, 100_003])
def test_counting_in_words_misses_nothing(mode: str, size: int) -> None:
    """Also where the length is no multiple of what is added at a time, and nothing overflows."""
    masks = [noise(size, size) > 0.3, np.ones(size, bool), np.zeros(size, bool)]
    counts = MODES[mode](lambda *of: tf.stack([reductions.count_true(one) for one in of]))(*masks)
    assert counts.numpy().tolist() == [int(mask.sum()) for mask in masks]


@pytest.mark.parametrize(("toward", "expected"), [(0.9, 1.0), (1.1, -1.0)])
def test_decay_cosine_tells_decay_from_growth(toward: float, expected: float) -> None:
    """Weights that shrink as a whole have cosine 1, those that grow -1."""
    weights = noise(12, 100)
    old, new = tf.constant(weights), tf.constant(weights * np.float32(toward))
    (row,) = after_update(Flat(), old, new)
    decay_cosine = dict(zip(AFTER_COLUMNS, row.numpy(), strict=True))["decay_cosine"]
    assert decay_cosine == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "norms",
    [[3.0, 4.0], [1e38, 1e38, 1e38], [1e-30, 1e-30], [0.0, 0.0], [0.0, 2.0], [5.0]],
)
def test_global_norm(mode: str, norms: list[float]) -> None:
    """Root of the sum of squares, of norms that cannot be squared in float32 too."""
    vectors = [tf.constant(norms[:1]), tf.constant(norms[1:])]
    got = MODES[mode](lambda *values: statistics.global_norm(values))(*vectors)
    assert got.dtype == tf.float32
    assert got.numpy() == near(norm(np.array(norms)))


def test_global_norm_of_what_is_not_finite() -> None:
    """NaN wins, then infinity; without any norm it is NaN."""
    assert np.isnan(statistics.global_norm([]))
    for norms, expected in [([1, np.nan, 2], np.nan), ([1, np.inf], np.inf)]:
        got = statistics.global_norm([tf.constant([n], tf.float32) for n in norms])
        np.testing.assert_array_equal(got, np.float32(expected))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_half_precision_is_cast_up(dtype: str) -> None:
    """Sums are done in float32, in float64 for float64, over all axes at once."""
    wide = tf.float64 if dtype == "float64" else tf.float32
    assert statistics.compute_dtype(tf.as_dtype(dtype)) == wide
    tensor = statistics.flat(tf.constant([[300.0, 400.0]], dtype), wide)
    assert (tensor.shape, tensor.dtype) == ([2], wide)
    (got,) = statistics.norms(Flat(), tensor)
    assert (got.dtype, got.numpy()) == (tf.float32, 500.0)
