"""Faulty programs: layers that get nothing from the loss, or hand nothing on.

Each has its fault in the one line that asks `if faulty`.
"""

from __future__ import annotations

import keras

from docs.pictures.program import LOGITS, Digits, L, Training, dense_layers, net, program


@program("update_ratio")
def not_connected(faulty: bool, digits: Digits) -> Training:
    """A `stop_gradient` was left in after an experiment."""
    images = L.Input((28, 28, 1))
    features = L.Conv2D(8, 5, strides=2, activation="relu", name="conv1")(images)
    features = keras.ops.stop_gradient(features) if faulty else features
    hidden = L.Dense(64, activation="relu", name="fc1")(L.Flatten()(features))
    model = keras.Model(images, L.Dense(10, name="out")(hidden))
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio")
def identical_units(faulty: bool, digits: Digits) -> Training:
    """All weights begin with the same number."""
    start = keras.initializers.Constant(0.01) if faulty else "glorot_uniform"
    hidden = dense_layers(2, 64, "relu", kernel_initializer=start)
    model = keras.Sequential(
        [L.Input((28, 28, 1)), *hidden, L.Dense(10, kernel_initializer=start, name="out")]
    )
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("decay_cosine")
def decay_only(faulty: bool, digits: Digits) -> Training:
    """A second head whose loss has the weight 0."""
    weight = 0.0 if faulty else 0.3
    images = L.Input((28, 28, 1))
    hidden = L.Dense(64, activation="relu", name="fc1")(L.Flatten()(images))
    digit = L.Dense(10, name="digit")(hidden)
    odd = L.Dense(2, name="odd")(L.Dense(16, activation="relu", name="odd_fc")(hidden))
    model = keras.Model(images, {"digit": digit, "odd": odd})
    weights = {"digit": 1.0, "odd": weight}
    losses = {"digit": LOGITS, "odd": LOGITS}
    model.compile(keras.optimizers.AdamW(1e-3), losses, loss_weights=weights)
    return Training(model, digits.images, {"digit": digits.labels, "odd": digits.labels % 2})


@program("gradient_norm")
def zero_gradient(faulty: bool, digits: Digits) -> Training:
    """A layer makes its input -1 or 1, and has no slope anywhere."""
    binary = L.Lambda(keras.ops.sign if faulty else keras.ops.tanh, name="binary")
    model = net(
        L.Conv2D(8, 5, strides=2, activation="tanh", name="conv1"),
        binary,
        *dense_layers(1, 64, "relu"),
    )
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("gradient_weight_cosine")
def regularisation_only(faulty: bool, digits: Digits) -> Training:
    """A penalty so strong that nothing but small weights counts."""
    penalty = keras.regularizers.L2(3.0 if faulty else 3e-4)
    model = net(*dense_layers(2, 64, "relu", kernel_regularizer=penalty))
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("gradient_norm")
def vanishing_gradient(faulty: bool, digits: Digits) -> Training:
    """Seven layers of sigmoids."""
    model = net(*dense_layers(7, 48, "sigmoid" if faulty else "relu"))
    model.compile(keras.optimizers.SGD(0.1), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("silent_units")
def dead_relu(faulty: bool, digits: Digits) -> Training:
    """A learning rate that throws the biases far below zero in the first updates."""
    rate = 0.1 if faulty else 1e-3
    model = net(
        L.Conv2D(8, 5, strides=2, activation="relu", name="conv1"),
        *dense_layers(2, 64, "relu"),
    )
    model.compile(keras.optimizers.Adam(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("saturated_fraction")
def saturated_activation(faulty: bool, digits: Digits) -> Training:
    """Pixels from 0 to 255 where 0 to 1 was meant."""
    images = digits.images * 255 if faulty else digits.images
    model = net(*dense_layers(2, 64, "tanh"))
    model.compile(keras.optimizers.SGD(0.05), LOGITS)
    return Training(model, images, digits.labels)


@program("unit_std")
def signal_lost(faulty: bool, digits: Digits) -> Training:
    """Sigmoids, each of which makes the differences between examples smaller."""
    model = net(*dense_layers(5, 48, "sigmoid" if faulty else "relu"))
    model.compile(keras.optimizers.Adam(1e-4), LOGITS)
    return Training(model, digits.images, digits.labels)
