"""What a loop by hand calls: `attach` with its arguments, `step`, `end_epoch` and `close`."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tests.loop_programs import UPDATES, data, make_step, net


class _Read:
    """A number that tells when it is read."""

    reads = 0

    def __float__(self):
        type(self).reads += 1
        return 1.5


def test_a_loss_is_read_only_where_it_is_sampled(tmp_path):
    """A tensor on a device would make the loop wait."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = tf.function(make_step(model, optimizer))
    x, y = map(tf.constant, data())
    options = {"optimizer": optimizer, "update_freq": 5, "histogram_freq": 0}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        for _ in range(21):
            step(x[0], y[0])
            watch.step(loss=_Read())
    records = [record for record in read_run(tmp_path).records if not record.is_last]
    assert [(record.step, record.loss) for record in records] == [(s, 1.5) for s in (5, 10, 15, 20)]
    assert _Read.reads <= 2 * len(records)  # whether it is a number, and which


def test_epochs_alerts_and_stopping(tmp_path):
    """`end_epoch` counts epochs, alerts are there at once, and `should_stop` follows `stop_on`."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    heard: list[tbwatch.Alert] = []
    step = tf.function(make_step(model, optimizer))
    x, y = map(tf.constant, data())
    with tbwatch.attach(
        model,
        tmp_path,
        optimizer=optimizer,
        update_freq=1,
        stop_on="nonfinite",
        on_alert=heard.append,
    ) as watch:
        for _ in range(2):
            for at in range(UPDATES):
                step(x[at], y[at])
                watch.step()
            watch.end_epoch()
        assert not watch.should_stop
        step(x[0] * np.nan, y[0])
        watch.step()
        assert watch.should_stop
        assert [alert.diagnosis for alert in watch.alerts] == ["nonfinite"]
    assert heard == watch.alerts
    assert "nonfinite" in watch.report()
    epochs = [record.epoch for record in read_run(tmp_path).records if not record.is_last]
    assert epochs == [0] * UPDATES + [1] * UPDATES + [2]


def test_a_step_that_was_never_traced(tmp_path, caplog):
    """Nothing happened, so nothing is said; closing twice is closing once."""
    watch = tbwatch.attach(net(), tmp_path, optimizer=keras.optimizers.SGD(0.1))
    watch.close()
    watch.close()
    watch.step()
    watch.end_epoch()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_arguments(tmp_path):
    """One sentence: what was given, what is allowed."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    with pytest.raises(TypeError, match=r"model must be a keras\.Model; got 3\."):
        tbwatch.attach(3, tmp_path)
    with pytest.raises(TypeError, match=r"optimizer must be a Keras optimizer, or None .*; got "):
        tbwatch.attach(model, tmp_path)
    with pytest.raises(TypeError, match=r"optimizer must be .*; got 'sgd'\."):
        tbwatch.attach(model, tmp_path, optimizer="sgd")
    with pytest.raises(TypeError, match=r"optimizer must be .*; got 'sgd'\."):
        tbwatch.Watch(tmp_path, optimizer="sgd")
    with pytest.raises(ValueError, match=r"updates_per_step must be an int of at least 1; got 0\."):
        tbwatch.attach(model, tmp_path, optimizer=optimizer, updates_per_step=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'freq'"):
        tbwatch.attach(model, tmp_path, optimizer=optimizer, freq=3)
    with (
        tbwatch.attach(model, tmp_path, optimizer=optimizer),
        pytest.raises(ValueError, match="optimizer is watched already"),
    ):
        tbwatch.attach(model, tmp_path, optimizer=optimizer)
    tbwatch.attach(model, tmp_path, optimizer=optimizer).close()


def test_a_pattern_that_matches_nothing(tmp_path):
    """Told as soon as the variables are known, as an error."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = make_step(model, optimizer)
    x, y = map(tf.constant, data())
    with (
        tbwatch.attach(model, tmp_path, optimizer=optimizer, include="conv*"),
        pytest.raises(ValueError, match=r"'conv\*' matches no variable; the model has: a/k"),
    ):
        step(x[0], y[0])
