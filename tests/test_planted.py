"""Frozen layers planted in the MNIST ConvNet are named by an alert; the plain net has none.

Real MNIST where it is at hand, digits rendered by the examples otherwise.
"""

import importlib.util
import pathlib
import sys

import keras
import numpy as np
import pytest

import tbwatch
from tests.nets import L, compile_

ROOT = pathlib.Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"


@pytest.fixture(scope="module", name="digits")
def _digits():
    """3200 digits."""
    if MNIST.exists():
        with np.load(MNIST) as data:
            images, labels = data["x_train"][:3200], data["y_train"][:3200]
    else:
        spec = importlib.util.spec_from_file_location("_data", ROOT / "examples" / "_data.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["_data"] = module
        spec.loader.exec_module(module)
        images, labels = module.render_digits(3200, seed=0)
    return images[..., None].astype("float32") / 255, labels.astype("int64")


def _convnet(conv1=None, conv2=None, fc1=None, between=None, **compiled):
    """The ConvNet of the example at half width, with a fault put in."""
    keras.utils.set_random_seed(1)
    stack = [
        L.Input((28, 28, 1)),
        L.Conv2D(16, 5, padding="same", activation="relu", name="conv1", **(conv1 or {})),
        L.MaxPooling2D(),
        L.Conv2D(32, 5, padding="same", activation="relu", name="conv2", **(conv2 or {})),
        L.MaxPooling2D(),
        *(between or []),
        L.Flatten(),
        L.Dense(128, activation="relu", name="fc1", **(fc1 or {})),
        L.Dropout(0.25),
        L.Dense(10, name="out"),
    ]
    return compile_(keras.Sequential(stack), **compiled)


def _alerts(model, digits, log_dir, **watch):
    watch = tbwatch.Watch(log_dir, histogram_freq=0, **watch)
    model.fit(*digits, batch_size=64, verbose=0, callbacks=[watch])
    return watch.alerts


def _named(alerts):
    return {(alert.diagnosis, name) for alert in alerts for name in alert.variables}


# At the default rate of SGD, 50 updates are too few for rendered digits: the loss is still stuck.
LEARNS = {"adam": "adam", "sgd": keras.optimizers.SGD(0.1)}


@pytest.mark.parametrize("optimizer", LEARNS)
def test_the_plain_net_is_silent(optimizer, digits, tmp_path):
    """No alert of any severity on a run that learns."""
    assert _alerts(_convnet(optimizer=LEARNS[optimizer]), digits, tmp_path) == []


class SlowKernel(keras.optimizers.SGD):
    """Multiplies the learning rate of one layer's variables by 1e-9."""

    def update_step(self, gradient, variable, learning_rate):
        slow = tuple(variable.shape) == (5, 5, 16, 32)
        super().update_step(gradient, variable, learning_rate * (1e-9 if slow else 1.0))


def test_tiny_learning_rate_of_one_layer(digits, tmp_path):
    """Only the layer whose updates are lost is named, with the rate as its cause."""
    alerts = _alerts(_convnet(optimizer=SlowKernel(0.1)), digits, tmp_path)
    assert {name for _, name in _named(alerts)} == {"conv2/kernel"}
    assert alerts[0].diagnosis in ("lost_update", "dead_update")
    assert alerts[0].step == 21


def test_tiny_learning_rate_of_all(digits, tmp_path):
    """Adam at 1e-11: every kernel is named."""
    alerts = _alerts(_convnet(optimizer=keras.optimizers.Adam(1e-11)), digits, tmp_path)
    kernels = {f"{layer}/kernel" for layer in ("conv1", "conv2", "fc1", "out")}
    assert kernels <= {name for _, name in _named(alerts)}
    assert all(alert.severity in ("critical", "warning") for alert in alerts)


@pytest.mark.parametrize("stddev", [1.0, 100.0])
def test_huge_initial_weights_of_one_layer(stddev, digits, tmp_path):
    """The layer is named with the init as its cause, not the learning rate."""
    init = {"kernel_initializer": keras.initializers.RandomNormal(stddev=stddev)}
    alerts = _alerts(_convnet(fc1=init), digits, tmp_path)
    assert ("weights_too_large", "fc1/kernel") in _named(alerts)


def test_a_dead_relu(digits, tmp_path):
    """A layer whose ReLUs never fire has no gradient, and neither has what lies before it."""
    dead = {"bias_initializer": keras.initializers.Constant(-100.0)}
    alerts = _alerts(_convnet(conv2=dead), digits, tmp_path)
    alert, stuck = alerts
    assert (alert.step, alert.diagnosis, alert.severity) == (21, "dead_relu", "critical")
    assert alert.variable == "conv2/activation"
    assert {"conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias"} <= set(alert.variables)
    assert "out/bias" not in alert.variables
    assert (stuck.step, stuck.diagnosis) == (50, "loss_stuck")
    assert "Behind it: dead_relu of conv2/activation." in stuck.message


class _Stop(keras.layers.Layer):
    """Lets no gradient through."""

    def call(self, x):
        return keras.ops.stop_gradient(x)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_stop_gradient(digits, tmp_path):
    """Exact, and known at the first update."""
    (alert,) = _alerts(_convnet(between=[_Stop()]), digits, tmp_path)
    assert (alert.step, alert.diagnosis) == (1, "not_connected")
    assert alert.variables == ("conv1/kernel", "conv1/bias", "conv2/kernel", "conv2/bias")


def test_weight_decay_does_not_hide_a_dead_layer(digits, tmp_path):
    """AdamW moves the dead layer 4e-6 per update; without activations the alert says what does."""
    dead = {"bias_initializer": keras.initializers.Constant(-100.0)}
    optimizer = keras.optimizers.AdamW(1e-3)
    model = _convnet(conv2=dead, optimizer=optimizer)
    alerts = _alerts(model, digits, tmp_path, activations=False)
    assert {("decay_only", "conv1/kernel"), ("decay_only", "conv2/kernel")} <= _named(alerts)


def test_an_l2_penalty_does_not_hide_a_dead_layer(digits, tmp_path):
    """With Adam and a penalty the dead layer moves at full speed, toward zero."""
    dead = {
        "bias_initializer": keras.initializers.Constant(-100.0),
        "kernel_regularizer": keras.regularizers.L2(1e-4),
    }
    alerts = _alerts(_convnet(conv2=dead), digits, tmp_path, activations=False)
    assert ("regularisation_only", "conv2/kernel") in _named(alerts)
    assert alerts[0].variable == "conv2/kernel"
    assert ("regularisation_only", "conv1/kernel") in _named(alerts), "starved by the same"


class _Poison(keras.callbacks.Callback):
    """Makes the kernel of a layer NaN before a batch."""

    def __init__(self, layer, batch):
        super().__init__()
        self.layer, self.batch = layer, batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            kernel = self.model.get_layer(self.layer).kernel
            kernel.assign(kernel * np.nan)


def test_nan_names_the_update_and_stops(digits, tmp_path):
    """A NaN from update 31 on: said at that very update, and the training stops if asked to."""
    model, heard = _convnet(), []
    watch = tbwatch.Watch(tmp_path, stop_on={"nonfinite"}, on_alert=heard.append)
    model.fit(*digits, batch_size=64, verbose=0, callbacks=[watch, _Poison("conv2", 30)])
    assert [alert.step for alert in watch.alerts] == [31]
    assert watch.alerts == heard
    assert watch.alerts[0].severity == "critical"
    assert "conv2/kernel" in watch.alerts[0].variables
    assert int(model.optimizer.iterations.numpy()) == 31


def test_nan_between_two_samples_is_said_at_once(digits, tmp_path):
    """At a sparse frequency the update is sampled all the same at which the loss turns NaN."""
    watch = tbwatch.Watch(tmp_path, update_freq=25, histogram_freq=0)
    model = _convnet()
    model.fit(*digits, batch_size=64, verbose=0, callbacks=[_Poison("out", 12), watch])
    (alert,) = watch.alerts
    assert (alert.step, alert.diagnosis) == (13, "nonfinite")
    assert alert.variable == "out/kernel", "the one whose weights were lost first"
    assert "loss" in alert.variables


def test_a_learning_rate_of_zero_is_no_fault(digits, tmp_path):
    """A schedule that ends at zero, and a fine-tuning with a frozen base."""
    schedule = keras.optimizers.schedules.PolynomialDecay(1e-2, 25, end_learning_rate=0.0)
    assert _alerts(_convnet(optimizer=keras.optimizers.SGD(schedule)), digits, tmp_path) == []
    model = _convnet()
    for name in ("conv1", "conv2"):
        model.get_layer(name).trainable = False
    assert _alerts(compile_(model), digits, tmp_path) == []
