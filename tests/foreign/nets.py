"""Nets that others write, trained as Keras trains: of tokens, images, sequences and graphs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.foreign.parts import (
    FROM_LOGITS,
    SAMPLES,
    Foreign,
    L,
    cross_entropy,
    log_loss,
    normals,
    ops,
    rng,
)

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
    x = rng().integers(0, 13, (SAMPLES, 6))
    model = Decoder()
    model.compile("adam", FROM_LOGITS, **compiled)
    parts = ("before", "attention", "between", "widen", "narrow")
    order = ["tokens", "positions", *(f"block{b}/{p}" for b in range(2) for p in parts), "norm"]
    loss = lambda net, x, y: cross_entropy(y, net(x, training=True))  # noqa: E731
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
    loss = lambda net, x, y: cross_entropy(y, net(x, training=True))  # noqa: E731
    return Foreign(model, normals(8, 8, 3), rng().integers(0, 3, SAMPLES), order, loss)


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
    x = normals(8, 8, 1)
    by_hand = lambda net, x, y: log_loss(y, net(x, training=True))  # noqa: E731
    return Foreign(model, x, (x > 0).astype("float32"), order, by_hand)


# ----------------------------------------------------------------------------------- recurrent ones


def text(**compiled: Any) -> Foreign:
    """Masked tokens through a bidirectional LSTM and a GRU."""
    inputs = L.Input((7,), dtype="int32")
    x = L.Embedding(11, 4, mask_zero=True, name="tokens")(inputs)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    model = keras.Model(inputs, L.Dense(1, name="out")(L.GRU(3, name="gru")(x)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), **compiled)
    x = np.sort(rng().integers(0, 11, (SAMPLES, 7)))[:, ::-1].copy()
    y = rng().integers(0, 2, (SAMPLES, 1))
    order = ["tokens", "both/forward_lstm", "both/backward_lstm", "gru", "out"]
    by_hand = lambda net, x, y: log_loss(y, net(x, training=True))  # noqa: E731
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
    x = normals(3, 6, 6, 1)
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
    edges = rng().integers(0, SAMPLES, (2, 30))
    model = GraphNet(normals(4), edges)
    model.compile("adam", FROM_LOGITS, **compiled)
    order = ["first/message", "first/update", "second/message", "second/update", "out"]
    loss = lambda net, x, y: cross_entropy(y, net(x, training=True))  # noqa: E731
    return Foreign(model, np.arange(SAMPLES), rng().integers(0, 3, SAMPLES), order, loss)
