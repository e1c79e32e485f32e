"""Custom training loops: what is recorded is what the optimizer was handed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tests.loop_programs import MODES, UPDATES, data, make_step, net, norms, run
from tests.nets import tags


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_recorded_is_what_happened(mode, clip, tmp_path):
    """Norms, losses and steps equal those worked out beside the loop; clipping by hand shows."""
    model, optimizer, recorder = net(), keras.optimizers.Adam(0.01), Recorder()
    step = MODES[mode](make_step(model, optimizer, clip))
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        losses, gradients, changes = run(step, watch, model)
    records = recorder.records[:UPDATES]
    assert [record.step for record in records] == list(range(1, UPDATES + 1))
    assert records[0].layout.names == ("a/kernel", "a/bias", "b/kernel", "b/bias")
    for record, loss, of_gradients, of_changes in zip(
        records, losses, gradients, changes, strict=True
    ):
        np.testing.assert_allclose(record.loss, loss, 1e-6)
        np.testing.assert_allclose(record.quantity("gradient_norm"), of_gradients, 1e-5)
        np.testing.assert_allclose(record.quantity("update_norm"), of_changes, 1e-5)
        np.testing.assert_allclose(
            record.global_gradient_norm, np.sqrt(np.sum(np.square(of_gradients))), 1e-5
        )
    if clip:
        assert max(record.global_gradient_norm for record in records) <= clip * (1 + 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_weights_are_bit_equal(mode, tmp_path):
    """Same seed, watched and not."""
    weights = []
    for watched in (True, False):
        model, optimizer = net(), keras.optimizers.Adam(0.01)
        step = MODES[mode](make_step(model, optimizer))
        if watched:
            with tbwatch.attach(model, tmp_path, optimizer=optimizer, update_freq=1) as watch:
                run(step, watch, model)
        else:
            run(step, None, model)
        weights.append([v.numpy() for v in [*model.variables, *optimizer.variables]])
    assert tags(tmp_path)["update_ratio/a/kernel"] == list(range(1, UPDATES + 1))
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


def test_activations_are_those_of_the_training_step(tmp_path):
    """Calls of the model between two steps, as for validation, are not taken for the step's."""
    model, optimizer, recorder = net(), keras.optimizers.SGD(0.0), Recorder()
    step = make_step(model, optimizer)
    x, y = data()
    other = tf.constant(100 + x[0])
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        for batch in range(3):
            step(tf.constant(x[batch]), tf.constant(y[batch]))
            watch.step()
            model(other)
            model.predict(other, verbose=0)
    hidden = [np.maximum(x[at] @ model.get_weights()[0], 0) for at in range(3)]
    for record, expected in zip(recorder.records, hidden, strict=False):
        assert [a.name for a in record.layout.activations] == ["a", "b"]
        if record.activations:
            mean = record.activation("activation_mean")[0]
            assert mean == pytest.approx(expected.mean(), rel=1e-5)
    assert sum(bool(record.activations) for record in recorder.records) == 3


def test_an_optimizer_of_some_variables(tmp_path):
    """Only those that it gets are watched, in the order of the model, not as they are handed on."""
    model, optimizer, recorder = net(), keras.optimizers.SGD(0.1), Recorder()
    kernel_a, _, kernel_b, _ = model.trainable_variables
    step = tf.function(make_step(model, optimizer, variables=[kernel_b, kernel_a]))
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        _, gradients, _ = run(step, watch, model)
    assert recorder.records[0].layout.names == ("a/kernel", "b/kernel")
    of_b, of_a = gradients[0]
    np.testing.assert_allclose(recorder.records[0].quantity("gradient_norm"), [of_a, of_b], 1e-5)


def test_several_updates_in_one_call(tmp_path):
    """A loop inside of a tf.function: `updates_per_step` makes room for all of them."""
    model, optimizer = net(), keras.optimizers.SGD(0.1)
    step = make_step(model, optimizer)
    x, y = map(tf.constant, data())

    @tf.function
    def several():
        for at in tf.range(UPDATES):
            step(x[at], y[at])

    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, updates_per_step=UPDATES, update_freq=1
    ) as watch:
        for _ in range(3):
            several()
            watch.step()
    steps = [record.step for record in read_run(tmp_path).records if not record.is_last]
    assert steps == list(range(1, 3 * UPDATES + 1))


def test_accumulation_and_loss_scaling(tmp_path):
    """Steps are real updates, gradients and losses those of the unscaled loss."""
    model, recorder = net(), Recorder()
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
    expected, losses = [], []

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, gradients

    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        for x, y in zip(*data(), strict=True):
            loss, gradients = step(tf.constant(x), tf.constant(y))
            losses.append(loss.numpy())
            expected.append([g.numpy() / 64 for g in gradients])
            watch.step()
    records = [record for record in recorder.records if not record.is_last]
    assert [record.step for record in records] == [1, 2, 3]
    for at, record in enumerate(records):
        pair = zip(expected[2 * at], expected[2 * at + 1], strict=True)
        means = norms([(a + b) / 2 for a, b in pair])
        np.testing.assert_allclose(record.quantity("gradient_norm"), means, 1e-5)
        assert record.loss_is_known  # `scale_loss` has seen it
        np.testing.assert_allclose(record.loss, losses[2 * at + 1], 1e-6)
        assert record.loss_scale == 64
