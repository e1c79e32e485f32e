"""Models of all kinds in real fits: nested, built late, compiled anew, with steps of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.testing import Recorder
from tests.nets import L, compile_, convnet, fit, images, tags


def _recorded(model, tmp_path, fits=1, **options):
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    for _ in range(fits):
        fit(model, watch, **options)
    return recorder.records


def _names(model, tmp_path):
    return _recorded(model, tmp_path, updates=2)[0].layout.names


def test_nested_shared_and_same_named_layers(tmp_path):
    """Each trainable variable once, in forward order, with a name of its own."""
    inner_in = L.Input((6, 6, 4))
    inner = keras.Model(inner_in, L.Conv2D(3, 3, name="conv")(inner_in), name="inner")

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.conv, self.inner, self.flat = L.Conv2D(4, 3, name="conv"), inner, L.Flatten()
            self.shared = L.Dense(4, name="shared")
            self.twins = [keras.Sequential([L.Dense(2, name="twin")], name="b") for _ in range(2)]
            self.out = L.Dense(3, name="out")

        def call(self, x):
            x = self.conv(x)
            x = self.flat(self.inner(self.shared(x) + self.shared(2 * x)))
            return self.out(keras.ops.concatenate([twin(x) for twin in self.twins], axis=-1))

    model = compile_(Net())
    names = _names(model, tmp_path)
    assert len(names) == len(set(names)) == len(model.trainable_variables) == 12
    assert names[:2] == ("conv/kernel", "conv/bias")
    assert [name for name in names if "twin" in name] == [
        "b/twin/kernel",
        "b/twin/bias",
        "b/twin/kernel_1",
        "b/twin/bias_1",
    ]


class _Subclassed(keras.Model):
    """Built only when the first batch arrives."""

    def __init__(self):
        super().__init__(name="mine")
        self.hidden = L.Dense(5, activation="relu", name="hidden")
        self.flat, self.out = L.Flatten(), L.Dense(3, name="out")

    def call(self, x):
        return self.out(self.hidden(self.flat(x)))


@pytest.mark.parametrize("mode", [{}, {"run_eagerly": True}, {"steps_per_execution": 3}])
def test_a_model_that_is_not_built_yet(mode, tmp_path):
    """The first update is seen too, with the weights as they were initialised."""
    keras.utils.set_random_seed(0)
    model = compile_(_Subclassed(), **mode)
    records = _recorded(model, tmp_path, updates=4)
    assert [record.step for record in records] == [1, 2, 3, 4]
    assert records[0].layout.names == ("hidden/kernel", "hidden/bias", "out/kernel", "out/bias")
    keras.utils.set_random_seed(0)
    twin = _Subclassed()
    twin(images(8)[0])
    norms = [np.linalg.norm(np.asarray(v)) for v in twin.trainable_variables]
    np.testing.assert_allclose(records[0].quantity("weight_norm"), norms, 1e-6)


class _OnThirdBatch(keras.callbacks.Callback):
    """Does something to the model in the middle of a fit."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            self.action(self.model)


def _train_on_batch(model):
    x, y = images(8)
    model.train_on_batch(x, y)


@pytest.mark.parametrize(
    ("action", "extra"),
    [(_train_on_batch, 1), (lambda model: model.make_train_function(force=True), 0)],
)
def test_another_callback_rebuilds_the_step(action, extra, tmp_path):
    """The training goes on, and so does the watching."""
    model, recorder = convnet(), Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    fit(model, _OnThirdBatch(action), watch)
    assert int(model.optimizer.iterations.numpy()) == 8 + extra
    steps = [record.step for record in recorder.records]
    assert steps[:3] == [1, 2, 3]
    assert steps[-3:] == [6 + extra, 7 + extra, 8 + extra]


def test_a_model_compiled_anew_is_watched_from_its_first_update(tmp_path):
    """A fresh optimizer begins at 1, however long the model was trained before."""
    model = convnet()
    fit(model, updates=6)
    fit(model, tbwatch.Watch(tmp_path / "a"), updates=2)
    model.optimizer.iterations.assign(0)  # the same optimizer, wound back
    fit(model, tbwatch.Watch(tmp_path / "c"), updates=2)
    assert tags(tmp_path / "c")["training/loss"] == [1, 2]
    compile_(model, optimizer="sgd")
    recorder = Recorder()
    fit(model, tbwatch.Watch(tmp_path / "b", detectors=[recorder]), updates=4)
    assert tags(tmp_path / "a")["training/loss"] == [7, 8]
    assert [record.step for record in recorder.records] == [1, 2, 3, 4]


class Twice(keras.Sequential):
    """Applies its optimizer twice per batch."""

    def train_step(self, data):
        super().train_step(data)
        return super().train_step(data)


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_more_than_one_update_per_batch(steps_per_execution, tmp_path):
    """A training step may call the optimizer as often as it likes."""
    model = Twice([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    compile_(model, steps_per_execution=steps_per_execution)
    records = _recorded(model, tmp_path, updates=6)
    assert [record.step for record in records] == list(range(1, 13))


class NoOptimizer(keras.Sequential):
    """Trains nothing, and has no optimizer to do it with."""

    def train_step(self, data):
        return {"loss": tf.constant(0.5)}


def test_a_model_without_an_optimizer(tmp_path, caplog):
    """It runs, and one line says that nothing is watched."""
    model = NoOptimizer([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    model.compile(optimizer=None, loss="mse")
    fit(model, tbwatch.Watch(tmp_path))
    assert [r.getMessage() for r in caplog.records] == [
        "tbwatch: nothing is watched: the model has no optimizer."
    ]
