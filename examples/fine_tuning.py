"""A ConvNet trained on the digits 0 to 4, then fine-tuned on 5 to 9, watched by tbwatch.

    python examples/fine_tuning.py                          learns well, no alert
    python examples/fine_tuning.py --fault scaled_twice     new pixels are divided by 255 twice
    python examples/fine_tuning.py --fault detached         a stop_gradient is left behind the base

Three trainings of an epoch each: all of the net on the first five digits; then a new head on the
other five, before it the base, frozen by `trainable=False`; then the base as well, at a tenth of
the learning rate. The last two are watched, in `<log_dir>/head` and `<log_dir>/all`. Weights that
are frozen on purpose raise no alert: `tbwatch summary` lists them.

On MNIST the first training ends with 98.5 % of the test digits right, the new head with 81.3 %, the
whole net with 95.5 %. The faults:

    scaled_twice    the new net scales its pixels, which are scaled already, as with a base that
                    brings its own scaling: to the frozen base all pictures are nearly black. The
                    alert is `signal_lost`, and 21.1 % are right until the base may adapt
    detached        what once froze the base is forgotten when it is to be trained: a stop_gradient.
                    The alert is `not_connected`, with each weight of the base, and 81.9 % are right
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from _common import load_or_exit, make_batches, make_parser, plan_updates, print_report
from _data import Digits

import tbwatch

CLASSES = 5


def choose_digits(digits: Digits, first: int) -> Digits:
    """The five digits from `first` on, with labels from 0 to 4."""
    images, labels = digits
    chosen = (labels >= first) & (labels < first + CLASSES)
    return images[chosen], (labels[chosen] - first).astype(np.uint8)


def build_base() -> keras.Model:
    """28 x 28 grey pictures from 0 to 1, to 64 features: what is learned once and used again."""
    layers = keras.layers
    parts = [keras.Input((28, 28, 1))]
    for name, channels in (("conv1", 16), ("conv2", 32), ("conv3", 64)):
        parts += [
            layers.Conv2D(channels, 3, padding="same", use_bias=False, name=name),
            layers.BatchNormalization(momentum=0.9, name=f"{name}_norm"),
            layers.ReLU(name=f"{name}_relu"),
            layers.MaxPooling2D(2),
        ]
    return keras.Sequential([*parts, layers.GlobalAveragePooling2D()], name="base")


class StopGradient(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Hands on its input, and no gradient back."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """The input."""
        return tf.stop_gradient(x)


def add_head(base: keras.Model, fault: str | None, *, new: bool) -> keras.Model:
    """A net of `base` and a dense layer of five logits behind it.

    Args:
        base: What `build_base` gives, trained or not.
        fault: What is done wrong, None for nothing.
        new: For the new digits: batch normalization keeps the means and variances of the old ones,
            also when the base is trained on.
    """
    images = keras.Input((28, 28, 1))
    x = keras.layers.Rescaling(1 / 255)(images) if fault == "scaled_twice" else images
    features = base(x, training=False) if new else base(x)
    if fault == "detached":
        features = StopGradient()(features)
    return keras.Model(images, keras.layers.Dense(CLASSES, name="head")(features))


def train(
    model: keras.Model,
    digits: Digits,
    learning_rate: float,
    options: argparse.Namespace,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Compiles, for what is trainable may have changed, and trains."""
    epochs, steps = plan_updates(len(digits[0]), options.batch_size, options.epochs, options.steps)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        make_batches(digits, options.batch_size, shuffle_seed=options.seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        callbacks=list(callbacks),
    )


def measure(model: keras.Model, digits: Digits) -> float:
    """The share of digits that are found."""
    _, accuracy = model.evaluate(make_batches(digits, 500), verbose=0)
    return float(accuracy)


def main(argv: Sequence[str] | None = None) -> list[tbwatch.Alert]:
    """Trains three times, tests, and prints the alerts; returns them."""
    parser = make_parser(__doc__, "fine_tuning", epochs=1, batch_size=128, learning_rate=1e-3)
    parser.add_argument("--fault", choices=("scaled_twice", "detached"), help="see above")
    options = parser.parse_args(argv)
    train_digits, test_digits = load_or_exit(parser, options.data)
    keras.utils.set_random_seed(options.seed)

    print("The whole net, on 0 to 4:")
    base = build_base()
    model = add_head(base, None, new=False)
    train(model, choose_digits(train_digits, 0), options.learning_rate, options)
    print(f"Test accuracy on 0 to 4: {measure(model, choose_digits(test_digits, 0)):.3f}")

    new, test = choose_digits(train_digits, 5), choose_digits(test_digits, 5)
    model = add_head(base, options.fault, new=True)
    alerts = []
    for name, rate in (("head", options.learning_rate), ("all", options.learning_rate / 10)):
        print(f"\nOn 5 to 9, trained: {name}")
        base.trainable = name == "all"
        watch = tbwatch.Watch(str(Path(options.log_dir, name)))
        train(model, new, rate, options, [watch])
        alerts += watch.alerts
        accuracy = measure(model, test)
        print(f"Test accuracy on 5 to 9: {accuracy:.3f}")
    print_report(accuracy, len(test[0]), alerts, options.log_dir)
    return alerts


if __name__ == "__main__":
    main()
