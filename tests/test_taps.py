"""Which activations of which models are found, and how a user chooses among them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.models import PatternError
from tbwatch.selection import LayerSelection
from tbwatch.testing import Recorder
from tests.nets import L, compile_, convnet, fit


def _records(model, tmp_path, activations=True, x=None, y=None, epochs=1, **options):
    recorder = Recorder()
    watch = tbwatch.Watch(
        tmp_path, update_freq=1, histogram_freq=0, activations=activations, detectors=[recorder]
    )
    if x is None:
        fit(model, watch, updates=3, epochs=epochs, **options)
    else:
        model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[watch], **options)
    return [record for record in recorder.records if record.activations]


def _names(records):
    return [activation.name for activation in records[-1].layout.activations]


def _sequences(samples=24):
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 5, 4)).astype("float32"), rng.integers(0, 3, samples)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("auto", ["conv1", "fc1", "out"]),
        (False, []),
        ("conv*", ["conv1/pre_activation", "conv1"]),
        (["out", "flatten"], ["flatten", "out"]),
    ],
)
def test_choices(choice, names, tmp_path):
    """Automatic, none, one pattern, a list of patterns."""
    keras.utils.clear_session(free_memory=False)
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, activations=choice, detectors=[recorder])
    fit(convnet(), watch, updates=2)
    assert [a.name for a in recorder.records[0].layout.activations] == names


def test_a_pattern_that_matches_no_layer(tmp_path):
    """Ends the run before it begins, and lists the layers."""
    with pytest.raises(PatternError, match=r"'cnov1' matches no layer .*: conv1, flatten.*, out\."):
        fit(convnet(), tbwatch.Watch(tmp_path, activations=["conv1", "cnov1"]))
    with pytest.raises(PatternError, match="'cnov1' matches no layer"):
        fit(convnet(), tbwatch.ActivationHistograms(tmp_path, exclude="cnov1"))


@pytest.mark.parametrize("wrong", [None, 3, [], "", ["conv1", 3], {"conv1": 1}])
def test_wrong_choices(wrong, tmp_path):
    """Raise when the callback is made, with what was given."""
    with pytest.raises(TypeError, match='activations must be "auto", True, False, a pattern'):
        tbwatch.Watch(tmp_path, activations=wrong)


def test_selection_of_layers():
    """Names and paths of layers match, whole; parts of names do not; a callable gets the path."""
    chosen = LayerSelection(include=["encoder", "out"], exclude="*/norm")
    layers = ["encoder", "encoder/conv", "encoder/norm", "conv", "out", "out2", "deep/encoder/conv"]
    taken = [layer for layer in layers if chosen.takes(layer, is_main=False, before=True)]
    assert taken == ["encoder", "encoder/conv", "out", "deep/encoder/conv"]
    named = LayerSelection(include=lambda layer: layer.endswith("conv"))
    assert [la for la in layers if named.takes(la, is_main=False)] == [layers[i] for i in (1, 3, 6)]
    assert not LayerSelection().takes("conv", is_main=True, before=True)


def test_a_layer_without_weights_is_called_by_the_model_that_holds_it(tmp_path):
    """As the weights beside it are, although Keras built it before it was put in there."""
    keras.utils.clear_session(free_memory=False)
    block = [L.Input((16,)), L.Dense(8, name="fc"), L.ReLU(name="relu")]
    inner = keras.Sequential([keras.Sequential(block, name="block")], name="base")
    layers = [L.Input((8, 8, 1)), L.Flatten(), L.Dense(16, name="in"), inner, L.ReLU(name="relu")]
    records = _records(compile_(keras.Sequential([*layers, L.Dense(3, name="out")])), tmp_path)
    assert "block/fc/kernel" in records[-1].layout.names
    names = [name for name in _names(records) if "relu" in name]
    assert names == ["block/relu", "relu"]


def test_a_recurrent_layer_and_a_loop(tmp_path):
    """Its output is there, the steps of its cell are not; its layer is that of its kernel."""
    x, y = _sequences()
    model = keras.Sequential(
        [
            L.Input((5, 4)),
            L.LSTM(6, return_sequences=True, name="rnn"),
            L.TimeDistributed(L.Dense(3, name="each"), name="apart"),
            L.SimpleRNN(4, unroll=True, name="unrolled"),
            L.Dense(3, name="out"),
        ]
    )
    records = _records(compile_(model), tmp_path, x=x, y=y)
    found = {a.name: a for a in records[-1].layout.activations}
    assert {"rnn", "apart", "unrolled", "out"} <= set(found)
    assert not any("cell" in name for name in found)
    kernels = {v.layer for v in records[-1].layout.variables}
    assert {found[name].layer for name in ("rnn", "apart", "unrolled", "out")} <= kernels
    assert found["rnn"].function == "", "an LSTM's output is a product"
    for name in ("rnn", "unrolled", "out"):
        row = _names(records).index(name)
        assert np.isfinite(records[-1].activation("activation_std")[row])
    assert found["out"].is_output
    assert not found["rnn"].is_output


class _Block(L.Layer):
    """Two outputs, and an activation function in the midst."""

    def __init__(self, **options):
        super().__init__(**options)
        self.activation = keras.activations.relu
        self.dense = L.Dense(4, name="inner")

    def call(self, x):
        inside = self.activation(self.dense(x))
        return {"count": tf.shape(x)[0], "main": inside * 2.0, "other": inside}


class _Subclassed(keras.Model):
    """Makes its layers itself, calls one only where a tensor says so."""

    def __init__(self):
        super().__init__(name="own")
        self.block = _Block(name="block")
        self.leaky = L.LeakyReLU(name="leaky")
        self.out = L.Dense(3, name="out")
        self.rare = L.Dense(3, name="rare")

    def call(self, x):
        x = self.leaky(self.block(tf.reshape(x, [-1, 64]))["main"])
        out = self.out(x)
        return tf.cond(tf.reduce_sum(x) > 0, lambda: out + 0.0 * self.rare(x), lambda: out)


@pytest.mark.parametrize("eager", [False, True])
def test_a_model_of_ones_own(eager, tmp_path):
    """Unbuilt, custom layers, a branch: each output once, and none of an inner graph."""
    records = _records(compile_(_Subclassed(), run_eagerly=eager), tmp_path)
    found = {a.name.removeprefix("own/"): a for a in records[-1].layout.activations}
    assert {"block", "leaky", "out"} <= set(found)
    assert ("rare" in found) == eager
    assert found["leaky"].function == "leaky_relu"
    assert found["block"].function == "", "what it hands on is not what its function returned"
    assert found["block"].units == 4
    assert records[-1].step == 3
    values = dict(zip(_names(records), records[-1].activation("activation_mean"), strict=True))
    assert np.isfinite(values[found["leaky"].name])


class _Late(L.Layer):
    """Makes its layer when it is built."""

    def build(self, shape):
        self.late = L.Dense(4, name="late")
        self.late.build(shape)

    def call(self, x):
        return self.late(x)


def test_layers_that_are_made_in_the_first_step(tmp_path):
    """A model that is not built yet gets them while its step is traced."""
    model = compile_(keras.Sequential([L.Flatten(), _Late(name="maker"), L.Dense(3)]))
    names = [name.rpartition("/")[2] for name in _names(_records(model, tmp_path))]
    assert names[1:3] == ["late", "maker"]


def test_mixed_precision(tmp_path):
    """float16 activations are measured in float32."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        records = _records(convnet(), tmp_path)
    finally:
        keras.config.set_dtype_policy("float32")
    assert _names(records)[:2] == ["conv1/pre_activation", "conv1"]
    assert (records[-1].activation("unit_std") > 0).all()


