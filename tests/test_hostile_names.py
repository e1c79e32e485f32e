"""Hostile names, strange variables and NaN everywhere: what is written stays safe and readable."""

from __future__ import annotations

import dataclasses
import html
import json
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch import cli, summaries
from tbwatch.judging import Panel
from tbwatch.layout import unique_names
from tbwatch.models import path_of
from tbwatch.reader import read_run
from tbwatch.testing import make_record
from tests.alert_cases import make_alert
from tests.board import LOADERS, Server
from tests.fault_programs import by_tensorboard
from tests.nets import L, convnet, tags

# Keras refuses "/" itself; TensorFlow refuses most of these as names of layers in a graph, but not
# as names of variables.
HOSTILE = [
    "..",
    "a\nb\tc",
    "\x1b[31mred\x07",
    "<script>alert(1)<",
    "\"q'`|*_[x](y)",
    "größe 漢字 😀",
    "case",
    "CASE",
    "x" * 10_000 + "1" + "x" * 10_000,
    "x" * 10_000 + "2" + "x" * 10_000,
    "",
]


class Named(L.Layer):
    """Scales its input by variables of these names; their gradient is zero."""

    def __init__(self, names):
        super().__init__(name="own")
        self.names = names

    def build(self, shape):
        self.scales = [
            self.add_weight(name=name, shape=(shape[-1],), initializer="ones")
            for name in self.names
        ]

    def call(self, x):
        for scale in self.scales:
            x = x * (1.0 + 0.0 * scale)
        return x


def model_with(layer, **compiled):
    model = keras.Sequential([L.Input((4,)), layer, L.Dense(1, name="out")])
    model.compile("sgd", "mse", jit_compile=False, **compiled)
    return model


