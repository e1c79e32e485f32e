"""A training loop of one's own on MNIST, watched by tbwatch.

    python examples/custom_loop.py                    an epoch: learns well, no alert
    python examples/custom_loop.py --clip 1e-4        gradients clipped by hand, far too low

A dense net (256, 256, 10), SGD with momentum, batches of 128. The training step is a tf.function
with a GradientTape. What tbwatch records is the gradient that the optimizer is handed, so clipping
by hand shows: with `--clip 1e-4` updates are so small that the loss stands still, and an alert
says so.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from _common import load_or_exit, make_batches, make_parser, plan_updates, positive, print_report

import tbwatch


def build_model() -> keras.Model:
    """Two hidden layers: 28 x 28 grey pictures to ten logits."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(256, activation="relu", name="fc1"),
            layers.Dense(256, activation="relu", name="fc2"),
            layers.Dense(10, name="out"),
        ],
        name="custom_loop",
    )


def main() -> None:
    """Trains, tests, and prints the alerts."""
    parser = make_parser(__doc__, "custom_loop", epochs=1, batch_size=128, learning_rate=0.05)
    parser.add_argument("--clip", type=positive, help="largest norm of all gradients together")
    options = parser.parse_args()
    train, test = load_or_exit(parser, options.data)
    epochs, steps = plan_updates(len(train[0]), options.batch_size, options.epochs, options.steps)
    keras.utils.set_random_seed(options.seed)
    model = build_model()
    optimizer = keras.optimizers.SGD(options.learning_rate, momentum=0.9)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        if options.clip:
            gradients, _ = tf.clip_by_global_norm(gradients, options.clip)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    batches = iter(make_batches(train, options.batch_size, shuffle_seed=options.seed))
    # Before the first call of the step: what is traced earlier is not watched.
    with tbwatch.attach(model, options.log_dir, optimizer=optimizer) as watch:
        for epoch in range(epochs):
            for _ in range(steps):
                loss = train_step(*next(batches))
                watch.step(loss=loss)
            watch.end_epoch()
            print(f"Epoch {epoch + 1} of {epochs}: loss {float(loss):.3f}")
    right = keras.metrics.SparseCategoricalAccuracy()
    for images, labels in make_batches(test, 500):
        right.update_state(labels, model(images))
    print_report(float(right.result()), len(test[0]), watch.alerts, options.log_dir)


if __name__ == "__main__":
    main()
