"""Custom training loops: which hooks are left behind, and what they hear."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tbwatch.watched_training import WatchedTraining
from tests.loop_programs import UPDATES, data, make_step, net, run
from tests.nets import tags


def test_a_function_that_was_traced_before(tmp_path, caplog):
    """It is not instrumented: said once, with the way out; nothing wrong is recorded."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = tf.function(make_step(model, optimizer))
    run(step, None, model)
    with tbwatch.attach(model, tmp_path, optimizer=optimizer) as watch:
        run(step, watch, model)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert "wrap it with tf.function anew" in said
    assert tags(tmp_path) == {}


def test_nothing_is_left_but_operations_that_rest(tmp_path):
    """Closed, the optimizer and the layers are plain; the traced step trains on and writes nothing.

    A step that is traced anew is watched again.
    """
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    activation = model.layers[0].activation
    body = make_step(model, optimizer)
    step = tf.function(body)
    with tbwatch.attach(model, tmp_path / "1", optimizer=optimizer, update_freq=1) as watch:
        assert "apply" in vars(optimizer)
        run(step, watch, model)
    assert not vars(optimizer).keys() & {"apply", "scale_loss"}
    assert model.layers[0].activation is activation
    assert not any("call" in vars(layer) for layer in [model, *model.layers])
    written = tags(tmp_path / "1")
    weights = model.get_weights()
    run(step, None, model)
    assert int(optimizer.iterations) == 2 * UPDATES
    assert any((a != b).any() for a, b in zip(weights, model.get_weights(), strict=True))
    assert tags(tmp_path / "1") == written
    with tbwatch.attach(model, tmp_path / "2", optimizer=optimizer, update_freq=1) as watch:
        run(tf.function(body), watch, model)
    steps = [record.step for record in read_run(tmp_path / "2").records]
    assert steps[:UPDATES] == list(range(2 * UPDATES + 1, 3 * UPDATES + 1))


def test_a_flight_recorder_rests_too(tmp_path):
    """A step that goes on without its watch computes no norms for it."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = tf.function(make_step(model, optimizer))
    options = {"optimizer": optimizer, "flight_recorder": 100}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        training = watch._session._training
        run(step, watch, model)
        assert len(training.flight_log().steps) == UPDATES
    run(step, None, model)
    assert int(optimizer.iterations) == 2 * UPDATES
    assert len(training.flight_log().steps) == UPDATES


def test_an_eager_loop_hears_its_own_step_only(tmp_path):
    """A pass on a tape for another purpose, after the update, is no part of the next step."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step, recorder = make_step(model, optimizer), Recorder()
    x, y = map(tf.constant, (data()[0][0], data()[1][0]))
    options = {"optimizer": optimizer, "update_freq": 1, "detectors": [recorder]}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        for _ in range(3):
            mean = float(tf.reduce_mean(model.layers[0](x)))
            watch.step(loss=step(x, y))
            with tf.GradientTape() as tape:
                tape.watch(x)
                tf.reduce_sum(model(100.0 * x))
            taps = watch._session._capture._taps
            assert taps._heard
            watch.step()
            assert not taps._heard
            known = recorder.records[-1].activation("activation_mean")[0]
            np.testing.assert_allclose(known, mean, rtol=1e-5)


@pytest.mark.parametrize("order", ["first", "last"])
def test_two_watches_of_the_same_layers_leave_nothing(order, tmp_path):
    """Whichever is closed first, and the one that is left goes on."""
    model = net()
    optimizers = [keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)]
    recorders = [Recorder(), Recorder()]
    watches = [
        tbwatch.attach(model, tmp_path / str(n), optimizer=o, update_freq=1, detectors=[r])
        for n, (o, r) in enumerate(zip(optimizers, recorders, strict=True))
    ]
    gone, kept = (0, 1) if order == "first" else (1, 0)
    heard = watches[gone]._session._capture._taps._heard
    watches[gone].close()
    run(make_step(model, optimizers[kept]), watches[kept], model)
    assert not heard
    watches[kept].close()
    assert [len(recorders[n].records) for n in (gone, kept)] == [0, UPDATES]
    assert recorders[kept].records[-1].activations
    assert not any("call" in vars(layer) for layer in [model, *model.layers])
    for each in optimizers:
        assert not vars(each).keys() & {"apply", "scale_loss"}


def test_an_eager_loop_asks_the_device_when_it_is_due(tmp_path, monkeypatch):
    """Not after each step: with every fifth update sampled, after every fifth."""
    asked, collect = [], WatchedTraining.collect
    monkeypatch.setattr(WatchedTraining, "collect", lambda self: asked.append(1) or collect(self))
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    recorder = Recorder()
    options = {"optimizer": optimizer, "update_freq": 5, "histogram_freq": 0}
    with tbwatch.attach(model, tmp_path, detectors=[recorder], **options) as watch:
        step, (x, y) = make_step(model, optimizer), data()
        for _ in range(40):
            step(tf.constant(x[0]), tf.constant(y[0]))
            watch.step()
    assert [record.step for record in recorder.records] == list(range(5, 41, 5))
    assert len(asked) <= 10


def test_an_exception_in_the_loop(tmp_path):
    """It passes; the optimizer is plain, and what was recorded is readable."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = make_step(model, optimizer)
    x, y = data()

    def loop():
        with tbwatch.attach(model, tmp_path, optimizer=optimizer, update_freq=1) as watch:
            for batch in range(3):
                step(tf.constant(x[batch]), tf.constant(y[batch]))
                watch.step()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert "apply" not in vars(optimizer)
    assert [r.step for r in read_run(tmp_path).records if not r.is_last] == [1, 2, 3]