def test_a_step_that_calls_the_model_twice(tmp_path):
    """One entry per call, each with a name of its own."""

    class Twice(keras.Sequential):
        def call(self, x, training=None):
            first = super().call(x, training=training)
            return first + super().call(x * 2.0, training=training)

    model = compile_(Twice([L.Flatten(name="flat"), L.Dense(3, name="out")]))
    names = [name.rpartition("/")[2] for name in _names(_records(model, tmp_path))]
    assert names == ["flat", "out", "flat_1", "out_1"]


def test_a_layer_with_activation_that_is_a_layer(tmp_path):
    """Its function is that layer's."""
    model = keras.Sequential([L.Flatten(), L.Dense(4, activation=L.ELU(), name="fc"), L.Dense(3)])
    records = _records(compile_(model), tmp_path)
    functions = {a.name.rpartition("/")[2]: a.function for a in records[-1].layout.activations}
    assert functions["fc"] == "elu"


def test_another_fit_goes_on(tmp_path):
    """What the units did before is not forgotten: 10 batches, 1024 examples over two fits."""
    model = convnet()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(640, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 640)
    shares = []
    for _ in range(2):
        recorder = Recorder()
        watch = tbwatch.Watch(tmp_path, update_freq=1, histogram_freq=0, detectors=[recorder])
        model.fit(x, y, batch_size=128, verbose=0, callbacks=[watch])
        shares.append([r.activation("dead_units")[0] for r in recorder.records if r.activations])
    assert np.isnan(shares[0] + shares[1][:4]).all()
    assert np.isfinite(shares[1][4])


def test_partial_batches(tmp_path):
    """A smaller last batch of an epoch is measured as it is, in the same trace or another."""
    records = _records(convnet(), tmp_path, batch_size=7, epochs=2)
    assert len(records) == 8
    assert all(np.isfinite(r.activation("activation_mean")).all() for r in records)
