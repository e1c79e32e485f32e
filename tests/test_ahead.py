"""A watched step is traced once: what its first trace would make is there before."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.capture import Capture
from tbwatch.reader import read_run
from tests.nets import L, convnet, fit


class Traces(L.Layer):
    """Counts how often its Python code runs while a step is traced; hands on what it gets."""

    count = 0

    def call(self, x):
        self.count += not tf.executing_eagerly()
        return x


def counted(**compiled):
    """A net that is built, so that every later call of its layers belongs to a trace."""
    keras.utils.set_random_seed(1)
    layer = Traces()
    model = keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), layer, L.Dense(3, name="out")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": "adam", "loss": loss, "jit_compile": False, **compiled})
    layer.count = 0
    return model, layer


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("metrics", [None, ["accuracy"]])
def test_a_watched_step_is_traced_once(metrics, jit_compile, tmp_path):
    """Keras alone traces it twice, since the first trace makes the optimizer's variables."""
    plain, layer = counted(metrics=metrics, jit_compile=jit_compile)
    fit(plain)
    assert layer.count == 2
    model, layer = counted(metrics=metrics, jit_compile=jit_compile)
    fit(model, tbwatch.Watch(tmp_path, update_freq=1))
    assert layer.count == 1


def data(kind):
    """Inputs, targets and an output layer, for which "accuracy" means different things."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    classes = rng.integers(0, 3, 64)
    return {
        "numbers of classes": (x, classes, 3, "softmax", "sparse_categorical_crossentropy"),
        "in a column": (x, classes[:, None], 3, "softmax", "sparse_categorical_crossentropy"),
        "one-hot": (x, np.eye(3)[classes], 3, "softmax", "categorical_crossentropy"),
        "binary": (x, classes[:, None] % 2, 1, "sigmoid", "binary_crossentropy"),
    }[kind]


KINDS = ["numbers of classes", "in a column", "one-hot", "binary"]


def trained(kind, style, *callbacks):
    """History, and names of all variables that the step made."""
    x, y, units, activation, loss = data(kind)
    keras.utils.set_random_seed(2)
    inputs = L.Input((6,))
    out = L.Dense(units, activation=activation, name="out")(L.Dense(8, name="hidden")(inputs))
    model = keras.Model(inputs, out) if style != "subclassed" else Subclassed(units, activation)
    model(x[:2])
    optimizer = keras.optimizers.Adam(0.01, name="inner")
    if style == "loss scale":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="outer")
    model.compile(optimizer, loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    weights = np.linspace(0.5, 1.5, 64)
    history = model.fit(
        x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, sample_weight=weights,
        callbacks=list(callbacks),
    )  # fmt: skip
    variables = [*model.optimizer.variables, *model.metrics_variables]
    return history.history, [(v.path, v.shape, v.dtype) for v in variables]


class Subclassed(keras.Model):
    """Does not say what its output is before it is called."""

    def __init__(self, units, activation):
        super().__init__(name="net")
        self.hidden = L.Dense(8, name="hidden")
        self.out = L.Dense(units, activation=activation, name="out")

    def call(self, x):
        return self.out(self.hidden(x))


@pytest.mark.parametrize("style", ["functional", "loss scale", "subclassed"])
@pytest.mark.parametrize("kind", KINDS)
def test_metrics_and_variables_are_those_of_keras(kind, style, tmp_path):
    """Which accuracy it is depends on the shapes of targets and outputs."""
    watch = tbwatch.Watch(tmp_path, update_freq=1)
    assert trained(kind, style, watch) == trained(kind, style)


def test_wrong_metrics_are_for_keras_to_tell(tmp_path):
    """The error is the one that is raised without us."""
    says = []
    for callbacks in ([], [tbwatch.Watch(tmp_path)]):
        model = convnet(metrics=["no such metric"])
        with pytest.raises(ValueError, match="no such metric") as caught:
            fit(model, *callbacks)
        says.append(str(caught.value))
    assert says[0] == says[1]


def test_a_failure_ahead_ends_no_run(tmp_path, monkeypatch):
    """Keras makes in the trace what could not be made before it."""
    monkeypatch.setattr("tbwatch.ahead.has_own_step", lambda model: 1 / 0)
    model = convnet(metrics=["accuracy"])
    history = fit(model, tbwatch.Watch(tmp_path, update_freq=1)).history
    assert history == fit(convnet(metrics=["accuracy"])).history
    assert [r.step for r in read_run(tmp_path).records if not r.is_last] == list(range(1, 9))


class OwnMetrics(keras.Sequential):
    """Hands other targets to the metrics than the step got."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, tf.one_hot(y, 3), y_pred, sample_weight)


def test_a_model_with_metrics_of_its_own(tmp_path):
    """Its `compute_metrics` decides what they see: nothing is built ahead of it."""

    def history(*callbacks):
        keras.utils.set_random_seed(2)
        model = OwnMetrics([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
        return fit(model, *callbacks).history

    assert history(tbwatch.Watch(tmp_path)) == history()


@pytest.mark.parametrize(("mode", "times"), [("graph", 1), ("eager", 8)])
def test_hooks_are_in_place_while_a_step_is_traced_or_run_eagerly(
    mode, times, tmp_path, monkeypatch
):
    """Not at the other updates: there they would cost time."""
    entered = []
    original = Capture.instrumented

    @contextlib.contextmanager
    def instrumented(self):
        entered.append(1)
        with original(self):
            yield

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert "apply" not in vars(self.model.optimizer)
            assert all("call" not in vars(layer) for layer in self.model.layers)

    monkeypatch.setattr(Capture, "instrumented", instrumented)
    watch = tbwatch.Watch(tmp_path, update_freq=1)
    fit(convnet(run_eagerly=mode == "eager"), Look(), watch)
    assert len(entered) == times


def test_a_training_function_of_the_models_own(tmp_path):
    """It is used, with the hooks around it."""
    runs = []

    class Own(keras.Sequential):
        def make_train_function(self, force=False):
            made = super().make_train_function(force) or self.train_function

            def counting(iterator):
                runs.append(1)
                return made(iterator)

            self.train_function = counting

    keras.utils.set_random_seed(2)
    model = Own([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    fit(model, tbwatch.Watch(tmp_path, update_freq=1))
    assert [r.step for r in read_run(tmp_path).records if not r.is_last] == list(range(1, 9))
    assert len(runs) == 8
