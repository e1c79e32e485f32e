"""Training loops by hand that several tests watch: a net, its data, a step, and what it did."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tests.nets import L

UPDATES = 6
MODES = {
    "eager": lambda step: step,
    "graph": tf.function,
    "xla": lambda step: tf.function(step, jit_compile=True),
}


def net(seed=3, **options):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [L.Input((4,)), L.Dense(5, activation="relu", name="a"), L.Dense(2, name="b")], **options
    )


def data():
    x = np.random.default_rng(0).normal(size=(UPDATES, 8, 4)).astype("float32")
    return x, np.stack([x.sum(2), x[..., 0]], axis=2)


def make_step(model, optimizer, clip=None, variables=None):
    """A training step by hand that also returns the gradients it hands to the optimizer."""

    def step(x, y):
        mine = variables or model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, mine)
        if clip:
            gradients, _ = tf.clip_by_global_norm(gradients, clip)
        optimizer.apply(gradients, mine)
        return loss, gradients

    return step


def norms(tensors):
    return [np.linalg.norm(np.asarray(t, np.float64)) for t in tensors]


def run(step, watch, model):
    """Train; losses, norms of gradients and of changes, worked out beside the loop."""
    losses, gradients, changes = [], [], []
    for x, y in zip(*data(), strict=True):
        before = [np.float64(v.numpy()) for v in model.trainable_variables]
        loss, grads = step(tf.constant(x), tf.constant(y))
        after = [np.float64(v.numpy()) for v in model.trainable_variables]
        losses.append(float(loss))
        gradients.append(norms(grads))
        changes.append(norms([a - b for a, b in zip(after, before, strict=True)]))
        if watch is not None:
            watch.step(loss=loss)
    return losses, gradients, changes
