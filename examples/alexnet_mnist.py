"""AlexNet on MNIST digits enlarged to 227 x 227, watched by tbwatch.

    python examples/alexnet_mnist.py                  full size: 20 minutes on two cores
    python examples/alexnet_mnist.py --image 67 --width 0.5 --batch-size 64 --learning-rate 1e-3
                                                      small: one minute
    python examples/alexnet_mnist.py --init normal    all weights and biases from N(0, 1)
    python examples/alexnet_mnist.py --experiment 2   one of seven ways to fail or to learn

The full network has 58 million weights. On two cores an update takes 4 seconds for a batch of 200
(1 second for 32), and 3.4 GB of memory. The optimizer is plain SGD, and the loss is the sum over
the batch, not the mean. So the learning rate is 0.02 / batch size unless it is given: 1e-4 for
200.

Experiments; all write the loss as -sum(y log p), which turns NaN when a p underflows to 0:

    1  weights from N(0, 1)                       NaN at once
    2  weights from N(0, 0.01)                    learns late, then NaN
    3  as 2, rate / 10 at epoch 30, / 100 at 50, / 1000 at 70
    4  Keras's own initial weights                learns
    5  as 2, conv4 and conv5 in two groups
    6  as 2, batch normalization instead of LRN   learns
    7  as 6, weights from N(0, 1)                 hardly learns

A smaller `--image` or `--width` keeps the gain of each layer: dense layers keep their ratio of
inputs to units, and N(0, 0.01) widens as the inputs get fewer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from _common import (
    add_init,
    initializers,
    load_or_exit,
    make_batches,
    make_parser,
    plan_updates,
    positive,
    print_report,
    whole_number,
)

import tbwatch

SMALLEST_IMAGE = 67  # leaves one pixel after the last pooling
TESTED = 1000  # enough for the second digit of the accuracy, and a tenth of the waiting
RATE_FALLS_AT = (30, 50, 70)  # epochs of experiment 3, each time to a tenth
SMALL = "N(0, 0.01), biases N(0.005, 0.1), truncated"


@dataclass(frozen=True)
class Experiment:
    """What an experiment changes in network and training."""

    init: str = "small"
    rate_falls: bool = False
    groups: int = 1  # of conv4 and conv5
    batch_norm: bool = False  # before each hidden ReLU, and no LRN


EXPERIMENTS = {
    1: Experiment(init="normal"),
    2: Experiment(),
    3: Experiment(rate_falls=True),
    4: Experiment(init="default"),
    5: Experiment(groups=2),
    6: Experiment(batch_norm=True),
    7: Experiment(init="normal", batch_norm=True),
}


def build_model(
    image: int, width: float, plan: Experiment, *, init_scale: float = 1.0, softmax: bool = False
) -> keras.Model:
    """AlexNet for `image` x `image` grey pictures.

    Args:
        image: Side in pixels, 67 or more.
        width: Scales the channels of the convolutions; dense layers keep their ratio to them.
        plan: Initial weights, groups, normalization.
        init_scale: Multiplies the standard deviation of `init="small"`.
        softmax: Probabilities instead of logits.
    """
    layers = keras.layers

    def channels(full: int) -> int:
        return 2 * max(1, round(width * full / 2))  # even, for two groups

    def start(full: int, inputs: int) -> dict[str, Any]:
        """Initial weights of a layer that sees `inputs`, where the full network sees `full`."""
        if plan.init != "small":
            return initializers(plan.init)
        normal = keras.initializers.TruncatedNormal
        return {
            "kernel_initializer": normal(stddev=0.01 * init_scale * math.sqrt(full / inputs)),
            "bias_initializer": normal(mean=0.005, stddev=0.1),
        }

    def hidden(layer: type[keras.layers.Layer], *size: int, name: str, **more: object) -> list[Any]:
        if not plan.batch_norm:
            return [layer(*size, activation="relu", name=name, **more)]
        # Momentum 0.9: its averages have to settle within a short run.
        norm = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")
        return [
            layer(*size, name=name, **more),
            norm,
            layers.Activation("relu", name=f"{name}_relu"),
        ]

    def conv(units: int, kernel: int, name: str, inputs: int, **more: object) -> list[Any]:
        more = {"padding": "same", **start(inputs, channels(inputs) if inputs > 1 else 1), **more}
        return hidden(layers.Conv2D, channels(units), kernel, name=name, **more)

    def lrn(name: str) -> list[Any]:
        def normalize(x: tf.Tensor) -> tf.Tensor:
            return tf.nn.local_response_normalization(x, 2, bias=1.0, alpha=2e-5, beta=0.75)

        return [] if plan.batch_norm else [layers.Lambda(normalize, name=name)]

    side = (image - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    flat = side**2 * channels(256)
    dense = max(1, round(flat * 4096 / 9216))
    last = "softmax" if softmax else None
    return keras.Sequential(
        [
            keras.Input((image, image, 1)),
            *conv(96, 11, "conv1", 1, strides=4, padding="valid"),
            *lrn("norm1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            *conv(256, 5, "conv2", 96),
            *lrn("norm2"),
            layers.MaxPooling2D(3, 2, name="pool2"),
            *conv(384, 3, "conv3", 256),
            *conv(384, 3, "conv4", 384, groups=plan.groups),
            *conv(256, 3, "conv5", 384, groups=plan.groups),
            layers.MaxPooling2D(3, 2, name="pool5"),
            layers.Flatten(),
            *hidden(layers.Dense, dense, name="fc1", **start(9216, flat)),
            layers.Dropout(0.5),
            *hidden(layers.Dense, dense, name="fc2", **start(4096, dense)),
            layers.Dropout(0.5),
            layers.Dense(10, activation=last, name="out", **start(4096, dense)),
        ],
        name="alexnet_mnist",
    )


def written_loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """-sum(y log p) over the batch, as many write it by hand: 0 * log(0) is NaN."""
    y = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), 10)
    return -tf.reduce_sum(y * tf.math.log(probabilities))


def rate_schedule(
    rate: float, plan: Experiment, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The rate, or for experiment 3 one that falls to a tenth after 30, 50 and 70 epochs."""
    if not plan.rate_falls:
        return rate
    boundaries = [epoch * steps_per_epoch for epoch in RATE_FALLS_AT]
    rates = [rate / 10**falls for falls in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


def parse(argv: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Options; `plan`, `loss` and `learning_rate` are set, contradictions end the program."""
    parser = make_parser(__doc__, "alexnet_mnist", epochs=1, batch_size=200, learning_rate=None)
    add_init(parser, small=SMALL)
    add = parser.add_argument
    add(
        "--image",
        type=whole_number(SMALLEST_IMAGE),
        default=227,
        help=f"side of the pictures in pixels, {SMALLEST_IMAGE} or more (default: %(default)s)",
    )
    add(
        "--width",
        type=positive,
        default=1.0,
        help="scales the units of all hidden layers (default: %(default)s)",
    )
    add("--experiment", type=int, choices=EXPERIMENTS, help="see above; it sets --init")
    add("--init-scale", type=positive, help="multiplies the standard deviation of --init small")
    add(
        "--loss",
        choices=("written", "logits"),
        help="-sum(y log p) written by hand, or the loss of Keras that takes logits (default: "
        "written with --experiment, else logits)",
    )
    add(
        "--steps-per-epoch",
        type=whole_number(1),
        help="shorter epochs, e.g. to reach epoch 30 of experiment 3 (default: all digits)",
    )
    options = parser.parse_args(argv)
    chosen, init = options.experiment, options.init
    plan = EXPERIMENTS[chosen] if chosen else Experiment(init=init or "default")
    if init not in (None, plan.init):
        parser.error(
            f"--init {init} was given with --experiment {chosen}, allowed is --init {plan.init}, "
            "which it sets itself"
        )
    if options.init_scale is not None and plan.init != "small":
        parser.error(
            f"--init-scale was given with initial weights '{plan.init}', allowed is it with "
            "--init small or --experiment 2, 3, 5 or 6"
        )
    options.plan = plan
    options.loss = options.loss or ("written" if chosen else "logits")
    options.learning_rate = options.learning_rate or 0.02 / options.batch_size
    return parser, options


def main(argv: Sequence[str] | None = None) -> keras.Model:
    """Trains, tests, and prints the alerts; returns the model."""
    parser, options = parse(argv)
    train, test = load_or_exit(parser, options.data)
    test = test[0][:TESTED], test[1][:TESTED]
    examples = len(train[0])
    if options.steps_per_epoch:
        examples = min(examples, options.steps_per_epoch * options.batch_size)
    epochs, steps = plan_updates(examples, options.batch_size, options.epochs, options.steps)
    keras.utils.set_random_seed(options.seed)
    written = options.loss == "written"
    model = build_model(
        options.image,
        options.width,
        options.plan,
        init_scale=options.init_scale or 1.0,
        softmax=written,
    )
    logits_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile(
        optimizer=keras.optimizers.SGD(rate_schedule(options.learning_rate, options.plan, steps)),
        loss=written_loss if written else logits_loss,
        metrics=["accuracy"],
    )
    watch = tbwatch.Watch(options.log_dir)
    model.fit(
        make_batches(train, options.batch_size, image=options.image, shuffle_seed=options.seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        callbacks=[watch],
    )
    _, accuracy = model.evaluate(make_batches(test, 100, image=options.image), verbose=0)
    print_report(accuracy, len(test[0]), watch.alerts, options.log_dir)
    return model


if __name__ == "__main__":
    main()
