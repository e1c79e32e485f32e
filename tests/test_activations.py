"""Activations that are logged are those of the step, in every execution mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch import activations, traced
from tbwatch.activations import Activation
from tbwatch.histogram import to_rows
from tbwatch.quantities import ACTIVATION_COLUMNS
from tbwatch.testing import Recorder
from tests.nets import L, events
from tests.truth import truth_model

UPDATES = 9
NAMES = [
    "conv/pre_activation",
    "conv",
    "pool",
    "flat",
    "scaled",
    "shared/pre_activation",
    "shared",
    "shared_1/pre_activation",
    "shared_1",
    "joined",
    "inner/gate/pre_activation",
    "inner/gate",
    "out/pre_activation",
    "out",
]


def _model(**compiled):
    """A convolution, a pooling, a layer called twice, one in a nested model, a softmax."""
    keras.utils.set_random_seed(3)
    inputs = L.Input((6, 6, 2))
    x = L.Conv2D(4, 3, activation="relu", bias_initializer="random_normal", name="conv")(inputs)
    x = L.Flatten(name="flat")(L.MaxPooling2D(name="pool")(x))
    shared = L.Dense(5, activation="tanh", name="shared", kernel_initializer="random_normal")
    x = L.Concatenate(name="joined")([shared(x), shared(L.Rescaling(40.0, name="scaled")(x))])
    gate = L.Dense(3, activation="sigmoid", name="gate")
    x = keras.Sequential([gate], name="inner")(x)
    model = truth_model(inputs, L.Dense(3, activation="softmax", name="out")(x), UPDATES)
    model.compile("sgd", "sparse_categorical_crossentropy", **{"jit_compile": False, **compiled})
    model.optimizer.learning_rate = 0.05
    return model


def _data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(UPDATES * 8, 6, 6, 2)).astype("float32")
    return x, rng.integers(0, 3, len(x))


def _forward(x, weights):
    """All activations in float64 by NumPy, in the order of `NAMES`."""
    kernel, bias, shared_w, shared_b, gate_w, gate_b, out_w, out_b = weights
    x = x.astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    before = np.einsum("nyxcij,ijck->nyxk", windows, kernel) + bias
    conv = np.maximum(before, 0)
    pool = conv.reshape(len(x), 2, 2, 2, 2, 4).max(axis=(2, 4))
    flat = pool.reshape(len(x), -1)
    first = flat @ shared_w + shared_b
    scaled = flat * 40.0
    second = scaled @ shared_w + shared_b
    joined = np.concatenate([np.tanh(first), np.tanh(second)], axis=1)
    gate = joined @ gate_w + gate_b
    opened = 1 / (1 + np.exp(-gate))
    out = opened @ out_w + out_b
    shares = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
    shared = [first, np.tanh(first), second, np.tanh(second)]
    return [before, conv, pool, flat, scaled, *shared, joined, gate, opened, out, shares]


def _expected(values, function):
    """Quantities of one batch of one activation."""
    units = values.reshape(-1, values.shape[-1])
    saturated = np.nan
    if function == "tanh":
        saturated = np.mean(np.abs(units) > 0.995)
    if function == "sigmoid":
        saturated = np.mean((units < 0.0025) | (units > 0.9975))
    return {
        "activation_mean": units.mean(),
        "activation_std": units.std(),
        "unit_std": np.sqrt(np.mean(units.var(axis=0))),
        "activation_zero_fraction": np.mean(units == 0),
        "activation_nonfinite": 0,
        "silent_units": np.mean((units == 0).all(axis=0)),
        "saturated_fraction": saturated,
    }


MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 7},
    "xla_steps_per_execution": {"jit_compile": True, "steps_per_execution": 7},
}


@pytest.mark.parametrize("mode", MODES)
def test_quantities_equal_a_forward_pass_by_hand(mode, tmp_path):
    """In every mode, at every update, for layers shared and nested: NumPy's float64 to 1e-4."""
    model, recorder = _model(**MODES[mode]), Recorder()
    x, y = _data()
    watch = tbwatch.Watch(tmp_path, update_freq=1, activations=True, detectors=[recorder])
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    before = [v.numpy() for v in vars(model)["truth"].stores["before"]]
    records = [record for record in recorder.records if record.activations]
    assert [record.step for record in records] == list(range(1, UPDATES + 1))
    watched = records[0].layout.activations
    names = [name.removeprefix("inner/") for name in NAMES]
    assert [a.name.removeprefix("inner/") for a in watched] == names
    functions = [a.function for a in watched]
    assert functions == [
        *("linear", "relu", "", "", "", "linear", "tanh", "linear", "tanh", ""),
        *("linear", "sigmoid", "linear", "softmax"),
    ]
    assert [a.before for a in watched] == [name.endswith("/pre_activation") for name in NAMES]
    assert [a.is_output for a in watched] == [name == "out" for name in NAMES]
    seen = set()
    for record in records:
        at = record.step - 1
        values = _forward(x[at * 8 : at * 8 + 8], [w[at] for w in before])
        assert [a.units for a in watched] == [v.shape[-1] for v in values]
        for row, (of, function) in enumerate(zip(values, functions, strict=True)):
            for name, want in _expected(of, function).items():
                got = record.activation(name)[row]
                rounding = 2e-6 * np.abs(of).max()  # of the step's own float32 forward pass
                assert np.isclose(got, want, rtol=1e-4, atol=rounding, equal_nan=True), (
                    *(mode, record.step, watched[row].name, name, got, want),
                )
                seen |= {name} if want and not np.isnan(want) else set()
    assert {"activation_zero_fraction", "saturated_fraction"} <= seen, "or nothing was tested"


