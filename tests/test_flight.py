"""The flight recorder: norms of each of the last updates, written when it matters."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import tbwatch
from tbwatch.alerts import Finding
from tbwatch.flight_log import NO_GRADIENT, FlightLog
from tbwatch.reader import read_run
from tests.nets import convnet, fit, tags
from tests.truth import expected, truth_model

L = keras.layers
NAMES = ("h/kernel", "h/bias", "out/kernel", "out/bias", "unused/kernel")


class Alarm:
    """A detector that is alarmed at one update."""

    name = "alarm"

    def __init__(self, step, severity="critical"):
        self.step, self.severity = step, severity

    def update(self, record):
        if record.step != self.step:
            return []
        return [Finding("alarm", "alarm", self.severity, "out/kernel", "!", 1.0, 0.0, "Run.")]

    def reset(self):
        pass


def _model(**compiled):
    keras.utils.set_random_seed(1)
    inputs = L.Input((6,))
    hidden = L.Dense(400, activation="relu", name="h")(inputs)  # one variable is not packed
    aside = L.Dense(200, use_bias=False, name="unused")(hidden)
    outputs = L.Dense(200, name="out")(hidden) + keras.ops.stop_gradient(aside)
    model = truth_model(inputs, outputs, calls=40)
    options = {"optimizer": keras.optimizers.SGD(1e-3), "loss": "mse", "jit_compile": False}
    model.compile(**{**options, **compiled})
    return model


def _fit(model, watch, updates):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4 * updates, 6)).astype("float32")
    y = rng.normal(size=(4 * updates, 200)).astype("float32")
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[watch])


@pytest.mark.parametrize(
    "compiled",
    [
        {},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"steps_per_execution": 7},
        {"optimizer": keras.optimizers.SGD, "accumulation": 2},
    ],
)
def test_it_holds_what_happened(compiled, tmp_path):
    """The last 8 updates before the alert, each of them, though only every 14th is sampled."""
    accumulation = compiled.pop("accumulation", 1)
    if accumulation > 1:
        optimizer = compiled["optimizer"](1e-3, gradient_accumulation_steps=accumulation)
        compiled = {**compiled, "optimizer": optimizer}
    model = _model(**compiled)
    alarm = Alarm(14)
    watch = tbwatch.Watch(
        tmp_path,
        update_freq=14 * accumulation,
        histogram_freq=0,
        detectors=[alarm],
        flight_recorder=8,
    )
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        _fit(model, watch, 14 * accumulation)
    log = read_run(tmp_path).flight
    assert log.steps.tolist() == list(range(7, 15))
    assert log.names == tuple(v.path for v in model.trainable_variables)
    assert sorted(log.names) == sorted(NAMES)
    has_gradient = np.array(log.names) != "unused/kernel"
    assert (log.gradient_norm[:, ~has_gradient] == NO_GRADIENT).all()
    truths = expected(model, accumulation)
    for at, step in enumerate(log.steps):
        truth, found = truths[step], log.gradient_norm[at]
        np.testing.assert_allclose(
            found[has_gradient], truth.gradient_norm[has_gradient], rtol=1e-5
        )
        np.testing.assert_allclose(log.weight_norm[at], truth.weight_norm, rtol=1e-5)
        np.testing.assert_allclose(log.loss[at], truth.loss, rtol=1e-5)


@pytest.mark.parametrize(("severity", "recorder"), [("warning", 8), ("critical", 0)])
def test_it_is_written_only_for_critical_alerts(severity, recorder, tmp_path):
    """Nor is anything written, or kept, where it was not asked for."""
    watch = tbwatch.Watch(tmp_path, detectors=[Alarm(5, severity)], flight_recorder=recorder)
    fit(convnet(), watch)
    assert len(watch.alerts) == 2, "raised and cleared"
    assert read_run(tmp_path).flight is None
    assert not {"tbwatch/flight", "flight_recorder"} & set(tags(tmp_path))


def test_a_run_that_dies_of_nan_leaves_its_last_updates(tmp_path):
    """The alert that comes with a NaN loss brings the updates before it, on the disk at once."""

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 6:
                self.model.get_layer("out").bias.assign([np.nan, 0.0, 0.0])

    watch = tbwatch.Watch(tmp_path, update_freq=100, flight_recorder=4, stop_on="nonfinite")
    fit(convnet(), Poison(), watch, updates=20)
    log = read_run(tmp_path).flight
    assert log.steps.tolist() == [4, 5, 6, 7]
    assert np.isfinite(log.gradient_norm[:3]).all()
    assert np.isfinite(log.loss).tolist() == [True, True, True, False]
    assert "flight_recorder" in tags(tmp_path)


def test_a_table_and_back():
    """Numbers of updates beyond float32's seven digits stay exact."""
    steps = np.arange(2**31 + 1, 2**31 + 4)
    norms = np.array([[1.0, -1.0], [2.0, -1.0], [np.nan, -1.0]], np.float32)
    log = FlightLog(("a", "b"), steps, np.array([1, 2, np.nan], np.float32), norms, norms + 5)
    same = FlightLog.from_table(log.to_table(2**31 + 3), 2**31 + 3, ["a", "b"])
    assert same.steps.tolist() == steps.tolist()
    np.testing.assert_array_equal(same.gradient_norm, norms)
    np.testing.assert_array_equal(same.weight_norm, norms + 5)
    np.testing.assert_array_equal(same.loss, log.loss)
    assert log.rows(last=2) == [
        ("update", "loss", "gradient norm", "largest in", "norm"),
        (str(2**31 + 2), "2", "2", "a", "2"),
        (str(2**31 + 3), "nan", "nan", "a", "nan"),
    ]


@pytest.mark.parametrize(
    "table", [np.zeros(4), np.zeros((2, 5)), np.full((2, 4), np.nan), np.full((1, 4), np.inf)]
)
def test_a_table_that_is_none(table):
    """Wrong shapes and numbers are refused with a sentence."""
    with pytest.raises(ValueError, match="flight recorder left out"):
        FlightLog.from_table(table, 3, ["a"])


def test_the_command(tmp_path):
    """A line per update, or JSON with every norm."""
    fit(convnet(), tbwatch.Watch(tmp_path, detectors=[Alarm(6)], flight_recorder=3))
    command = [sys.executable, "-m", "tbwatch", "flight", str(tmp_path)]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["4", "5", "6"]
    out = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    (run,) = json.loads(out)["runs"]
    assert [update["update"] for update in run["updates"]] == [4, 5, 6]
    names = read_run(tmp_path).records[0].layout.names
    assert tuple(run["updates"][0]["gradient_norm"]) == names


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "10", None])
def test_wrong_arguments(wrong, tmp_path):
    """One sentence that says what is allowed."""
    with pytest.raises(ValueError, match="flight_recorder must be a number of updates"):
        tbwatch.Watch(tmp_path, flight_recorder=wrong)
