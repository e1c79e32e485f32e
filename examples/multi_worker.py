"""One net on several workers: tf.distribute.MultiWorkerMirroredStrategy, watched by tbwatch.

    python examples/multi_worker.py                two workers on this machine
    TF_CONFIG=... python examples/multi_worker.py  this process as the worker that TF_CONFIG says

`fit` of Keras 3 does not run under this strategy, so the loop is written by hand. Every worker
attaches; the first one (the chief) writes. The gradient that is recorded is the sum over all
workers, which is what each of them applies: the numbers are those of one device that gets the
whole batch.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import keras
import tensorflow as tf
from _common import load_or_exit, make_batches, make_parser, plan_updates, print_alerts

import tbwatch


def build_model() -> keras.Model:
    """One hidden layer: 28 x 28 grey pictures to ten logits."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="fc1"),
            layers.Dense(10, name="out"),
        ],
        name="multi_worker",
    )


def start_workers(count: int, arguments: Sequence[str]) -> int:
    """Runs this script as so many processes on the loopback; the exit status of the first."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("localhost", 0))
    addresses = [f"localhost:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    workers = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        output = None if index == 0 else subprocess.DEVNULL
        command = [sys.executable, __file__, *arguments]
        workers.append(subprocess.Popen(command, env=environment, stdout=output))
    return max(worker.wait() for worker in workers)


def main() -> None:
    """Trains, and prints the alerts on the chief."""
    parser = make_parser(__doc__, "multi_worker", epochs=1, batch_size=64, learning_rate=0.1)
    options = parser.parse_args()
    if "TF_CONFIG" not in os.environ:
        sys.exit(start_workers(2, [*sys.argv[1:], "--log-dir", options.log_dir]))
    # Before anything else: the workers wait for each other here.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    train, _ = load_or_exit(parser, options.data)
    epochs, steps = plan_updates(len(train[0]), options.batch_size, options.epochs, options.steps)
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model = build_model()
        optimizer = keras.optimizers.SGD(options.learning_rate)
        optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    batches = make_batches(train, options.batch_size, shuffle_seed=options.seed)
    shares = iter(strategy.experimental_distribute_dataset(batches))

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def train_step(batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        def on_one_replica(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                # Each replica adds its part of the mean over the whole batch.
                loss = loss_of(labels, model(images, training=True)) / options.batch_size
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
            return loss

        losses = strategy.run(on_one_replica, args=batch)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    with tbwatch.attach(model, options.log_dir, optimizer=optimizer) as watch:
        for epoch in range(epochs):
            for _ in range(steps):
                loss = train_step(next(shares))
                watch.step(loss=loss)
            watch.end_epoch()
            print(f"Epoch {epoch + 1} of {epochs}: loss {float(loss):.3f}")
    print_alerts(watch.alerts, options.log_dir)


if __name__ == "__main__":
    main()
