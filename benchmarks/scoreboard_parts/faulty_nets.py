"""Faulty programs: initialisation and activations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks.scoreboard_parts.datasets import digits, plane, waves
from benchmarks.scoreboard_parts.nets import (
    SPARSE_CE,
    L,
    classifier,
    compiled,
    dense_stack,
    regressor,
    sequential,
)
from benchmarks.scoreboard_parts.program import Register, accuracy, r2
from benchmarks.scoreboard_parts.symptoms import (
    DEAD,
    EXPLODES,
    HIGH,
    LOW,
    MISFIT,
    SATURATED,
    STILL,
    STUCK,
    VANISHES,
)

O = keras.optimizers  # noqa: E741
FAULTY = Register(healthy=False)
DIGITS = digits(2000)
IMAGES = digits(2000, flat=False)


def _normal(stddev: float) -> Any:
    return keras.initializers.RandomNormal(stddev=stddev)


@FAULTY(
    "relu_bias_minus_5", "ReLU units that start with a bias of -5", data=DIGITS, measure=accuracy,
    labels=(DEAD, STILL), acceptable=(STUCK, LOW, VANISHES), where=("h1", "h2"), epochs=3,
)  # fmt: skip
def _bias() -> keras.Model:
    init = keras.initializers.Constant(-5.0)
    return classifier((196,), *dense_stack(2, 48, bias_initializer=init), optimizer=O.Adam(1e-3))


@FAULTY(
    "relu_killed_by_rate", "targets around 100 and SGD 0.05 kill every unit in the first steps",
    data=lambda: (waves(1500)[0], 100 + 20 * waves(1500)[1]), measure=r2, epochs=4,
    labels=(DEAD,), acceptable=(STUCK, STILL, VANISHES, HIGH, EXPLODES, LOW), where=("h1", "h2"),
)  # fmt: skip
def _killed() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.SGD(0.05))


@FAULTY(
    "conv_relu_dead_layer", "one convolution of three starts far below zero", data=IMAGES,
    measure=accuracy, epochs=4, labels=(DEAD, STILL), acceptable=(STUCK, LOW, VANISHES),
    where=("c2",),
)  # fmt: skip
def _conv_dead() -> keras.Model:
    layers = [
        L.Conv2D(8, 3, activation="relu", name="c1"),
        L.Conv2D(
            12, 3, activation="relu", name="c2", bias_initializer=keras.initializers.Constant(-30.0)
        ),
        L.Conv2D(12, 3, activation="relu", name="c3"),
        L.GlobalAveragePooling2D(),
    ]
    return classifier((14, 14, 1), *layers, optimizer=O.Adam(1e-3))


@FAULTY(
    "relu_output_negative_targets", "a ReLU output for targets below zero", measure=r2,
    data=lambda: (plane(1200)[0], -10 - np.abs(plane(1200)[1])), epochs=4,
    labels=(DEAD,), acceptable=(MISFIT, STILL, STUCK, LOW, VANISHES), where=("out",),
)  # fmt: skip
def _relu_output() -> keras.Model:
    layers = [*dense_stack(1, 16, "tanh"), L.Dense(1, activation="relu", name="out")]
    return compiled(sequential((6,), *layers), O.SGD(0.05), "mse")


@FAULTY(
    "tanh_wide_init", "tanh units, kernels N(0, 3)", data=DIGITS, measure=accuracy, epochs=4,
    labels=(SATURATED,), acceptable=(LOW, STUCK, VANISHES, EXPLODES), where=("h1", "h2"),
)  # fmt: skip
def _tanh() -> keras.Model:
    hidden = dense_stack(2, 128, "tanh", kernel_initializer=_normal(3.0))
    return classifier((196,), *hidden, optimizer=O.SGD(0.01))


@FAULTY(
    "sigmoid_raw_pixels", "sigmoid units on pixels from 0 to 255", data=digits(2000, scale=255.0),
    measure=accuracy, epochs=3, labels=(SATURATED,), acceptable=(LOW, STUCK, VANISHES, STILL),
    where=("h1",),
)  # fmt: skip
def _raw() -> keras.Model:
    hidden = dense_stack(1, 64, "sigmoid", kernel_initializer=_normal(1.0))
    return classifier((196,), *hidden, optimizer=O.SGD(0.01))


@FAULTY(
    "sigmoid_12_deep", "12 sigmoid layers", data=DIGITS, measure=accuracy, epochs=5,
    labels=(VANISHES, STUCK), acceptable=(LOW, STILL), where=("h1", "h2"),
)  # fmt: skip
def _sigmoid() -> keras.Model:
    return classifier((196,), *dense_stack(12, 32, "sigmoid"), optimizer=O.SGD(0.1))


@FAULTY(
    "tanh_tiny_init", "10 tanh layers, kernels N(0, 0.01)", data=DIGITS, measure=accuracy,
    epochs=5, labels=(VANISHES, STUCK), acceptable=(LOW, STILL),
)  # fmt: skip
def _tiny() -> keras.Model:
    hidden = dense_stack(10, 32, "tanh", kernel_initializer=_normal(0.01))
    return classifier((196,), *hidden, optimizer=O.SGD(0.1))


@FAULTY(
    "relu_tiny_init_conv", "8 convolutions, kernels N(0, 0.005)", data=IMAGES, measure=accuracy,
    epochs=3, labels=(VANISHES, STUCK, DEAD), acceptable=(LOW, STILL),
)  # fmt: skip
def _tiny_conv() -> keras.Model:
    layers = [
        L.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer=_normal(0.005),
                 name=f"c{i}")
        for i in range(8)
    ]  # fmt: skip
    layers.append(L.GlobalAveragePooling2D())
    return classifier((14, 14, 1), *layers, optimizer=O.SGD(0.05))


@FAULTY(
    "n01_init", "every weight and bias N(0, 1), 5 ReLU layers", data=DIGITS, measure=accuracy,
    epochs=4, labels=(EXPLODES,), acceptable=(LOW, HIGH, STUCK, DEAD),
)  # fmt: skip
def _n01() -> keras.Model:
    init = {"kernel_initializer": _normal(1.0), "bias_initializer": _normal(1.0)}
    layers = [*dense_stack(5, 96, **init), L.Dense(10, name="out", **init)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(sequential((196,), *layers), O.Adam(1e-3), loss)


@FAULTY(
    "zero_init", "every kernel starts at zero", data=DIGITS, measure=accuracy, epochs=4,
    labels=(STILL, STUCK), acceptable=(VANISHES, LOW, DEAD), where=("h1", "h2"),
)  # fmt: skip
def _zero() -> keras.Model:
    hidden = dense_stack(2, 48, kernel_initializer="zeros")
    out = L.Dense(10, activation="softmax", kernel_initializer="zeros", name="out")
    return compiled(sequential((196,), *hidden, out), O.SGD(0.1), SPARSE_CE)


@FAULTY(
    "constant_init", "every kernel starts at 0.05: all units of a layer stay the same",
    data=DIGITS, measure=accuracy, epochs=4, labels=(STILL,), acceptable=(STUCK, LOW, MISFIT),
    where=("h1", "h2"),
)  # fmt: skip
def _constant() -> keras.Model:
    init = keras.initializers.Constant(0.05)
    return classifier((196,), *dense_stack(2, 48, kernel_initializer=init), optimizer=O.Adam(1e-3))
