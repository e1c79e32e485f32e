"""Programs on several devices, run by tests in processes of their own.

    python tests/replica_programs.py mirrored OUT
    TF_CONFIG=... python tests/replica_programs.py workers OUT LOG_DIR UPDATES

Logical devices and a cluster must be set up before TensorFlow is first used, and a process that is
killed must not be that of the tests.
"""

from __future__ import annotations

import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf

import tbwatch
from tbwatch.testing import Recorder

QUANTITIES = ("weight_norm", "gradient_norm", "update_norm", "update_ratio", "window_change")
UPDATES = 6
BATCH = 8


def data(updates: int = UPDATES):
    """One batch after the other."""
    x = np.random.default_rng(0).normal(size=(updates * BATCH, 4)).astype("float32")
    return x, np.stack([x.sum(1), x[:, 0]], axis=1)


def net() -> keras.Model:
    """Two dense layers."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="relu", name="a"),
            keras.layers.Dense(2, name="b"),
        ]
    )


def numbers(recorder: Recorder) -> list[dict]:
    """What was recorded, as plain numbers."""
    return [
        {
            "step": r.step,
            "loss": r.loss,
            "global": r.global_gradient_norm,
            "names": r.layout.names,
            "activations": [a.name for a in r.layout.activations],
            **{q: [float(value) for value in r.quantity(q)] for q in QUANTITIES},
        }
        for r in recorder.records
        if not r.is_last
    ]


def strategies():
    """One device, and two replicas in one process."""
    devices = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    return tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def fitted(strategy, log_dir, optimizer, watched=True, **compiled):
    """Trained by `fit`; records and final weights."""
    recorder = Recorder()
    with strategy.scope():
        model = net()
        model.compile(optimizer(), "mse", **{"jit_compile": False, **compiled})
    watch = tbwatch.Watch(log_dir, update_freq=1, detectors=[recorder])
    x, y = data()
    model.fit(x, y, BATCH, shuffle=False, verbose=0, callbacks=[watch] if watched else [])
    return numbers(recorder), [w.tolist() for w in model.get_weights()]


def looped(strategy, log_dir, updates=UPDATES, watched=True, steps_done=lambda number: None):
    """Trained by a loop of its own; records and final weights."""
    with strategy.scope():
        model, optimizer, recorder = net(), keras.optimizers.SGD(0.1, momentum=0.9), Recorder()
        optimizer.build(model.trainable_variables)
    batches = tf.data.Dataset.from_tensor_slices(data(updates)).batch(BATCH)
    shares = iter(strategy.experimental_distribute_dataset(batches))

    @tf.function
    def step(batch):
        def on_one_replica(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(model(x, training=True) - y)) / (2 * BATCH)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
            return loss

        losses = strategy.run(on_one_replica, args=batch)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    options = {"optimizer": optimizer, "update_freq": 1, "detectors": [recorder]}
    watch = tbwatch.attach(model, log_dir, **options) if watched else None
    for number in range(1, updates + 1):
        loss = step(next(shares))
        if watch is not None:
            watch.step(loss=loss)
        steps_done(number)
    if watch is not None:
        watch.close()
    return numbers(recorder), [w.numpy().tolist() for w in model.weights]


def mirrored(out: str) -> None:
    """All that is compared in one process: one device and two, `fit` and loop, watched and not."""
    one, two = strategies()
    found = {}
    modes = {
        "plain": (lambda: keras.optimizers.SGD(0.1, momentum=0.9), {}),
        "decay": (lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1), {}),
        "clipped": (lambda: keras.optimizers.SGD(0.1, clipnorm=0.01), {}),
        "scaled": (
            lambda: keras.optimizers.LossScaleOptimizer(
                keras.optimizers.SGD(0.1), initial_scale=64.0
            ),
            {},
        ),
    }
    for mode, (optimizer, compiled) in modes.items():
        found[mode] = {
            "one": fitted(one, f"{out}.logs/{mode}1", optimizer, **compiled),
            "two": fitted(two, f"{out}.logs/{mode}2", optimizer, **compiled),
            "two_plain": fitted(two, "unused", optimizer, watched=False, **compiled),
        }
    found["loop"] = {
        "one": looped(one, f"{out}.logs/loop1"),
        "two": looped(two, f"{out}.logs/loop2"),
        "two_plain": looped(two, "unused", watched=False),
    }
    with open(out, "w") as file:
        json.dump(found, file)


def workers(out: str, log_dir: str, updates: str) -> None:
    """This process is one of several workers; tells of each step on stdout."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    found = looped(
        strategy, log_dir, int(updates), steps_done=lambda number: print(number, flush=True)
    )
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    {"mirrored": mirrored, "workers": workers}[sys.argv[1]](*sys.argv[2:])
