"""A deep convolutional regression with LRN, all activations watched by tbwatch.

    python examples/conv_regression.py                    150 updates: half a minute on two cores
    python examples/conv_regression.py --width 0.25 --steps 50
                                                          a quarter of the units: seconds

Five convolutions (128, 128, 256, 256, 256 channels), local response normalization after the first
two, three poolings, two dense layers of 2046 units, one number out. Kernels start as Xavier has
it, biases at 0.1; Adam at 1e-4. The frames are made up: a ramp of brightness from left to right,
as steep as the number to be found, under noise.

The loss falls, yet in TensorBoard's Distributions the kernels seem to stand still and only the
biases to move. Look at update_ratio/ instead: it is the kernels that move more. Of every layer
there are histograms of what goes into its ReLU, of what comes out, and of what comes out of LRN
and pooling, under activations/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from _common import make_parser, plan_updates, positive, print_alerts, whole_number
from numpy.typing import NDArray

import tbwatch

SMALLEST_IMAGE = 57  # leaves one pixel after the last pooling
TESTED = 128


def build_model(image: int, width: float) -> keras.Model:
    """Five convolutions and two dense layers: `image` x `image` colour frames, 0..255, to a number.

    Args:
        image: Side in pixels, 57 or more.
        width: Scales the units of all hidden layers.
    """
    layers = keras.layers

    def start() -> dict[str, Any]:
        return {
            "activation": "relu",
            "kernel_initializer": keras.initializers.GlorotNormal(),
            "bias_initializer": keras.initializers.Constant(0.1),
        }

    def units(full: int) -> int:
        return max(1, round(width * full))

    def conv(channels: int, kernel: int, name: str, strides: int = 1) -> keras.layers.Layer:
        return layers.Conv2D(
            units(channels), kernel, strides=strides, padding="same", name=name, **start()
        )

    def lrn(name: str) -> keras.layers.Layer:
        def normalize(x: tf.Tensor) -> tf.Tensor:
            return tf.nn.local_response_normalization(x, 4, bias=1.0, alpha=0.001 / 9, beta=0.75)

        return layers.Lambda(normalize, name=name)

    return keras.Sequential(
        [
            keras.Input((image, image, 3)),
            layers.Rescaling(1 / 255, offset=-128 / 255, name="centre"),
            conv(128, 5, "conv1", strides=4),
            lrn("norm1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            conv(128, 3, "conv2"),
            lrn("norm2"),
            layers.MaxPooling2D(3, 2, name="pool2"),
            conv(256, 3, "conv3"),
            conv(256, 3, "conv4"),
            conv(256, 3, "conv5"),
            layers.MaxPooling2D(3, 2, name="pool5"),
            layers.Flatten(name="flat"),
            layers.Dense(units(2046), name="fc1", **start()),
            layers.Dense(units(2046), name="fc2", **start()),
            layers.Dense(
                1,
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=1 / 1024),
                name="out",
            ),
        ],
        name="conv_regression",
    )


def make_frames(count: int, image: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Frames with a ramp of brightness, and its steepness, from -1 to 1.

    Args:
        count: How many.
        image: Side in pixels.
        seed: The same count, image and seed give the same frames.

    Returns:
        uint8 frames `[count, image, image, 3]` and float32 targets `[count, 1]`.

    Example:
        >>> frames, steepness = make_frames(2, 64, seed=0)
        >>> frames.shape, steepness.shape
        ((2, 64, 64, 3), (2, 1))
    """
    rng = np.random.default_rng(seed)
    steepness = rng.uniform(-1, 1, (count, 1)).astype(np.float32)
    ramp = np.linspace(-90, 90, image, dtype=np.float32)
    frames = np.empty((count, image, image, 3), np.uint8)
    for frame, target in zip(frames, steepness, strict=True):  # one by one: noise is large
        noise = 30 * rng.standard_normal(frame.shape, np.float32)
        frame[...] = np.clip(128 + target * ramp[:, None] + noise, 0, 255)
    return frames, steepness


def rmse(y: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """Root of the mean squared error of the batch."""
    return tf.sqrt(tf.reduce_mean(tf.square(found - y)))


def main(argv: Sequence[str] | None = None) -> keras.Model:
    """Trains, tests, and prints the alerts; returns the model."""
    parser = make_parser(
        __doc__, "conv_regression", epochs=1, batch_size=16, learning_rate=1e-4, digits=False
    )
    add = parser.add_argument
    add(
        "--image",
        type=whole_number(SMALLEST_IMAGE),
        default=96,
        help=f"side of the frames in pixels, {SMALLEST_IMAGE} or more (default: %(default)s)",
    )
    add(
        "--width",
        type=positive,
        default=1.0,
        help="scales the units of all hidden layers (default: %(default)s)",
    )
    add("--frames", type=whole_number(1), default=2400, help="to train on (default: %(default)s)")
    add("--loss", choices=("mae", "rmse"), default="rmse", help="default: %(default)s")
    options = parser.parse_args(argv)
    epochs, steps = plan_updates(options.frames, options.batch_size, options.epochs, options.steps)
    train = make_frames(options.frames, options.image, options.seed)
    test = make_frames(TESTED, options.image, options.seed + 1)
    keras.utils.set_random_seed(options.seed)
    model = build_model(options.image, options.width)
    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=rmse if options.loss == "rmse" else "mae",
    )
    batches = tf.data.Dataset.from_tensor_slices(train).repeat().batch(options.batch_size)
    watch = tbwatch.Watch(options.log_dir, activations=True)
    model.fit(
        batches.prefetch(2),  # the frames are in random order already
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[watch],
    )
    found = model.predict(test[0], batch_size=16, verbose=0)
    error = float(np.sqrt(np.mean(np.square(found - test[1]))))
    guess = float(np.std(test[1]))
    print(f"\nTest error: {error:.3f}, and {guess:.3f} for the mean of all ({TESTED} frames)\n")
    print_alerts(watch.alerts, options.log_dir)
    return model


if __name__ == "__main__":
    main()
