"""Faulty programs: updates that are too small, too large, lost, or not finite.

Each has its fault in the one line that asks `if faulty`.
"""

from __future__ import annotations

import keras
import numpy as np

from docs.pictures.program import LOGITS, Digits, L, Training, dense_layers, net, program


@program("update_ratio", of="conv1/kernel")
def nonfinite(faulty: bool, digits: Digits) -> Training:
    """One image of 4000 is broken."""
    images = digits.images.copy()
    images[1234] = np.nan if faulty else 0.0
    model = net(
        L.Conv2D(8, 5, strides=2, activation="tanh", name="conv1"),
        L.Conv2D(16, 3, strides=2, activation="tanh", name="conv2"),
        *dense_layers(1, 64, "tanh"),
    )
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, images, digits.labels)


@program("gradient_norm", also="global_gradient_norm")
def exploding_gradient(faulty: bool, digits: Digits) -> Training:
    """A regression whose learning rate is a hundred times too high."""
    rate = 0.1 if faulty else 1e-3
    model = keras.Sequential(
        [L.Input((28, 28, 1)), *dense_layers(2, 64, "tanh"), L.Dense(1, name="value")]
    )
    model.compile(keras.optimizers.SGD(rate), "mse")
    return Training(model, digits.images, digits.labels.astype(np.float32))


@program("update_ratio")
def weight_divergence(faulty: bool, digits: Digits) -> Training:
    """A learning rate of 3 where 3e-3 was meant."""
    rate = 3.0 if faulty else 3e-3
    model = net(*dense_layers(2, 64, "gelu"))
    model.compile(keras.optimizers.Adam(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_zero_fraction")
def lost_update(faulty: bool, digits: Digits) -> Training:
    """Weights, not only activations, are kept in half precision."""
    policy = "bfloat16" if faulty else "mixed_bfloat16"
    model = net(*dense_layers(2, 64, "relu", dtype=policy))
    model.compile(keras.optimizers.Adam(5e-5), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio")
def dead_update(faulty: bool, digits: Digits) -> Training:
    """A typing mistake in the learning rate."""
    rate = 1e-9 if faulty else 1e-3
    model = net(
        L.Conv2D(8, 5, strides=2, activation="relu", name="conv1"),
        *dense_layers(1, 64, "relu"),
    )
    model.compile(keras.optimizers.Adam(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio")
def weights_too_large(faulty: bool, digits: Digits) -> Training:
    """All kernels are drawn from N(0, 1)."""
    start = keras.initializers.RandomNormal(stddev=1.0) if faulty else "glorot_uniform"
    conv = {"padding": "same", "activation": "relu", "kernel_initializer": start}
    model = net(
        L.Conv2D(16, 5, name="conv1", **conv),
        L.MaxPooling2D(),
        L.Conv2D(32, 5, name="conv2", **conv),
        L.MaxPooling2D(),
        *dense_layers(1, 64, "relu", kernel_initializer=start),
    )
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio")
def update_too_small(faulty: bool, digits: Digits) -> Training:
    """A learning rate for SGD of 1e-5 where 1e-2 was meant."""
    rate = 1e-5 if faulty else 1e-2
    model = net(*dense_layers(2, 64, "relu"))
    model.compile(keras.optimizers.SGD(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio")
def update_too_large(faulty: bool, digits: Digits) -> Training:
    """A learning rate a hundred times too high."""
    rate = 5.0 if faulty else 0.05
    model = net(L.Flatten())
    model.compile(keras.optimizers.SGD(rate), LOGITS)
    return Training(model, digits.images, digits.labels)