def _counts(tensor):
    """Elements by the top 12 bits of their float32 form, by NumPy."""
    return np.bincount(tensor.astype(np.float32).view(np.uint32).ravel() >> 20, minlength=4096)


@pytest.mark.parametrize("mode", ["graph", "eager", "xla_steps_per_execution"])
def test_histograms_in_the_event_file(mode, tmp_path):
    """Rows for TensorBoard of relu outputs: as many elements, and zeros, as in the batch."""
    model = _model(**MODES[mode])
    x, y = _data()
    callback = tbwatch.ActivationHistograms(tmp_path, update_freq=1)
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    before = [v.numpy() for v in vars(model)["truth"].stores["before"]]
    steps, shown = [], set()
    for event in events(tmp_path):
        for value in event.summary.value:
            if not value.tag.startswith("activations/"):
                continue
            shown.add(value.tag.removeprefix("activations/"))
            if value.tag != "activations/conv":
                continue
            steps.append(event.step)
            at = event.step - 1
            conv = _forward(x[at * 8 : at * 8 + 8], [w[at] for w in before])[1]
            got = np.frombuffer(value.tensor.tensor_content, np.float32).reshape(-1, 3)
            want = to_rows(_counts(conv))
            np.testing.assert_allclose(got[:, :2], want[:, :2], rtol=1e-5)
            # An element at the edge of a bucket may lie on either side of it.
            np.testing.assert_allclose(got[:, 2], want[:, 2], atol=2)
            assert got[:, 2].sum() == pytest.approx(conv.size)
    assert steps == list(range(1, UPDATES + 1))
    assert {name.removeprefix("inner/") for name in shown} == {
        *("conv", "shared", "shared_1", "gate", "out")
    }


def _measured(x, axis=-1, function="", compiled=False):
    """Columns by name, largest magnitudes, shares of saturated elements."""
    source = Activation(tf.constant(x), axis % np.ndim(x), function)
    vector = tf.function(lambda: activations.measured(source), jit_compile=compiled)().numpy()
    columns, units = len(ACTIVATION_COLUMNS), source.units
    named = dict(zip(ACTIVATION_COLUMNS, vector[:columns].tolist(), strict=True))
    return named, vector[columns : columns + units], vector[columns + units :]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(64, 3), (1, 200_000, 3), (2000, 40, 3), (5, 6, 7, 3)])
