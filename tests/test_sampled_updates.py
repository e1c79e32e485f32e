"""Which updates of a real fit are sampled: schedules, ends of epochs, several per execution."""

import keras
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.testing import Recorder
from tests.nets import L, compile_, convnet, fit, images, scalars, tags


@pytest.mark.parametrize("steps_per_execution", [1, 7])
@pytest.mark.parametrize("frequency", [1, 2, 5, "auto", "epoch"])
def test_every_due_update_is_sampled(frequency, steps_per_execution, tmp_path):
    """Not only the last one of an execution, and no other."""
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=frequency, detectors=[recorder], histogram_freq=0)
    fit(convnet(steps_per_execution=steps_per_execution), watch, updates=11, epochs=2)
    steps = [record.step for record in recorder.records]
    named = {"auto": list(range(1, 23)), "epoch": [11, 22]}
    assert steps == (
        named[frequency] if frequency in named else list(range(frequency, 23, frequency))
    )


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_histograms_at_ends_of_epochs_and_early(steps_per_execution, tmp_path):
    """`histogram_freq` counts epochs; within them the series 1, 2, 3, 4, 6, 8, 11, 16, ..."""
    watch = tbwatch.Watch(tmp_path, histogram_freq=2)
    fit(convnet(steps_per_execution=steps_per_execution), watch, updates=5, epochs=4)
    found = tags(tmp_path)
    want = [1, 2, 3, 4, 6, 8, 10, 11, 16, 20]
    for tag in ("weights/conv1/kernel", "biases/fc1/bias", "gradients/out/kernel", "kernels/conv1"):
        assert found[tag] == want, tag
    assert "weights/fc1/bias" not in found


def test_epoch_of_unknown_length(tmp_path):
    """With a generator, the first update after the first epoch stands in for its last one.

    Keras counts one more iteration per epoch when a generator runs dry, so the four updates of an
    epoch are 1-4, 6-9 and 11-14.
    """
    x, y = images(32)

    def batches():
        for start in range(0, 32, 8):
            yield x[start : start + 8], y[start : start + 8]

    signature = (tf.TensorSpec([None, 8, 8, 1]), tf.TensorSpec([None], tf.int64))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    watch = tbwatch.Watch(tmp_path, update_freq="epoch", histogram_freq=0)
    convnet().fit(dataset, epochs=3, verbose=0, callbacks=[watch])
    assert list(scalars(tmp_path, "training/loss")) == [6, 9, 14]


@pytest.mark.parametrize("steps_per_execution", [2, 3])
def test_epoch_of_unknown_length_in_executions_of_several(steps_per_execution, tmp_path):
    """The last update of each epoch is found once its length is known."""
    x, y = images(56)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    dataset = dataset.filter(lambda *_: True)  # hides that there are 7 batches
    watch = tbwatch.Watch(tmp_path, update_freq="epoch", histogram_freq=0)
    convnet(steps_per_execution=steps_per_execution).fit(
        dataset, epochs=4, verbose=0, callbacks=[watch]
    )
    assert list(scalars(tmp_path, "training/loss")) == [8, 14, 21, 28]


def test_the_end_of_an_epoch_with_skipped_updates(tmp_path):
    """Where the optimizer leaves updates out, the last one of an epoch is still its last."""
    keras.utils.set_random_seed(3)
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3, name="out")])
    keras.config.set_dtype_policy(old)
    # The scale overflows float16, and is halved until it does not.
    inner = keras.optimizers.SGD(0.1)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**20)
    compile_(model, optimizer=outer)
    done = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            done.append(int(inner.iterations.numpy()))

    recorder = Recorder()
    options = {"update_freq": "epoch", "histogram_freq": 0, "detectors": [recorder]}
    fit(model, tbwatch.Watch(tmp_path, **options), Count(), updates=12, epochs=3)
    assert 0 < done[0] < 12, "some were skipped"
    assert done[1:] == [done[0] + 12, done[0] + 24]
    assert [record.step for record in recorder.records] == done


def test_epochs_of_zero(tmp_path, caplog):
    """Nothing to do is nothing to say."""
    fit(convnet(), tbwatch.Watch(tmp_path), epochs=0)
    assert not caplog.records
