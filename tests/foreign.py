"""Models such as others write: each with its data and its layers in forward order.

They are tiny, but built as people build them: custom layers, `add_weight`, `add_loss`, shared and
wrapped layers, training steps and optimizers of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

L = keras.layers
ops = keras.ops
BATCH, UPDATES = 4, 3
SAMPLES = BATCH * UPDATES


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A compiled model, its data, and what is known of it.

    Attributes:
        model: compiled; built or not.
        x: inputs of `SAMPLES` examples.
        y: targets; None where there are none.
        order: beginnings of the names of its variables, in forward order: those that belong to one
            layer have one entry.
        loss: the loss of a batch, worked out by hand from the model's outputs; None where that
            is not easy.
        withheld: those of `order` that the optimizer of the model is not given.
    """

    model: keras.Model
    x: Any
    y: Any
    order: list[str]
    loss: Callable[[keras.Model, Any, Any], Any] | None = None
    withheld: Sequence[str] = ()


def _rng() -> np.random.Generator:
    return np.random.default_rng(11)


def _normal(*shape: int) -> np.ndarray:
    return _rng().normal(size=(SAMPLES, *shape)).astype("float32")


def _cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean over all positions, from its definition."""
    chosen = tf.gather(tf.cast(logits, "float32"), labels, axis=-1, batch_dims=len(labels.shape))
    return tf.reduce_mean(tf.reduce_logsumexp(tf.cast(logits, "float32"), axis=-1) - chosen)


def _log_loss(labels: Any, logits: Any) -> Any:
    signs = 1.0 - 2.0 * tf.cast(tf.reshape(labels, tf.shape(logits)), "float32")
    return tf.reduce_mean(tf.math.softplus(signs * logits))


FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


# ------------------------------------------------------------------------------ a decoder of tokens


class Block(L.Layer):
    """Causal self-attention and a feed-forward net, each normalised first and added."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.before = L.LayerNormalization(name="before")
        self.attention = L.MultiHeadAttention(2, width // 2, name="attention")
        self.between = L.LayerNormalization(name="between")
        self.widen = L.Dense(2 * width, activation="gelu", name="widen")
        self.narrow = L.Dense(width, name="narrow")

    def call(self, x: Any) -> Any:
        normal = self.before(x)
        x = x + self.attention(normal, normal, use_causal_mask=True)
        return x + self.narrow(self.widen(self.between(x)))


class Decoder(keras.Model):
    """Tokens in, logits of the next token out, through the transposed embedding."""

    def __init__(self, tokens: int = 13, length: int = 6, width: int = 8) -> None:
        super().__init__(name="decoder")
        self.tokens = L.Embedding(tokens, width, name="tokens")
        self.positions = L.Embedding(length, width, name="positions")
        self.blocks = [Block(width, name=f"block{at}") for at in range(2)]
        self.norm = L.LayerNormalization(name="norm")

    def call(self, x: Any) -> Any:
        x = self.tokens(x) + self.positions(ops.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return ops.matmul(self.norm(x), ops.transpose(self.tokens.embeddings))


def decoder(**compiled: Any) -> Foreign:
    """A language model with tied embeddings: their gradient is a sparse and a dense one, added."""
    x = _rng().integers(0, 13, (SAMPLES, 6))
    model = Decoder()
    model.compile("adam", FROM_LOGITS, **compiled)
    parts = ("before", "attention", "between", "widen", "narrow")
    order = ["tokens", "positions", *(f"block{b}/{p}" for b in range(2) for p in parts), "norm"]
    loss = lambda net, x, y: _cross_entropy(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, np.roll(x, -1, 1), order, loss)


# ------------------------------------------------------------------------------------------- vision


class Patches(L.Layer):
    """An image in patches, projected, with a class token in front and positions added."""

    def __init__(self, size: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.width = size, width
        self.project = L.Dense(width, name="project")

    def build(self, shape: Any) -> None:
        count = (shape[1] // self.size) * (shape[2] // self.size)
        self.token = self.add_weight(shape=(1, 1, self.width), initializer="zeros", name="token")
        self.positions = self.add_weight(shape=(1, count + 1, self.width), name="positions")
        self.project.build((None, count, self.size**2 * shape[3]))

    def call(self, x: Any) -> Any:
        patches = ops.image.extract_patches(x, self.size)
        x = self.project(ops.reshape(patches, (ops.shape(x)[0], -1, patches.shape[-1])))
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, self.width))
        return ops.concatenate([token, x], axis=1) + self.positions


def vision_transformer(**compiled: Any) -> Foreign:
    """Patches, one encoder block, and a head on the class token."""
    inputs = L.Input((8, 8, 3))
    x = Patches(4, 8, name="patches")(inputs)
    normal = L.LayerNormalization(name="before")(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 4, name="attention")(normal, normal)])
    x = L.Add()([x, L.Dense(8, activation="gelu", name="widen")(x)])
    logits = L.Dense(3, name="head")(L.LayerNormalization(name="norm")(x)[:, 0])
    model = keras.Model(inputs, logits, name="vit")
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-2, global_clipnorm=1.0)
    model.compile(optimizer, FROM_LOGITS, **compiled)
    order = ["patches/token", "patches/positions", "patches/project"]
    order += ["before", "attention", "widen", "norm", "head"]
    loss = lambda net, x, y: _cross_entropy(y, net(x, training=True))  # noqa: E731
    return Foreign(model, _normal(8, 8, 3), _rng().integers(0, 3, SAMPLES), order, loss)


