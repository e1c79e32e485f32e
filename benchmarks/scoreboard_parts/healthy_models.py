"""Healthy programs: several outputs, generative models, custom steps, transfer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks.scoreboard_parts.datasets import digits
from benchmarks.scoreboard_parts.nets import (
    BINARY_CE,
    SPARSE_CE,
    L,
    classifier,
    compiled,
    dense_stack,
    digit_net,
    sequential,
)
from benchmarks.scoreboard_parts.program import Data, Register, accuracy, predictions, r2

O = keras.optimizers  # noqa: E741
HEALTHY = Register(healthy=True)


def _digits_as_targets(noise: float = 0.0, flat: bool = True) -> Data:
    x, _ = digits(1500, flat=flat)()
    rng = np.random.default_rng(0)
    return (x + noise * rng.normal(size=x.shape)).astype(np.float32), x


@HEALTHY("autoencoder", "196-48-12-48-196", data=_digits_as_targets, measure=r2, goal=0.4, epochs=8)
def _autoencoder() -> keras.Model:
    layers = [L.Dense(48, activation="relu", name="e1"), L.Dense(12, name="code")]
    layers += [L.Dense(48, activation="relu", name="d1")]
    layers += [L.Dense(196, activation="sigmoid", name="out")]
    return compiled(sequential((196,), *layers), O.Adam(3e-3), BINARY_CE)


@HEALTHY(
    "denoising_conv", "a small U-shaped net that removes noise",
    data=lambda: _digits_as_targets(0.3, flat=False), measure=r2, goal=0.5, epochs=4,
)  # fmt: skip
def _denoising() -> keras.Model:
    i = L.Input((14, 14, 1))
    a = L.Conv2D(8, 3, padding="same", activation="relu", name="down")(i)
    b = L.Conv2D(16, 3, padding="same", activation="relu", name="middle")(L.MaxPooling2D(2)(a))
    c = L.Conv2DTranspose(8, 2, strides=2, activation="relu", name="up")(b)
    out = L.Conv2D(1, 3, padding="same", name="out")(L.Concatenate()([a, c]))
    return compiled(keras.Model(i, out), O.Adam(3e-3), "mse")


class Sampling(L.Layer):  # type: ignore[misc]
    """Mean and log variance to a sample; the KL term is added to the loss."""

    def __init__(self, **layer: Any) -> None:
        super().__init__(**layer)
        self.seed = keras.random.SeedGenerator(7)

    def call(self, mean: Any, log_var: Any) -> Any:
        """One sample for each row."""
        kl = -0.5 * ops.mean(ops.sum(1 + log_var - mean**2 - ops.exp(log_var), axis=-1))
        self.add_loss(0.001 * kl)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(0.5 * log_var) * noise


@HEALTHY(
    "variational", "variational autoencoder", data=_digits_as_targets, measure=r2, goal=0.25,
    epochs=10,
)  # fmt: skip
def _variational() -> keras.Model:
    i = L.Input((196,))
    h = L.Dense(64, activation="relu", name="e1")(i)
    z = Sampling(name="z")(L.Dense(8, name="mean")(h), L.Dense(8, name="log_var")(h))
    d = L.Dense(64, activation="relu", name="d1")(z)
    out = L.Dense(196, activation="sigmoid", name="out")(d)
    return compiled(keras.Model(i, out), O.Adam(3e-3), BINARY_CE)


def _two_targets() -> Data:
    x, y = digits(2000)()
    return x, {"digit": y, "odd": (y % 2).astype(np.float32)[:, None]}


def _digit_of_two(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0])["digit"]
    return float(np.mean(guess.argmax(-1) == data[1]["digit"][: len(guess)]))


@HEALTHY(
    "two_heads", "two outputs with a loss each", data=_two_targets, measure=_digit_of_two,
    goal=0.55, epochs=4,
)  # fmt: skip
def _two_heads() -> keras.Model:
    i = L.Input((196,))
    h = L.Dense(64, activation="relu", name="h1")(i)
    outputs = {
        "digit": L.Dense(10, activation="softmax", name="digit")(h),
        "odd": L.Dense(1, activation="sigmoid", name="odd")(h),
    }
    losses = {"digit": SPARSE_CE, "odd": BINARY_CE}
    weights = {"digit": 1.0, "odd": 0.3}
    return compiled(keras.Model(i, outputs), O.Adam(2e-3), losses, loss_weights=weights)


def _pairs() -> Data:
    x, y = digits(1500)()
    rng = np.random.default_rng(0)
    other = rng.permutation(len(x))
    same = rng.random(len(x)) < 0.5
    for row in np.flatnonzero(same):
        other[row] = rng.choice(np.flatnonzero(y == y[row]))
    return [x, x[other]], (y == y[other]).astype(np.float32)[:, None]


@HEALTHY("siamese", "one encoder used twice", data=_pairs, measure=accuracy, goal=0.75, epochs=8)
def _siamese() -> keras.Model:
    a, b = L.Input((196,)), L.Input((196,))
    encode = sequential((196,), *dense_stack(2, 48))
    gap = ops.absolute(encode(a) - encode(b))
    out = L.Dense(1, activation="sigmoid", name="out")(gap)
    return compiled(keras.Model([a, b], out), O.Adam(3e-3), BINARY_CE)


class Gan(keras.Model):  # type: ignore[misc]
    """Two players in one training step: the compiled optimizer trains the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = sequential((4,), *dense_stack(2, 24), L.Dense(2, name="made"))
        self.critic = sequential(
            (2,), *dense_stack(2, 24, "leaky_relu"), L.Dense(1, name="verdict")
        )
        self.critic_optimizer = O.Adam(2e-3, beta_1=0.5)
        self.noise = keras.random.SeedGenerator(3)

    def call(self, z: Any) -> Any:
        """Points made from noise."""
        return self.generator(z)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of the critic, then one of the generator."""
        real = data[0] if isinstance(data, tuple) else data
        z = keras.random.normal((tf.shape(real)[0], 4), seed=self.noise)
        bce = keras.losses.BinaryCrossentropy(from_logits=True)
        ones, zeros = tf.ones((tf.shape(real)[0], 1)), tf.zeros((tf.shape(real)[0], 1))
        with tf.GradientTape() as tape:
            critic_loss = bce(ones, self.critic(real)) + bce(zeros, self.critic(self.generator(z)))
        weights = self.critic.trainable_variables
        self.critic_optimizer.apply(tape.gradient(critic_loss, weights), weights)
        with tf.GradientTape() as tape:
            loss = bce(ones, self.critic(self.generator(z)))
        weights = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def _ring() -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal((3.0, -2.0), 0.5, (2000, 2))
    return (x.astype(np.float32),)


def _nearness(model: keras.Model, data: Data) -> float:
    """Minus the distance between the centers of real and made points."""
    z = np.random.default_rng(5).normal(size=(512, 4)).astype(np.float32)
    made = np.asarray(model.generator(z))
    return -float(np.linalg.norm(made.mean(0) - data[0].mean(0)))


@HEALTHY(
    "gan", "a GAN with its own train_step", data=_ring, measure=_nearness, goal=-1.5, epochs=10
)
def _gan() -> keras.Model:
    model = Gan()
    model(np.zeros((1, 4), np.float32))
    model.critic(np.zeros((1, 2), np.float32))
    model.critic_optimizer.build(model.critic.trainable_variables)
    model.compile(optimizer=O.Adam(2e-3, beta_1=0.5), jit_compile=False)
    model.optimizer.build(model.generator.trainable_variables)
    return model


class OwnStep(keras.Model):  # type: ignore[misc]
    """A training step by hand with gradient noise."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update."""
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


