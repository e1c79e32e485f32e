"""Two nets with an optimizer each: every watch records the updates of its own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.testing import Recorder
from tests.loop_programs import MODES, norms
from tests.nets import L


def _gan():
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([L.Input((3,)), L.Dense(4, name="g1")], name="generator")
    critic = keras.Sequential([L.Input((4,)), L.Dense(1, name="d1")], name="critic")
    return generator, critic


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_two_models_and_two_optimizers(mode, tmp_path):
    """Each watch sees the updates of its own optimizer, and knows of the other one."""
    generator, critic = _gan()
    for_g, for_c = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)
    bce = keras.losses.BinaryCrossentropy(from_logits=True)

    def step(real, noise):
        with tf.GradientTape() as tape:
            made = generator(noise, training=True)
            loss_c = bce(tf.ones((8, 1)), critic(real, training=True))
            loss_c += bce(tf.zeros((8, 1)), critic(made, training=True))
        of_c = tape.gradient(loss_c, critic.trainable_variables)
        for_c.apply(of_c, critic.trainable_variables)
        with tf.GradientTape() as tape:
            loss_g = bce(tf.ones((8, 1)), critic(generator(noise, training=True), training=True))
        of_g = tape.gradient(loss_g, generator.trainable_variables)
        for_g.apply(of_g, generator.trainable_variables)
        return loss_g, loss_c, of_g, of_c

    step = MODES[mode](step)
    rng = np.random.default_rng(0)
    recorders = Recorder(), Recorder()
    expected = []
    with (
        tbwatch.attach(
            generator, tmp_path / "g", optimizer=for_g, update_freq=1, detectors=[recorders[0]]
        ) as watch_g,
        tbwatch.attach(
            critic, tmp_path / "c", optimizer=for_c, update_freq=1, detectors=[recorders[1]]
        ) as watch_c,
    ):
        for _ in range(4):
            noise = tf.constant(rng.normal(size=(8, 3)), tf.float32)
            real = tf.constant(rng.normal(size=(8, 4)), tf.float32)
            loss_g, loss_c, of_g, of_c = step(real, noise)
            expected.append((norms(of_g), norms(of_c), float(loss_g), float(loss_c)))
            watch_g.step(loss=loss_g)
            watch_c.step(loss=loss_c)
    for recorder, names, at in zip(
        recorders, [("g1/kernel", "g1/bias"), ("d1/kernel", "d1/bias")], (0, 1), strict=True
    ):
        records = [record for record in recorder.records if not record.is_last]
        assert [record.step for record in records] == [1, 2, 3, 4]
        assert records[0].layout.names == names
        assert records[0].layout.setup.optimizers == 2
        for record, numbers in zip(records, expected, strict=True):
            np.testing.assert_allclose(record.quantity("gradient_norm"), numbers[at], 1e-5)
            assert record.loss == pytest.approx(numbers[2 + at], rel=1e-6)


class _Gan(keras.Model):
    """Trains two nets in a step of its own; `compile` knows a third, unused optimizer."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = _gan()
        self.for_g, self.for_c = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)

    def train_step(self, data):
        real, noise = data
        with tf.GradientTape(persistent=True) as tape:
            made = self.critic(self.generator(noise, training=True), training=True)
            loss_c = tf.reduce_mean(made) - tf.reduce_mean(self.critic(real, training=True))
            loss_g = -tf.reduce_mean(made)
        for net, loss, optimizer in (
            (self.critic, loss_c, self.for_c),
            (self.generator, loss_g, self.for_g),
        ):
            optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return {"loss": loss_g}


def test_a_train_step_with_optimizers_of_its_own(tmp_path, caplog):
    """One `Watch` for each optimizer, in one `fit`; without them, the warning names the way."""
    gan = _Gan()
    gan.compile(jit_compile=False)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 3))
    recorders = Recorder(), Recorder()
    watches = [
        tbwatch.Watch(tmp_path / name, optimizer=optimizer, update_freq=1, detectors=[recorder])
        for name, optimizer, recorder in zip("gc", (gan.for_g, gan.for_c), recorders, strict=True)
    ]
    gan.fit(x, y, batch_size=8, verbose=0, callbacks=watches)
    names = [recorder.records[0].layout.names for recorder in recorders]
    assert names == [
        ("generator/g1/kernel", "generator/g1/bias"),
        ("critic/d1/kernel", "critic/d1/bias"),
    ]
    for recorder in recorders:
        records = [record for record in recorder.records if not record.is_last]
        assert [record.step for record in records] == [1, 2, 3, 4]
        assert records[0].layout.setup.optimizers > 1
        assert np.isfinite([r.quantity("update_ratio") for r in records]).all()
    assert not vars(gan).keys() & {"make_train_function"}
    assert not caplog.records
    gan.fit(x, y, batch_size=8, verbose=0, callbacks=[tbwatch.Watch(tmp_path / "none")])
    (said,) = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert "hand that to Watch(optimizer=...)" in said