def test_small_spread_on_a_large_mean(shape, compiled):
    """Standard deviations a thousandth of the mean, also over many elements, to 1e-4."""
    rng = np.random.default_rng(0)
    means = np.array([1.0, -20.0, 300.0])
    x = (means * (1 + 1e-3 * rng.normal(size=shape))).astype(np.float32)
    named, largest, saturated = _measured(x, compiled=compiled)
    want = x.astype(np.float64).reshape(-1, 3)
    assert named["examples"] == shape[0]
    assert named["mean"] == pytest.approx(want.mean(), rel=1e-4)
    assert named["std"] == pytest.approx(want.std(), rel=1e-4)
    assert named["unit_std"] == pytest.approx(np.sqrt(want.var(axis=0).mean()), rel=1e-4)
    assert largest.tolist() == np.abs(x).reshape(-1, 3).max(axis=0).tolist()
    assert np.isnan(saturated).all()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted(bad, compiled):
    """Exactly; the other units keep their magnitudes, the one that is hit has none."""
    x = np.ones((8, 5, 4), np.float32)
    x[[0, 3, 7], [0, 1, 2], 2] = bad
    named, largest, _ = _measured(x, compiled=compiled)
    assert named["nonfinite"] == 3
    np.testing.assert_array_equal(largest, [1, 1, np.nan, 1])


def test_squares_beyond_float32():
    """Finite numbers of 1e25 have a mean and a standard deviation."""
    x = np.array([[1e25, 2e25], [3e25, 2e25]], np.float32)
    named, largest, _ = _measured(x)
    assert named["nonfinite"] == 0
    assert named["mean"] == pytest.approx(2e25)
    assert named["std"] == pytest.approx(1e25 / np.sqrt(2))
    assert largest.tolist() == np.float32([3e25, 2e25]).tolist()


@pytest.mark.parametrize("function", ["tanh", "sigmoid"])
def test_saturated_shares(function):
    """By unit: a derivative below 1 % of the largest one, on either side."""
    if function == "tanh":
        x = [[-0.996, 0.994, 0.0], [0.996, -0.996, 0.5]]
    else:
        x = [[0.0024, 0.0026, 0.5], [0.9976, 0.0024, 0.9974]]
    assert _measured(np.array(x, np.float32), function=function)[2].tolist() == [1.0, 0.5, 0.0]


def test_units_on_the_second_axis():
    """channels_first: the statistics of a unit are over the axes behind it and the examples."""
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype(np.float16)
    x[:, 1] = 0
    named, largest, _ = _measured(x, axis=1)
    want = x.astype(np.float64)
    assert named["unit_std"] == pytest.approx(np.sqrt(want.var(axis=(0, 2, 3)).mean()), rel=1e-4)
    assert named["zero_fraction"] == pytest.approx(np.mean(want == 0))
    assert largest.tolist() == np.abs(want).max(axis=(0, 2, 3)).tolist()


@pytest.mark.parametrize("static", [True, False])
def test_only_the_first_examples_of_a_large_activation(static, monkeypatch):
    """As many whole examples as fit into the limit, at least one."""
    monkeypatch.setattr(traced, "_TRACED", {})
    monkeypatch.setattr(activations, "MOST_ELEMENTS", 50)
    x = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    spec = tf.TensorSpec([None, 4 if static else None, 3])

    @tf.function(input_signature=[spec])
    def examples(x):
        return activations.measured(Activation(x, 2, ""))

    column = ACTIVATION_COLUMNS.index("examples")
    mean = ACTIVATION_COLUMNS.index("mean")
    found = examples(x).numpy()
    assert (found[column], found[mean]) == (4, x[:4].mean())
    monkeypatch.setattr(traced, "_TRACED", {})
    monkeypatch.setattr(activations, "MOST_ELEMENTS", 5)
    source = Activation(tf.constant(x), 2, "")
    found = activations.measured(source).numpy()
    assert (found[column], found[mean]) == (1, x[:1].mean())
    assert activations.counted(source).numpy().sum() == 4 * 3
