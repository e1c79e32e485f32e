"""A GAN that draws digits, with a watch for each of its two optimizers.

    python examples/gan.py                      learns to draw, no alert
    python examples/gan.py --fault rounded      drawn digits are rounded to black and white

A generator (256, 512, 784 units) makes a picture of noise, a critic (256, 128, 1) tells real ones
from made ones. Both are trained in one `train_step`, each by an Adam of its own. `fit` gets one
`tbwatch.Watch` for each optimizer, with a log directory of its own, `<log_dir>/generator` and
`<log_dir>/critic`. Two losses that are opposed need not fall, so tbwatch judges the layers and
says nothing about the losses.

After five epochs of MNIST the Frechet distance of made digits to real ones has fallen from 9.2 to
0.38 (two sets of real ones are 0.03 apart), no alert was raised, and `<log_dir>/made.png` shows 64
of them. Real digits are nearly black and white, so one may want made ones to be. But a step is flat
wherever it has a slope at all: with `--fault rounded` the generator gets a gradient of exact zeros,
stays where it began, at 8.5, and the alert `zero_gradient` says so at update 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from _common import load_or_exit, make_batches, make_parser, plan_updates, print_alerts
from numpy.typing import NDArray
from PIL import Image

import tbwatch

NOISE = 64
COMPARED = 2000  # pictures for the distance, which then has two digits


def build_generator(fault: str | None) -> keras.Model:
    """Noise to 28 x 28 grey pictures from 0 to 1."""
    layers = keras.layers
    parts = [keras.Input((NOISE,))]
    for name, units in (("fc1", 256), ("fc2", 512)):
        parts += [
            layers.Dense(units, use_bias=False, name=name),
            layers.BatchNormalization(name=f"{name}_norm"),
            layers.ReLU(),
        ]
    parts.append(layers.Dense(28 * 28, activation="sigmoid", name="pixels"))
    if fault == "rounded":  # real digits are nearly black and white; but a step has no slope
        parts.append(layers.Lambda(lambda x: (1 + tf.sign(x - 0.5)) / 2, name="rounded"))
    return keras.Sequential([*parts, layers.Reshape((28, 28, 1))], name="generator")


def build_critic() -> keras.Model:
    """28 x 28 grey pictures to a logit, high for a real one."""
    layers = keras.layers
    parts = [keras.Input((28, 28, 1)), layers.Flatten()]
    for name, units in (("fc1", 256), ("fc2", 128)):
        parts += [layers.Dense(units, name=name), layers.LeakyReLU(0.2), layers.Dropout(0.3)]
    return keras.Sequential([*parts, layers.Dense(1, name="out")], name="critic")


class Gan(keras.Model):  # type: ignore[misc]  # Keras is untyped
    """Two nets, two optimizers, one training step."""

    def __init__(self, fault: str | None, learning_rate: float) -> None:
        super().__init__()
        self.generator, self.critic = build_generator(fault), build_critic()
        # A beta_1 of 0.5, as Radford et al. 2016 have it: the loss of each net keeps changing.
        self.for_generator = keras.optimizers.Adam(learning_rate, beta_1=0.5)
        self.for_critic = keras.optimizers.Adam(learning_rate, beta_1=0.5)
        self.loss_of = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """An update of the critic, then one of the generator."""
        images, _ = data
        noise = tf.random.normal((tf.shape(images)[0], NOISE))
        made = self.generator(noise, training=True)
        with tf.GradientTape() as tape:
            real, fake = self.critic(images, training=True), self.critic(made, training=True)
            # 0.9 and not 1: a critic that is too sure teaches nothing.
            critic_loss = self.loss_of(0.9 * tf.ones_like(real), real)
            critic_loss += self.loss_of(tf.zeros_like(fake), fake)
        variables = self.critic.trainable_variables
        self.for_critic.apply(tape.gradient(critic_loss, variables), variables)
        with tf.GradientTape() as tape:
            fake = self.critic(self.generator(noise, training=True), training=True)
            generator_loss = self.loss_of(tf.ones_like(fake), fake)
        variables = self.generator.trainable_variables
        self.for_generator.apply(tape.gradient(generator_loss, variables), variables)
        return {"generator_loss": generator_loss, "critic_loss": critic_loss}


def distance(made: NDArray[np.floating[Any]], real: NDArray[np.floating[Any]]) -> float:
    """Frechet distance of two sets of pictures, each seen as the 7 x 7 means of 4 x 4 pixels.

    It compares means and covariances as if both sets were normal (Heusel et al. 2017, who take
    the features of a large net instead). 0 for the same set.
    """

    def moments(
        images: NDArray[np.floating[Any]],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        means = images.reshape(-1, 7, 4, 7, 4).mean((2, 4), dtype=np.float64).reshape(-1, 49)
        return means.mean(0), np.cov(means.T)

    (mean1, cov1), (mean2, cov2) = moments(made), moments(real)
    # The trace of a root is the sum of the roots of the eigenvalues; rounding makes some negative.
    root = np.sqrt(np.maximum(np.linalg.eigvals(cov1 @ cov2).real, 0)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * root)


def save_sheet(pictures: NDArray[np.floating[Any]], path: Path) -> None:
    """Writes 64 pictures of 28 x 28, eight in a row, as a PNG."""
    sheet = pictures[:64].reshape(8, 8, 28, 28).transpose(0, 2, 1, 3).reshape(224, 224)
    Image.fromarray((255 * sheet).astype(np.uint8)).save(path)


def main(argv: Sequence[str] | None = None) -> list[tbwatch.Alert]:
    """Trains, compares made digits with real ones, and prints the alerts; returns them."""
    parser = make_parser(__doc__, "gan", epochs=5, batch_size=128, learning_rate=2e-4)
    parser.add_argument("--fault", choices=("rounded",), help="see above")
    options = parser.parse_args(argv)
    train, test = load_or_exit(parser, options.data)
    epochs, steps = plan_updates(len(train[0]), options.batch_size, options.epochs, options.steps)
    keras.utils.set_random_seed(options.seed)
    gan = Gan(options.fault, options.learning_rate)
    gan.compile()
    noise = np.random.default_rng(options.seed).normal(size=(COMPARED, NOISE)).astype(np.float32)
    real = test[0].astype(np.float32) / 255
    before = distance(gan.generator.predict(noise, verbose=0), real)
    watches = [
        tbwatch.Watch(str(Path(options.log_dir, "generator")), optimizer=gan.for_generator),
        tbwatch.Watch(str(Path(options.log_dir, "critic")), optimizer=gan.for_critic),
    ]
    gan.fit(
        make_batches(train, options.batch_size, shuffle_seed=options.seed),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        callbacks=watches,
    )
    made = gan.generator.predict(noise, verbose=0)
    save_sheet(made, Path(options.log_dir, "made.png"))
    least = distance(train[0][:COMPARED].astype(np.float32) / 255, real)
    print(f"\nDistance to real digits: {distance(made, real):.2f}, before the training ", end="")
    print(f"{before:.2f}, of other real ones {least:.2f}\n")
    alerts = [alert for watch in watches for alert in watch.alerts]
    print_alerts(alerts, options.log_dir)
    return alerts


if __name__ == "__main__":
    main()