@HEALTHY(
    "own_train_step", "a train_step by hand", data=digits(2000), measure=accuracy, goal=0.55,
    epochs=4,
)  # fmt: skip
def _own_step() -> keras.Model:
    i = L.Input((196,))
    h = L.Dense(48, activation="relu", name="h1")(i)
    out = L.Dense(10, activation="softmax", name="out")(h)
    return compiled(OwnStep(i, out), O.Adam(3e-3), SPARSE_CE)


@HEALTHY(
    "frozen_base", "a base frozen on purpose, a new head", data=digits(2000, flat=False),
    measure=accuracy, goal=0.55, epochs=4,
)  # fmt: skip
def _frozen_base() -> keras.Model:
    base = sequential(
        (14, 14, 1),
        L.Conv2D(12, 3, activation="relu", name="c1"),
        L.MaxPooling2D(2),
        L.Flatten(),
    )
    base.trainable = False
    return classifier(
        (14, 14, 1), base, L.Dense(32, activation="relu", name="head"), optimizer=O.Adam(2e-3)
    )


@HEALTHY(
    "fine_tuning", "trained, then on with a frozen first layer on other digits",
    data=digits(2000, start=3000), measure=accuracy, goal=0.5, epochs=8,
)  # fmt: skip
def _fine_tuning() -> keras.Model:
    # Trained for a short while, so that there is something left to learn.
    model = digit_net(O.Adam(1e-3))
    x, y = digits(1000)()
    model.fit(x, y, epochs=1, batch_size=32, verbose=0)
    model.get_layer("h1").trainable = False
    return compiled(model, O.Adam(1e-3), SPARSE_CE)
