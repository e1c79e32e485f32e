"""A replay of the recorded run comes to the alerts of the live run."""

import keras
import numpy as np
import pytest

import tbwatch
from tbwatch.detectors import make_detectors
from tbwatch.reader import read_run
from tbwatch.replay import replayed
from tests.nets import compile_, convnet, fit, images

L = keras.layers


class Poison(keras.callbacks.Callback):
    """Makes a weight NaN before a batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            bias = self.model.get_layer("out").bias
            bias.assign(bias * np.nan)


def _dead(**compiled):
    keras.utils.set_random_seed(3)
    dead = keras.initializers.Constant(-50.0)
    model = keras.Sequential(
        [
            L.Input((8, 8, 1)),
            L.Flatten(),
            L.Dense(8, activation="relu", bias_initializer=dead, name="fc1"),
            L.Dense(8, activation="tanh", name="fc2"),
            L.Dense(3, name="out"),
        ]
    )
    return compile_(model, **compiled)


def _same(watch, log_dir):
    """The alerts of the live run and of a replay, as plain data without wall times."""
    run = read_run(log_dir)
    again = replayed(run, make_detectors(None))
    live = [alert.to_json() for alert in watch.alerts]
    assert [alert.to_json() for alert in run.alerts] == live
    assert [alert.to_json() for alert in again.alerts] == live
    now = {name: a.to_json() for a in watch.holding for name in a.variables}
    assert {name: alert.to_json() for name, alert in again.holding.items()} == now
    assert {name: alert.to_json() for name, alert in run.holding.items()} == now
    return live


@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 7}, {"jit_compile": True}])
def test_a_dead_layer(compiled, tmp_path):
    """Alerts in mid-run and at the end of the fit, with histograms at updates of their own."""
    watch = tbwatch.Watch(tmp_path)
    fit(_dead(**compiled), watch, updates=60)
    live = _same(watch, tmp_path)
    assert {alert["diagnosis"] for alert in live} >= {"dead_relu", "loss_stuck"}


def test_nan(tmp_path):
    """The update that was sampled because of its loss is in the file too."""
    watch = tbwatch.Watch(tmp_path, update_freq=10)
    fit(convnet(), Poison(13), watch, updates=40)
    assert [alert["step"] for alert in _same(watch, tmp_path)] == [14]


def test_several_fits_go_on(tmp_path):
    """A second fit with the same callback is one run, over two files."""
    watch, model = tbwatch.Watch(tmp_path), _dead()
    fit(model, watch, updates=15)
    assert watch.alerts == []
    fit(model, watch, updates=30)
    assert _same(watch, tmp_path)


def test_a_fault_that_lasts_through_a_second_fit(tmp_path):
    """It is not raised anew, and readers of the second file know that it holds."""
    watch, model = tbwatch.Watch(tmp_path), _dead()
    fit(model, watch, updates=60)
    raised = [(alert.step, alert.diagnosis) for alert in watch.alerts]
    fit(model, watch, updates=20)
    assert [(alert.step, alert.diagnosis) for alert in watch.alerts] == raised
    assert _same(watch, tmp_path)
    assert {alert.diagnosis for alert in read_run(tmp_path).holding.values()} >= {"dead_relu"}


def test_what_holds_is_known_from_the_first_record_of_a_second_fit(tmp_path):
    """Also if that fit never comes to its end."""
    watch, model = tbwatch.Watch(tmp_path), _dead()
    fit(model, watch, updates=60)
    held = set(read_run(tmp_path).holding)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(model, watch, Stop())
    run = read_run(tmp_path)
    assert 61 <= run.records[-1].step <= 66
    assert set(run.holding) == held != set()


def test_another_model_in_the_same_directory(tmp_path):
    """Detectors begin anew with it; the records say so."""
    watch = tbwatch.Watch(tmp_path)
    fit(_dead(), watch, updates=30)
    fit(convnet(), watch, updates=40)
    firsts = [record.step for record in read_run(tmp_path).records if record.is_first]
    assert firsts == [1]
    assert watch.alerts == [], "of the model that is watched now"
    assert replayed(read_run(tmp_path), make_detectors(None)).alerts == []


def test_a_sparse_second_watch_sees_what_is_written_for_it(tmp_path):
    """Two directories, two frequencies: each is judged by what lies in it."""
    dense = tbwatch.Watch(tmp_path / "dense", update_freq=1)
    sparse = tbwatch.Watch(tmp_path / "sparse", update_freq=9, histogram_freq=0)
    fit(_dead(), dense, sparse, updates=60)
    assert _same(dense, tmp_path / "dense") != _same(sparse, tmp_path / "sparse")


def test_the_end_of_a_fit_is_recorded(tmp_path):
    """One record without quantities, after the last sample; not after Ctrl-C."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                raise KeyboardInterrupt

    fit(convnet(), tbwatch.Watch(tmp_path / "whole"))
    *samples, last = read_run(tmp_path / "whole").records
    assert last.is_last
    assert not last.quantities
    assert (last.step, last.loss) == (8, samples[-1].loss)
    assert [record.step for record in samples] == list(range(1, 9))
    with pytest.raises(KeyboardInterrupt):
        fit(convnet(), tbwatch.Watch(tmp_path / "cut"), Stop())
    assert not any(record.is_last for record in read_run(tmp_path / "cut").records)


def test_a_report_of_nothing_is_no_good_news(tmp_path, caplog):
    """Before a fit, and after one that had nothing to train."""
    watch = tbwatch.Watch(tmp_path)
    assert watch.report().startswith("Nothing was recorded: pass the watch to fit")
    model = convnet()
    model.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    fit(model, watch, updates=2)
    assert watch.report().startswith("Nothing was recorded")
    assert "the model has no trainable variables" in caplog.text


def test_the_report(tmp_path):
    """What is left is ranked, and says what to do; without activations it says what is missing."""
    watch = tbwatch.Watch(tmp_path, activations=False)
    fit(_dead(), watch, updates=60)
    lines = watch.report().splitlines()
    assert lines[0].startswith("1. critical zero_gradient, since update 1: fc1/kernel, fc1/bias")
    assert any(line.strip().startswith("->") for line in lines)
    assert "not judged" in watch.report()
    assert "dead_relu" in watch.report()
    x, _ = images(8)
    assert np.isfinite(watch.model.predict(x, verbose=0)).all()