def unet(**compiled: Any) -> Foreign:
    """Down and up again with skip connections; one bit for each pixel."""

    def block(x: Any, filters: int, name: str) -> Any:
        x = L.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
        return L.ReLU()(L.BatchNormalization(name=f"{name}_norm")(x))

    inputs = L.Input((8, 8, 1))
    top = block(inputs, 4, "down1")
    middle = block(L.MaxPooling2D()(top), 6, "down2")
    x = block(L.MaxPooling2D()(middle), 8, "bottom")
    x = L.Conv2DTranspose(6, 2, strides=2, name="up2")(x)
    x = block(L.Concatenate()([x, middle]), 6, "join2")
    x = L.Conv2DTranspose(4, 2, strides=2, name="up1")(x)
    x = block(L.Concatenate()([x, top]), 4, "join1")
    model = keras.Model(inputs, L.Conv2D(1, 1, name="mask")(x), name="unet")
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("rmsprop", loss, metrics=[keras.metrics.BinaryIoU([1])], **compiled)
    order = ["down1_conv", "down1_norm", "down2_conv", "down2_norm", "bottom_conv", "bottom_norm"]
    order += ["up2", "join2_conv", "join2_norm", "up1", "join1_conv", "join1_norm", "mask"]
    x = _normal(8, 8, 1)
    by_hand = lambda net, x, y: _log_loss(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, (x > 0).astype("float32"), order, by_hand)


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

    x = _normal(12)
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
    x = {"left": _normal(6), "right": np.flip(_normal(6), 0)}
    y = _rng().integers(0, 2, (SAMPLES, 1))
    by_hand = lambda net, x, y: contrastive(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, y, ["tower/hidden", "tower/code", "same"], by_hand)


# ----------------------------------------------------------------------------------- recurrent ones


def text(**compiled: Any) -> Foreign:
    """Masked tokens through a bidirectional LSTM and a GRU."""
    inputs = L.Input((7,), dtype="int32")
    x = L.Embedding(11, 4, mask_zero=True, name="tokens")(inputs)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    model = keras.Model(inputs, L.Dense(1, name="out")(L.GRU(3, name="gru")(x)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), **compiled)
    x = np.sort(_rng().integers(0, 11, (SAMPLES, 7)))[:, ::-1].copy()
    y = _rng().integers(0, 2, (SAMPLES, 1))
    order = ["tokens", "both/forward_lstm", "both/backward_lstm", "gru", "out"]
    by_hand = lambda net, x, y: _log_loss(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, y, order, by_hand)


def video(**compiled: Any) -> Foreign:
    """Frames through a ConvLSTM and a convolution for each frame."""
    model = keras.Sequential(
        [
            L.Input((3, 6, 6, 1)),
            L.ConvLSTM2D(2, 3, padding="same", return_sequences=True, name="frames"),
            L.BatchNormalization(name="norm"),
            L.TimeDistributed(L.Conv2D(1, 3, padding="same", name="pixel"), name="each"),
        ]
    )
    model.compile("adam", "mse", **compiled)
    x = _normal(3, 6, 6, 1)
    by_hand = lambda net, x, y: tf.reduce_mean(tf.square(net(x, training=True) - y))  # noqa: E731
    return Foreign(model, x, np.roll(x, -1, 1), ["frames", "norm", "each"], by_hand)


# ------------------------------------------------------------------------------------------ a graph


class GraphLayer(L.Layer):
    """Each node takes the sum of messages along its edges."""

    def __init__(self, edges: np.ndarray, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.edges = edges
        self.message = L.Dense(units, activation="relu", name="message")
        self.update = L.Dense(units, activation="relu", name="update")

    def call(self, nodes: Any) -> Any:
        sources, targets = self.edges
        messages = self.message(ops.take(nodes, sources, axis=0))
        received = ops.segment_sum(messages, targets, num_segments=nodes.shape[0])
        return self.update(ops.concatenate([nodes, received], axis=-1))


class GraphNet(keras.Model):
    """Classes of the nodes of one graph; a batch names the nodes."""

    def __init__(self, features: np.ndarray, edges: np.ndarray) -> None:
        super().__init__(name="graph_net")
        self.features = features
        self.first = GraphLayer(edges, 5, name="first")
        self.second = GraphLayer(edges, 5, name="second")
        self.out = L.Dense(3, name="out")

    def call(self, nodes: Any) -> Any:
        x = self.second(self.first(ops.convert_to_tensor(self.features)))
        return self.out(ops.take(x, nodes, axis=0))


def graph_net(**compiled: Any) -> Foreign:
    """Gather along edges, sum by segments."""
    edges = _rng().integers(0, SAMPLES, (2, 30))
    model = GraphNet(_normal(4), edges)
    model.compile("adam", FROM_LOGITS, **compiled)
    order = ["first/message", "first/update", "second/message", "second/update", "out"]
    loss = lambda net, x, y: _cross_entropy(y, net(x, training=True))  # noqa: E731
    return Foreign(model, np.arange(SAMPLES), _rng().integers(0, 3, SAMPLES), order, loss)


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
    return Foreign(model, _normal(8, 8, 1), None, order, withheld=order[4:])


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
    return Foreign(model, _normal(4), None, order, withheld=order[2:])


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
    y = _rng().integers(0, 3, SAMPLES)
    order = ["teacher/wide", "teacher/logits", "student/only"]
    return Foreign(model, _normal(6), y, order, withheld=order[:2])