def trained(model, log_dir, updates=8, **options):
    x = np.random.default_rng(0).normal(size=(8 * updates, 4)).astype("float32")
    watch = tbwatch.Watch(log_dir, update_freq=1, **options)
    model.fit(x, x[:, :1], batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    return watch


@pytest.fixture(scope="module", name="hostile")
def _hostile(tmp_path_factory):
    log_dir = tmp_path_factory.mktemp("hostile")
    names = [name for name in HOSTILE if name]
    watch = trained(model_with(Named(names)), log_dir / "run1", updates=30)
    return log_dir, watch


def test_hostile_names_make_safe_and_unique_tags(hostile):
    """One tag for each variable, of bounded length, and nothing in it that steers a terminal."""
    log_dir, watch = hostile
    layout = read_run(log_dir / "run1").records[-1].layout
    assert len(set(layout.names)) == len(layout.names) == len(HOSTILE) - 1 + 2
    assert all(name.isprintable() and len(name) <= 110 for name in layout.names)
    found = [tag for tag in tags(log_dir) if tag.startswith("gradient_norm/")]
    assert sorted(found) == sorted(f"gradient_norm/{name}" for name in layout.names)
    assert {"own/case", "own/CASE", "own/größe 漢字 😀"} <= set(layout.names)
    assert {v.layer for v in layout.variables} == {"own", "out"}
    assert watch.alerts, "their gradients are zero"


def test_hostile_names_in_a_terminal(hostile, capsys, caplog):
    """A line for each alert; no character that is not one to be shown; JSON is JSON."""
    log_dir, watch = hostile
    assert cli.main(["alerts", str(log_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    # A head, two lines for an alert (what, and what to do), and the count.
    raised = sum(alert.state != "cleared" for alert in watch.alerts)
    assert len(lines) == 2 + len(watch.alerts) + raised
    assert cli.main(["alerts", "--json", str(log_dir)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [alert["step"] for alert in data["runs"][0]["alerts"]] == [a.step for a in watch.alerts]
    for alert in watch.alerts:
        assert str(alert).isprintable()
        assert len(str(alert)) < 2000
    assert all(line.isprintable() for line in watch.report().splitlines())


@pytest.mark.parametrize("load_fast", LOADERS)
def test_hostile_names_in_tensorboard(hostile, load_fast):
    """Each curve can be asked for by its tag, and the text holds no markup of a name."""
    log_dir, _ = hostile
    names = read_run(log_dir / "run1").records[-1].layout.names
    run = "run1/tbwatch"
    server = Server(log_dir, load_fast)
    try:
        server.wait_for(lambda: run in server.json("/data/plugin/scalars/tags"))
        for name in names:
            ask = {"run": run, "tag": f"gradient_norm/{name}"}
            points = server.wait_for(
                lambda ask=ask: (
                    p if len(p := server.json("/data/plugin/scalars/scalars", **ask)) == 30 else 0
                )
            )
            assert len(points or []) == 30, name
        texts = server.wait_for(
            lambda: server.json("/data/plugin/text/text", run=run, tag="alerts")
        )
        text = "".join(entry["text"] for entry in texts)
        assert "<script" not in text
        assert "<a " not in text
        assert "<script>alert(1)<" in html.unescape(text)
    finally:
        server.stop()


def test_names_of_any_kind_become_short_and_unique():
    """Also names that are equal once they have been cut."""

    class Variable:
        def __init__(self, path):
            self.path = path

    names = unique_names(path_of(Variable(f"net/own/{name}"), "net") for name in HOSTILE)
    assert len(set(names)) == len(HOSTILE)
    assert all(name.isprintable() and len(name) <= 110 for name in names)
    assert path_of(Variable("net/own/\ud800\u202e"), "net") == "own/??"


class Kinds(L.Layer):
    """Holds variables of some shapes and types, and adds those that are real numbers."""

    def __init__(self, *kinds):
        super().__init__(name="own")
        self.kinds = kinds

    def build(self, shape):
        self.parts = [
            self.add_weight(
                name=f"v{at}", shape=size, dtype=dtype, trainable=train, initializer="zeros"
            )
            for at, (size, dtype, train) in enumerate(self.kinds)
        ]

    def call(self, x):
        for part in self.parts:
            if part.dtype == "float32":
                x = x + tf.reduce_sum(part)
            elif part.dtype == "complex64":
                x = x + tf.math.real(tf.reduce_sum(part.value))
        return x


@pytest.mark.parametrize("eager", [False, True])
def test_variables_of_any_kind(eager, tmp_path, caplog):
    """Real numbers are watched, what has no element or another type is left out, none fails."""
    layer = Kinds(
        ((), "float32", True),
        ((0,), "float32", True),
        ((2, 0), "float32", True),
        ((3,), "complex64", True),
        ((3,), "int32", True),
        ((3,), "bool", True),
        ((3,), "complex64", False),
        ((3,), "float16", True),
        ((3,), "float64", True),
    )
    trained(model_with(layer, run_eagerly=eager), tmp_path)
    run = read_run(tmp_path)
    names = {v.name for v in run.records[0].layout.variables}
    assert names == {"own/v0", "own/v7", "own/v8", "out/kernel", "out/bias"}
    assert [r.step for r in run.records if not r.is_last] == list(range(1, 9))
    assert "failed" not in caplog.text
    ratio = {
        name: run.records[3].quantity("gradient_norm")[row]
        for row, name in enumerate(run.records[3].layout.names)
    }
    assert ratio["own/v0"] > 0
    assert np.isnan(ratio["own/v8"])  # not connected


class NoUnits(L.Layer):
    """Hands on nothing."""

    def call(self, x):
        return x[:, :0]


@pytest.mark.parametrize("activations", ["auto", True])
def test_a_layer_without_units(activations, tmp_path, caplog):
    """Nothing is measured of it; the others are watched."""
    inputs = L.Input((4,))
    hidden = L.Dense(3, name="hidden")(inputs)
    both = L.Concatenate(name="both")([hidden, NoUnits(name="nothing")(hidden)])
    model = keras.Model(inputs, L.Dense(1, name="out")(both))
    model.compile("sgd", "mse", jit_compile=False)
    trained(model, tmp_path, activations=activations)
    layout = read_run(tmp_path).records[0].layout
    assert {"hidden", "out"} <= {a.name for a in layout.activations}
    assert "nothing" not in {a.name for a in layout.activations}
    assert "failed" not in caplog.text


def test_a_model_without_variables(tmp_path, caplog):
    """It is trained as Keras trains it, and a line says that there was nothing to watch."""
    model = keras.Sequential([L.Input((4,)), L.Activation("relu")])
    model.compile("sgd", "mse")
    x = np.ones((16, 4), "float32")
    with pytest.warns(UserWarning, match="any trainable weights"):
        model.fit(x, x, verbose=0, callbacks=[tbwatch.Watch(tmp_path)])
    assert "the model has no trainable variables" in caplog.text


@pytest.mark.parametrize("poison", ["weights", "inputs", "inf"])
def test_nan_from_the_first_update_on(poison, tmp_path):
    """One alert, and files that our reader and TensorBoard's can read."""
    model = convnet()
    x = np.random.default_rng(0).normal(size=(80, 8, 8, 1)).astype("float32")
    if poison == "weights":
        model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    else:
        x[:] = np.inf if poison == "inf" else np.nan
    watch = tbwatch.Watch(tmp_path, update_freq=1, flight_recorder=4)
    model.fit(x, np.zeros(80, int), batch_size=8, verbose=0, callbacks=[watch])
    assert [(a.step, a.state, a.diagnosis) for a in watch.alerts] == [(1, "raised", "nonfinite")]
    run = read_run(tmp_path)
    assert run.alerts == watch.alerts or str(run.alerts) == str(watch.alerts)  # NaN is not NaN
    assert not run.notes
    assert [r.step for r in run.records if not r.is_last] == list(range(1, 11))
    if poison == "weights":  # NaN does not pass relu on the CPU
        assert all(np.isnan(record.loss) for record in run.records)
    steps = by_tensorboard(tmp_path, "training/active_alerts")
    assert steps == list(range(1, 11))


def test_judging_a_long_run_takes_no_more_memory():
    """What the detectors remember of 2400 records is what they remember of 1200."""
    rng, panel, sizes = np.random.default_rng(0), Panel(), []
    for step in range(1, 2401):
        ratio, norm = rng.uniform(5e-4, 2e-3), rng.uniform(0.5, 2.0)
        loss = step**-0.5 + 0.01 * rng.normal()
        record = make_record(step, update_ratio=ratio, gradient_norm=norm, loss=loss)
        panel.update(dataclasses.replace(record, global_gradient_norm=norm))
        if step in (1200, 2400):
            sizes.append(len(pickle.dumps(panel)))
    assert sizes[1] < 1.02 * sizes[0]


def test_a_text_about_thousands_of_variables_stays_short(tmp_path):
    """The log, the report and TensorBoard name a few and count the others; the list has all."""
    variables = [f"block_{number}/kernel" for number in range(2000)]
    alert = make_alert(variables=tuple(variables))
    assert len(str(alert)) < 600
    assert "1995 more" in str(alert)
    assert len(summaries.alerts_markdown([alert])) < 2000
    assert "1980 more" in summaries.alerts_markdown([alert])
    assert len(summaries.alerts_markdown([alert] * 1000)) < 100_000
    stored = json.loads(summaries.packed_alerts([alert]).tensor.string_val[0])
    assert stored[0]["variables"] == variables
