"""An update whose loss is not finite is sampled, planned or not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tests.nets import convnet, images

MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 7},
}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mode", MODES)
def test_the_first_update_with_a_nonfinite_loss(mode, bad, tmp_path):
    """A bad sample weight in update 19 of 24, of which only 10 and 20 are planned."""
    x, y = images(24 * 8)
    weights = np.ones(len(y), np.float32)
    weights[18 * 8] = bad
    recorder = Recorder()
    watch = tbwatch.Watch(
        tmp_path, update_freq=10, histogram_freq=0, detectors=[recorder, "nonfinite"]
    )
    model = convnet(**MODES[mode])
    model.fit(x, y, 8, sample_weight=weights, shuffle=False, verbose=0, callbacks=[watch])
    records = [record for record in recorder.records if record.quantities]
    assert [record.step for record in records] == [10, 19, 20]
    assert records[1].loss_is_nonfinite
    assert not records[0].loss_is_nonfinite
    assert np.isfinite(records[1].activation("activation_std")).all()
    assert np.isfinite(records[1].quantity("weight_norm")).all(), "the weights before it are sound"
    assert not np.isfinite(records[1].quantity("gradient_norm")).all()
    assert watch.alerts[0].step == 19
    assert 19 in [record.step for record in read_run(tmp_path).records]


def test_it_is_told_at_once(tmp_path):
    """At the end of that very batch, where nothing at all is planned; and only once."""
    x, y = images(8 * 8)
    weights = np.ones(len(y), np.float32)
    weights[4 * 8 :] = np.nan
    recorder, seen = Recorder(), []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([record.step for record in recorder.records if record.quantities])

    watch = tbwatch.Watch(tmp_path, update_freq=1000, histogram_freq=0, detectors=[recorder])
    callbacks = [watch, Look()]
    convnet().fit(x, y, 8, sample_weight=weights, shuffle=False, verbose=0, callbacks=callbacks)
    assert seen == [*[[]] * 4, *[[5]] * 4]


def test_a_second_alarm_after_a_finite_loss(tmp_path):
    """Once the loss is finite again at a sample, the next bad update is sampled too."""
    x, y = images(40 * 8)
    weights = np.ones(len(y), np.float32)
    weights[[4 * 8, 24 * 8]] = np.nan  # updates 5 and 25: a bad loss, and bad gradients

    class Careful(keras.optimizers.SGD):
        """Leaves out gradients that are not finite."""

        def apply(self, grads, trainable_variables=None):
            sound = [tf.where(tf.math.is_finite(g), g, 0.0) for g in grads]
            super().apply(sound, trainable_variables)

    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=10, histogram_freq=0, detectors=[recorder])
    model = convnet(optimizer=Careful(0.01))
    model.fit(x, y, 8, sample_weight=weights, shuffle=False, verbose=0, callbacks=[watch])
    records = [record for record in recorder.records if record.quantities]
    assert [record.step for record in records] == [5, 10, 20, 25, 30, 40]
    assert [record.loss_is_nonfinite for record in records] == [
        True,
        *[False] * 2,
        True,
        *[False] * 2,
    ]
