"""A small ConvNet on MNIST, watched by tbwatch.

    python examples/mnist_convnet.py                  learns well, no alert
    python examples/mnist_convnet.py --init normal    all weights and biases from N(0, 1)

Two convolutions (5x5x32, 5x5x64), two dense layers (1024, 10), Adam at 1e-3, batches of 128.
Its three epochs of 468 updates take about a minute and a half on two cores.

With Keras's own initial weights 99 % of the test digits are right after one epoch. With weights
from N(0, 1) the loss starts in the ten thousands, it is 95 % after one epoch, and filters look
frozen in every picture. They are not: Adam moves each weight by about the learning rate, which is
little beside weights of that size. The alert says so, and names the cure.
"""

from __future__ import annotations

import keras
from _common import (
    add_init,
    initializers,
    load_or_exit,
    make_batches,
    make_parser,
    plan_updates,
    print_report,
)

import tbwatch


def build_model(init: str | None) -> keras.Model:
    """Two convolutions, two dense layers: 28 x 28 grey pictures to ten logits."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(
                32, 5, padding="same", activation="relu", name="conv1", **initializers(init)
            ),
            layers.MaxPooling2D(2),
            layers.Conv2D(
                64, 5, padding="same", activation="relu", name="conv2", **initializers(init)
            ),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1024, activation="relu", name="fc1", **initializers(init)),
            layers.Dropout(0.25),
            layers.Dense(10, name="out", **initializers(init)),
        ],
        name="mnist_convnet",
    )


def main() -> None:
    """Trains, tests, and prints the alerts."""
    parser = make_parser(__doc__, "mnist_convnet", epochs=3, batch_size=128, learning_rate=1e-3)
    add_init(parser)
    options = parser.parse_args()
    train, test = load_or_exit(parser, options.data)
    epochs, steps = plan_updates(len(train[0]), options.batch_size, options.epochs, options.steps)
    keras.utils.set_random_seed(options.seed)
    model = build_model(options.init)
    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    watch = tbwatch.Watch(options.log_dir)
    model.fit(
        make_batches(train, options.batch_size, shuffle_seed=options.seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        callbacks=[watch],
    )
    _, accuracy = model.evaluate(make_batches(test, 500), verbose=0)
    print_report(accuracy, len(test[0]), watch.alerts, options.log_dir)


if __name__ == "__main__":
    main()
