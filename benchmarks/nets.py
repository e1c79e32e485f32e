"""The nets that are measured, each with the batch that it is trained on.

Keras is imported when a net is built: who only wants names and titles need not wait for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Net:
    """A model that can be built, and the shape of its batches.

    Attributes:
        title: how it is called in a table.
        build: makes the model, with logits for 10 classes.
        shape: of one example.
        batch: examples.
    """

    title: str
    build: Callable[[], keras.Model]
    shape: tuple[int, ...]
    batch: int

    def compiled(self, jit_compile: bool = False, optimizer: str = "adam") -> keras.Model:
        """The model, the same at each call, ready for `fit`."""
        import keras

        keras.utils.set_random_seed(0)
        model = self.build()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=jit_compile)
        return model

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """One batch of noise."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.batch, *self.shape)).astype("float32")
        return x, rng.integers(0, CLASSES, self.batch)

    def batches(self) -> tf.data.Dataset:
        """That batch for ever: costs next to nothing to prepare."""
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(self.examples()).repeat()


def convnet() -> keras.Model:
    """The MNIST ConvNet."""
    import keras
    from keras import layers as L

    return keras.Sequential(
        [
            L.Input((28, 28, 1)),
            L.Conv2D(32, 5, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(64, 5, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(1024, activation="relu"),
            L.Dense(CLASSES),
        ]
    )


def mlp() -> keras.Model:
    """Four wide layers, for tiny batches: the worst case, since a step is short."""
    import keras
    from keras import layers as L

    hidden = [L.Dense(512, activation="relu") for _ in range(4)]
    return keras.Sequential([L.Input((784,)), *hidden, L.Dense(CLASSES)])


def alexnet() -> keras.Model:
    """AlexNet for grey pictures of 227 x 227: 58 M parameters, 37.7 M of them in one matrix."""
    import keras
    import tensorflow as tf
    from keras import layers as L

    def normalized(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.local_response_normalization(x, 2, bias=1.0, alpha=2e-5, beta=0.75)

    def conv(filters: int, size: int, **more: object) -> keras.layers.Layer:
        return L.Conv2D(filters, size, activation="relu", **{"padding": "same", **more})

    return keras.Sequential(
        [
            L.Input((227, 227, 1)),
            conv(96, 11, strides=4, padding="valid"),
            L.Lambda(normalized),
            L.MaxPooling2D(3, 2),
            conv(256, 5),
            L.Lambda(normalized),
            L.MaxPooling2D(3, 2),
            conv(384, 3),
            conv(384, 3),
            conv(256, 3),
            L.MaxPooling2D(3, 2),
            L.Flatten(),
            L.Dense(4096, activation="relu"),
            L.Dropout(0.5),
            L.Dense(4096, activation="relu"),
            L.Dropout(0.5),
            L.Dense(CLASSES),
        ]
    )


def application(family: str) -> keras.Model:
    """A model of `keras.applications` for 64 x 64 pictures."""
    import keras

    build = getattr(keras.applications, family)
    options = {"weights": None, "classes": CLASSES, "classifier_activation": None}
    return build(input_shape=(64, 64, 3), **options)


def chain(layers: int, units: int) -> keras.Model:
    """So many dense layers, each added to what it sees, so that any depth trains."""
    import keras
    from keras import layers as L

    # No functional model: Keras walks through its layers by recursion, and 1000 are too deep.
    class Chain(keras.Model):  # type: ignore[misc]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__()
            small = keras.initializers.RandomNormal(stddev=0.01, seed=0)
            self.hidden = [
                L.Dense(units, activation="relu", kernel_initializer=small)
                for _ in range(layers - 1)
            ]
            self.out = L.Dense(CLASSES)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            for layer in self.hidden:
                x = x + layer(x)
            return self.out(x)

    model = Chain()
    model(np.zeros((1, units), "float32"))
    return model


def deep(layers: int, units: int = 16, batch: int = 32) -> Net:
    """A `chain` as a net."""
    return Net(f"{layers} dense layers", lambda: chain(layers, units), (units,), batch)


NETS = {
    "ConvNet": Net("ConvNet, batch 128", convnet, (28, 28, 1), 128),
    "MLP": Net("MLP 784-512x4-10, batch 32", mlp, (784,), 32),
    "AlexNet": Net("AlexNet 227, batch 32", alexnet, (227, 227, 1), 32),
    "ResNet50": Net("ResNet50 64x64, batch 16", lambda: application("ResNet50"), (64, 64, 3), 16),
    "MobileNetV2": Net(
        "MobileNetV2 64x64, batch 16", lambda: application("MobileNetV2"), (64, 64, 3), 16
    ),
}
