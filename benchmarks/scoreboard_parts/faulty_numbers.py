"""Faulty programs: precision, NaN, unscaled numbers, labels that mean nothing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.scoreboard_parts.datasets import clusters, digits, series, waves
from benchmarks.scoreboard_parts.nets import (
    SPARSE_CE,
    L,
    classifier,
    compiled,
    dense_stack,
    digit_net,
    regressor,
    sequential,
)
from benchmarks.scoreboard_parts.program import Array, Data, Register, accuracy, r2
from benchmarks.scoreboard_parts.symptoms import (
    DEAD,
    EXPLODES,
    HIGH,
    LOW,
    MISFIT,
    NAN,
    STILL,
    STUCK,
    VANISHES,
)

O = keras.optimizers  # noqa: E741
Schedules = keras.optimizers.schedules
FAULTY = Register(healthy=False)
DIGITS = digits(2000)
IMAGES = digits(2000, flat=False)


@FAULTY(
    "float16_weights", "variables in float16 without a float32 copy, SGD 1e-4", data=DIGITS,
    measure=accuracy, epochs=4, labels=(STILL, LOW), acceptable=(STUCK,), where=("h1", "h2", "out"),
)  # fmt: skip
def _float16() -> keras.Model:
    hidden = dense_stack(2, 64, dtype="float16")
    out = L.Dense(10, activation="softmax", name="out", dtype="float16")
    return compiled(sequential((196,), *hidden, out), O.SGD(3e-6), SPARSE_CE)


@FAULTY(
    "bfloat16_weights_sgd", "variables in bfloat16, SGD 1e-4", data=DIGITS, measure=accuracy,
    epochs=4, labels=(STILL, LOW), acceptable=(STUCK,), where=("h1", "h2"),
)  # fmt: skip
def _bfloat16() -> keras.Model:
    return classifier((196,), *dense_stack(2, 64, dtype="bfloat16"), optimizer=O.SGD(2e-5))


@FAULTY(
    "float16_overflow", "mixed_float16, inputs of 1e4 and a fixed loss scale", measure=accuracy,
    data=digits(2000, scale=1e4), epochs=2, labels=(NAN,), acceptable=(EXPLODES, HIGH, STUCK, DEAD),
)  # fmt: skip
def _overflow() -> keras.Model:
    hidden = dense_stack(3, 64, dtype="mixed_float16", kernel_initializer="he_normal")
    return classifier((196,), *hidden, optimizer=O.SGD(0.1, loss_scale_factor=2.0**15))


@FAULTY(
    "gradient_ascent", "the sign of the loss is wrong", data=lambda: waves(1500), measure=r2,
    epochs=4, labels=(EXPLODES, NAN), acceptable=(HIGH, STUCK, DEAD),
)  # fmt: skip
def _ascent() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.SGD(-0.05))


def _summed_squares(y: Any, p: Any) -> Any:
    return ops.sum((y - p) ** 2)


@FAULTY(
    "summed_loss_high_rate", "squared error summed over the batch, SGD 0.05", measure=r2,
    data=lambda: waves(1500), epochs=4, labels=(HIGH, EXPLODES, NAN),
    acceptable=(STUCK, DEAD, STILL, VANISHES),
)  # fmt: skip
def _summed() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.SGD(0.05), loss=_summed_squares)


def _own_binary_ce(y: Any, p: Any) -> Any:
    return -ops.mean(y * ops.log(p) + (1 - y) * ops.log(1 - p))


def _two_clusters() -> Data:
    x, y = clusters(1200, classes=2, seed=4)
    return 3 * x, y.astype(np.float32)[:, None]


@FAULTY(
    "log_of_zero", "a hand-written cross-entropy meets a sure answer", data=_two_clusters,
    measure=accuracy, epochs=6, labels=(NAN,), acceptable=(HIGH, EXPLODES, STUCK, DEAD),
)  # fmt: skip
def _log_zero() -> keras.Model:
    layers = [*dense_stack(2, 32), L.Dense(1, activation="sigmoid", name="out")]
    return compiled(sequential((8,), *layers), O.Adam(0.02), _own_binary_ce)


def _distance(y: Any, p: Any) -> Any:
    return ops.mean(ops.sqrt(ops.sum((y - p) ** 2, axis=-1)))


@FAULTY(
    "sqrt_at_zero", "a distance whose root has no derivative where target and output are 0",
    data=lambda: (np.maximum(waves(1200)[0], 0), np.zeros((1200, 1), np.float32)), epochs=4,
    labels=(NAN,), acceptable=(HIGH, EXPLODES, STUCK, DEAD),
)  # fmt: skip
def _sqrt() -> keras.Model:
    layers = [*dense_stack(1, 8), L.Dense(1, activation="relu", name="out")]
    return compiled(sequential((3,), *layers), O.SGD(0.05), _distance)


def _one_bad_row() -> Data:
    x, y = clusters(1500)
    x = x.copy()
    x[900, 3] = np.nan
    return x, y


@FAULTY(
    "one_bad_row", "one NaN in one row of the data", data=_one_bad_row, epochs=3,
    options=lambda: {"shuffle": False}, labels=(NAN,), acceptable=(HIGH, EXPLODES, STUCK, DEAD),
)  # fmt: skip
def _bad_row() -> keras.Model:
    return classifier((8,), *dense_stack(2, 24), classes=4, optimizer=O.Adam(1e-3))


def _constant_column() -> Data:
    x, y = clusters(1500)
    x = np.concatenate([x, np.full((len(x), 1), 7.0)], axis=1)
    with np.errstate(invalid="ignore"):
        return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y


@FAULTY(
    "divided_by_zero_spread", "a constant column was standardised", data=_constant_column,
    epochs=2, labels=(NAN,), acceptable=(HIGH, EXPLODES, STUCK, DEAD),
)  # fmt: skip
def _zero_spread() -> keras.Model:
    return classifier((9,), *dense_stack(2, 24), classes=4, optimizer=O.Adam(1e-3))


@FAULTY(
    "unscaled_inputs", "inputs of 1e3, SGD 0.05", measure=r2,
    data=lambda: (1e3 * waves(1500)[0], waves(1500)[1]), epochs=3,
    labels=(HIGH, EXPLODES, NAN), acceptable=(DEAD, STUCK, STILL, VANISHES),
)  # fmt: skip
def _unscaled() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.SGD(0.05))


@FAULTY(
    "recurrence_explodes", "SimpleRNN of ReLU units with a recurrent gain of 2, 40 steps",
    data=lambda: series(1000, 40), measure=r2, epochs=3, labels=(EXPLODES, NAN),
    acceptable=(HIGH, STUCK, DEAD, STILL, VANISHES),
)  # fmt: skip
def _recurrence() -> keras.Model:
    init = keras.initializers.Orthogonal(gain=2.0)
    rnn = L.SimpleRNN(24, activation="relu", recurrent_initializer=init, name="rnn")
    return regressor((40, 1), rnn, optimizer=O.SGD(1e-3))


def _random_labels() -> Data:
    x, _ = clusters(4000, features=8)
    labels: Array = np.random.default_rng(3).integers(0, 6, len(x))
    return x, labels


@FAULTY(
    "shuffled_labels", "labels that have nothing to do with the inputs", data=_random_labels,
    epochs=5, labels=(STUCK,), acceptable=(LOW, MISFIT),
)  # fmt: skip
def _shuffled() -> keras.Model:
    init = keras.initializers.RandomNormal(stddev=0.01)
    out = L.Dense(6, activation="softmax", kernel_initializer=init, name="out")
    return compiled(sequential((8,), *dense_stack(1, 8), out), O.SGD(0.02), SPARSE_CE)


@FAULTY(
    "loss_weight_underflow", "a loss weight of 1e-9 beside Adam's epsilon", data=DIGITS,
    measure=accuracy, epochs=4, labels=(LOW, STILL), acceptable=(VANISHES, STUCK),
)  # fmt: skip
def _loss_weight() -> keras.Model:
    return digit_net(O.Adam(1e-4), loss_weights=1e-9)
