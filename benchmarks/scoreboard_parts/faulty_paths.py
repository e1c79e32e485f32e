"""Faulty programs: broken paths, outputs that do not fit, what lets nothing through."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from benchmarks.scoreboard_parts.datasets import clusters, digits, plane
from benchmarks.scoreboard_parts.nets import (
    BINARY_CE,
    SPARSE_CE,
    L,
    classifier,
    compiled,
    dense_stack,
    sequential,
)
from benchmarks.scoreboard_parts.program import Data, Register, accuracy, r2
from benchmarks.scoreboard_parts.symptoms import (
    DEAD,
    EXPLODES,
    HIGH,
    LOW,
    MISFIT,
    NAN,
    SATURATED,
    STILL,
    STUCK,
    VANISHES,
)

O = keras.optimizers  # noqa: E741
FAULTY = Register(healthy=False)
DIGITS = digits(2000)
IMAGES = digits(2000, flat=False)


@FAULTY(
    "stop_gradient", "a stop_gradient left in after the second layer", data=DIGITS,
    measure=accuracy, epochs=3, labels=("disconnected", STILL), acceptable=(LOW, VANISHES),
    where=("h1", "h2"),
)  # fmt: skip
def _stop() -> keras.Model:
    layers = [*dense_stack(2, 48), L.Lambda(ops.stop_gradient), L.Dense(32, activation="relu")]
    return classifier((196,), *layers, optimizer=O.Adam(2e-3))


@FAULTY(
    "rounded_features", "a rounding layer in the middle: its gradient does not exist",
    data=DIGITS, measure=accuracy, epochs=3, labels=("disconnected", STILL),
    acceptable=(LOW, VANISHES), where=("h1",),
)  # fmt: skip
def _rounded() -> keras.Model:
    layers = [*dense_stack(1, 48), L.Lambda(lambda t: ops.floor(4 * t) / 4)]
    return classifier((196,), *layers, optimizer=O.Adam(2e-3))


@FAULTY(
    "clipped_features", "outputs clipped to a range that none of them reaches", data=DIGITS,
    measure=accuracy, epochs=3, labels=(STILL,), acceptable=(VANISHES, STUCK, LOW), where=("h1",),
)  # fmt: skip
def _clipped() -> keras.Model:
    layers = [*dense_stack(1, 48, "sigmoid"), L.Lambda(lambda t: ops.clip(t, 2.0, 6.0))]
    return classifier((196,), *layers, optimizer=O.SGD(0.1))


@FAULTY(
    "head_without_loss", "a second output that no loss sees", epochs=3,
    data=lambda: (DIGITS()[0], {"digit": DIGITS()[1]}), labels=("disconnected",),
    acceptable=(STILL,), where=("size_h", "size"),
)  # fmt: skip
def _head() -> keras.Model:
    i = L.Input((196,))
    h = L.Dense(48, activation="relu", name="h1")(i)
    size = L.Dense(1, name="size")(L.Dense(16, activation="relu", name="size_h")(h))
    digit = L.Dense(10, activation="softmax", name="digit")(h)
    model = keras.Model(i, {"digit": digit, "size": size})
    return compiled(model, O.Adam(2e-3), {"digit": SPARSE_CE})


@FAULTY(
    "branch_scaled_away", "a branch whose output is multiplied with 1e-9", data=DIGITS,
    measure=accuracy, epochs=3, labels=(VANISHES,), acceptable=(STILL, LOW), where=("b1", "b2"),
)  # fmt: skip
def _scaled() -> keras.Model:
    i = L.Input((196,))
    branch = L.Dense(32, activation="relu", name="b2")(L.Dense(32, activation="relu", name="b1")(i))
    main = L.Dense(32, activation="relu", name="main")(i)
    x = L.Add()([main, branch * 1e-9])
    out = L.Dense(10, activation="softmax", name="out")(x)
    return compiled(keras.Model(i, out), O.SGD(0.1), SPARSE_CE)


@FAULTY(
    "exp_overflow", "exponential units on inputs around 30", epochs=2,
    data=lambda: (10 * clusters(1200)[0], clusters(1200)[1]), labels=(NAN,),
    acceptable=(EXPLODES, HIGH, STUCK),
)  # fmt: skip
def _exp() -> keras.Model:
    hidden = dense_stack(3, 16, "exponential")
    return classifier((8,), *hidden, classes=4, optimizer=O.Adam(1e-3))


def _binary_digits() -> Data:
    x, y = DIGITS()
    return x, (y > 4).astype(np.float32)[:, None]


@FAULTY(
    "softmax_over_one_unit", "softmax over one unit with squared error", data=_binary_digits,
    measure=accuracy, epochs=3, labels=(MISFIT, STILL, STUCK), acceptable=(LOW, VANISHES),
    where=("h1", "out"),
)  # fmt: skip
def _softmax_one() -> keras.Model:
    layers = [*dense_stack(1, 32), L.Dense(1, activation="softmax", name="out")]
    return compiled(sequential((196,), *layers), O.Adam(1e-3), "mse")


@FAULTY(
    "tanh_output_large_targets", "a tanh output for targets around 50", measure=r2, epochs=6,
    data=lambda: (plane(1200)[0], 50 + 10 * plane(1200)[1]), labels=(MISFIT, LOW),
    acceptable=(STUCK, SATURATED, VANISHES, STILL), where=("out",),
)  # fmt: skip
def _tanh_output() -> keras.Model:
    layers = [*dense_stack(1, 24), L.Dense(1, activation="tanh", name="out")]
    return compiled(sequential((6,), *layers), O.Adam(1e-2), "mse")


@FAULTY(
    "inputs_all_zero", "the pipeline hands out zeros", measure=accuracy, epochs=3,
    data=lambda: (np.zeros((1500, 196), np.float32), DIGITS()[1][:1500]),
    labels=(STILL, STUCK, DEAD), acceptable=(LOW, VANISHES), where=("h1",),
)  # fmt: skip
def _zeros() -> keras.Model:
    return classifier((196,), *dense_stack(2, 48), optimizer=O.Adam(1e-3))


@FAULTY(
    "hidden_softmax", "softmax as the activation of wide hidden layers", data=DIGITS,
    measure=accuracy, epochs=4, labels=(VANISHES, STUCK), acceptable=(LOW, STILL),
)  # fmt: skip
def _hidden_softmax() -> keras.Model:
    return classifier((196,), *dense_stack(4, 128, "softmax"), optimizer=O.SGD(0.1))


@FAULTY(
    "kernel_pinned", "a kernel constraint that lets nothing through", data=DIGITS,
    measure=accuracy, epochs=3, labels=(STUCK,), acceptable=(VANISHES, STILL, LOW), where=("h1",),
)  # fmt: skip
def _pinned() -> keras.Model:
    hidden = dense_stack(2, 48, "tanh", kernel_constraint=keras.constraints.MaxNorm(1e-4))
    return classifier((196,), *hidden, optimizer=O.Adam(1e-3))


@FAULTY(
    "dropout_of_all", "dropout rate 0.99 where 0.01 was meant", data=_binary_digits,
    measure=accuracy, epochs=4, labels=(LOW,), acceptable=(STUCK, STILL),
)  # fmt: skip
def _dropout() -> keras.Model:
    layers = [*dense_stack(1, 32), L.Dropout(0.99), L.Dense(1, activation="sigmoid", name="out")]
    return compiled(sequential((196,), *layers), O.SGD(0.01), BINARY_CE)
