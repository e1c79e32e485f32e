"""Models with losses, training steps and optimizers of their own, as others write them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.foreign.parts import BATCH, FROM_LOGITS, SAMPLES, Foreign, L, normals, ops, rng

# ------------------------------------------------------------------------------ losses of their own


class Sampling(L.Layer):
    """Draws from a normal distribution, and adds its divergence from N(0, 1) to the loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed = keras.random.SeedGenerator(5)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs
        self.add_loss(divergence(mean, log_variance))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed)
        return mean + ops.exp(0.5 * log_variance) * noise


def divergence(mean: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence from N(0, 1), mean over the batch."""
    return -0.5 * ops.mean(1 + log_variance - ops.square(mean) - ops.exp(log_variance))


def autoencoder(**compiled: Any) -> Foreign:
    """A variational autoencoder."""
    inputs = L.Input((12,))
    hidden = L.Dense(8, activation="relu", name="encode")(inputs)
    mean, spread = L.Dense(2, name="mean")(hidden), L.Dense(2, name="log_variance")(hidden)
    drawn = Sampling(name="sampling")([mean, spread])
    outputs = L.Dense(12, name="pixels")(L.Dense(8, activation="relu", name="decode")(drawn))
    model = keras.Model(inputs, outputs, name="vae")
    model.compile("adam", "mse", **compiled)

    def loss(net: keras.Model, x: Any, y: Any) -> Any:
        reconstructed = tf.reduce_mean(tf.square(net(x, training=True) - y))
        return reconstructed + tf.add_n(net.losses)

    x = normals(12)
    order = ["encode", "mean", "log_variance", "decode", "pixels"]
    return Foreign(model, x, x, order, loss)


def siamese(**compiled: Any) -> Foreign:
    """One tower for two inputs, and the distance of what it makes of them."""
    tower = keras.Sequential(
        [L.Input((6,)), L.Dense(5, activation="tanh", name="hidden"), L.Dense(3, name="code")],
        name="tower",
    )
    left, right = L.Input((6,), name="left"), L.Input((6,), name="right")
    distance = L.Lambda(lambda ab: ops.norm(ab[0] - ab[1] + 1e-3, axis=1, keepdims=True))(
        [tower(left), tower(right)]
    )
    model = keras.Model({"left": left, "right": right}, L.Dense(1, name="same")(distance))

    def contrastive(y: Any, distance: Any) -> Any:
        y = ops.cast(y, distance.dtype)
        return ops.mean(y * distance**2 + (1 - y) * ops.maximum(1 - distance, 0) ** 2)

    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), contrastive, **compiled)
    x = {"left": normals(6), "right": np.flip(normals(6), 0)}
    y = rng().integers(0, 2, (SAMPLES, 1))
    by_hand = lambda net, x, y: contrastive(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, y, ["tower/hidden", "tower/code", "same"], by_hand)


# ------------------------------------------------------------------------------- steps of their own


class Gan(keras.Model):
    """Two nets, each with an optimizer; the compiled one is that of the generator."""

    def __init__(self) -> None:
        super().__init__(name="gan")
        self.generator = keras.Sequential(
            [
                L.Input((4,)),
                L.Dense(2 * 2 * 3, name="start"),
                L.Reshape((2, 2, 3)),
                L.Conv2DTranspose(3, 4, strides=2, padding="same", name="grow"),
                L.BatchNormalization(name="norm"),
                L.LeakyReLU(0.2),
                L.Conv2DTranspose(1, 4, strides=2, padding="same", name="image"),
            ],
            name="generator",
        )
        self.discriminator = keras.Sequential(
            [
                L.Input((8, 8, 1)),
                L.Conv2D(3, 4, strides=2, padding="same", name="look"),
                L.LeakyReLU(0.2),
                L.Flatten(),
                L.Dense(1, name="judge"),
            ],
            name="discriminator",
        )
        self.seed = keras.random.SeedGenerator(3)

    def compile(self, optimizer: Any, discriminator_optimizer: Any, **options: Any) -> None:
        super().compile(optimizer=optimizer, **options)
        self.discriminator_optimizer = discriminator_optimizer

    def call(self, noise: Any) -> Any:
        return self.discriminator(self.generator(noise))

    def train_step(self, real: Any) -> dict[str, Any]:
        noise = keras.random.normal((BATCH, 4), seed=self.seed)
        with tf.GradientTape() as tape:
            judged_real = self.discriminator(real, training=True)
            judged_fake = self.discriminator(self.generator(noise, training=True), training=True)
            loss = ops.mean(ops.softplus(-judged_real) + ops.softplus(judged_fake))
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        with tf.GradientTape() as tape:
            fooled = self.discriminator(self.generator(noise, training=True), training=True)
            fooling = ops.mean(ops.softplus(-fooled))
        variables = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(fooling, variables), variables)
        return {"loss": loss, "generator_loss": fooling}


def gan(**compiled: Any) -> Foreign:
    """A DCGAN."""
    model = Gan()
    Adam = keras.optimizers.Adam
    model.compile(Adam(1e-3, beta_1=0.5), Adam(1e-3, beta_1=0.5), **compiled)
    order = [f"generator/{part}" for part in ("start", "grow", "norm", "image")]
    order = [*order, "discriminator/look", "discriminator/judge"]
    return Foreign(model, normals(8, 8, 1), None, order, withheld=order[4:])


class Diffusion(keras.Model):
    """Learns to take noise away, and keeps a moving average of its net beside it."""

    def __init__(self) -> None:
        super().__init__(name="diffusion")
        self.network, self.average = self._net("network"), self._net("average")
        self.average.set_weights(self.network.get_weights())
        self.seed = keras.random.SeedGenerator(2)

    @staticmethod
    def _net(name: str) -> keras.Model:
        hidden = L.Dense(6, activation="swish", name="hidden")
        return keras.Sequential([L.Input((5,)), hidden, L.Dense(4, name="out")], name=name)

    def train_step(self, data: Any) -> dict[str, Any]:
        noise = keras.random.normal(ops.shape(data), seed=self.seed)
        amount = keras.random.uniform((ops.shape(data)[0], 1), seed=self.seed)
        noisy = ops.concatenate([ops.sqrt(1 - amount) * data + ops.sqrt(amount) * noise, amount], 1)
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.square(self.network(noisy, training=True) - noise))
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        for weight, mean in zip(self.network.weights, self.average.weights, strict=True):
            mean.assign(0.9 * mean + 0.1 * weight)
        return {"loss": loss}


def diffusion(**compiled: Any) -> Foreign:
    """A denoiser with a moving average that no optimizer knows."""
    model = Diffusion()
    model.compile("adam", **compiled)
    order = ["network/hidden", "network/out", "average/hidden", "average/out"]
    return Foreign(model, normals(4), None, order, withheld=order[2:])


class Distiller(keras.Model):
    """A student that imitates a teacher, which is part of the model and not trained."""

    def __init__(self) -> None:
        super().__init__(name="distiller")
        wide = L.Dense(9, activation="relu", name="wide")
        layers = [L.Input((6,)), wide, L.Dense(3, name="logits")]
        self.teacher = keras.Sequential(layers, name="teacher")
        self.student = keras.Sequential([L.Input((6,)), L.Dense(3, name="only")], name="student")

    def call(self, x: Any) -> Any:
        return self.student(x)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        softened = ops.softmax(self.teacher(x, training=False) / 3.0)
        with tf.GradientTape() as tape:
            logits = self.student(x, training=True)
            own = self.compute_loss(x, y, logits)
            loss = own + ops.mean(ops.categorical_crossentropy(softened, logits / 3.0, True))
        gradients = tape.gradient(loss, self.student.trainable_variables)
        self.optimizer.apply(gradients, self.student.trainable_variables)
        return {"loss": loss}


def distiller(**compiled: Any) -> Foreign:
    """Knowledge distillation."""
    model = Distiller()
    model.compile("adam", FROM_LOGITS, **compiled)
    y = rng().integers(0, 3, SAMPLES)
    order = ["teacher/wide", "teacher/logits", "student/only"]
    return Foreign(model, normals(6), y, order, withheld=order[:2])
