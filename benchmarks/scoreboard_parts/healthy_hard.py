"""Healthy programs that look sick at a glance: each is there because some naive rule fires."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.scoreboard_parts.datasets import clusters, digits, plane, spirals, sums, waves
from benchmarks.scoreboard_parts.nets import (
    BINARY_CE,
    SPARSE_CE,
    L,
    binary,
    classifier,
    compiled,
    dense_stack,
    digit_net,
    regressor,
    sequential,
)
from benchmarks.scoreboard_parts.program import Data, Register, accuracy, predictions, r2

O = keras.optimizers  # noqa: E741
HEALTHY = Register(healthy=True)


def _log_likelihood(y: Any, p: Any) -> Any:
    mean, log_std = p[:, :1], p[:, 1:]
    return ops.mean(log_std + 0.5 * ((y - mean) / ops.exp(log_std)) ** 2)


def _r2_of_mean(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0])[:, :1]
    target = data[1][: len(guess)]
    return float(1 - np.mean((guess - target) ** 2) / target.var())


@HEALTHY(
    "negative_loss", "a log-likelihood that passes zero and goes on falling",
    data=lambda: plane(1500, scale=0.3), measure=_r2_of_mean, goal=0.7, epochs=10,
)  # fmt: skip
def _negative() -> keras.Model:
    model = sequential((6,), *dense_stack(1, 32, "tanh"), L.Dense(2, name="out"))
    return compiled(model, O.Adam(5e-3), _log_likelihood)


def _similarity(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0])
    return -float(np.mean(keras.losses.cosine_similarity(data[1][: len(guess)], guess)))


@HEALTHY(
    "cosine_loss", "a cosine similarity: the loss runs from 0 to -1",
    data=lambda: (clusters(1200)[0], np.tanh(clusters(1200)[0] @ np.eye(8, 5, dtype=np.float32))),
    measure=_similarity, goal=0.8, epochs=5,
)  # fmt: skip
def _cosine() -> keras.Model:
    model = sequential((8,), *dense_stack(1, 24), L.Dense(5, name="out"))
    return compiled(model, O.Adam(2e-3), "cosine_similarity")


def _with_outliers() -> Data:
    x, y = waves(2000)
    rng = np.random.default_rng(2)
    rare = rng.random(len(y)) < 0.004
    return x, np.where(rare[:, None], y + 15 * rng.choice([-1, 1], y.shape), y).astype(np.float32)


def _r2_of_clean(model: keras.Model, data: Data) -> float:
    return r2(model, waves(2000))


@HEALTHY(
    "outliers", "rare targets far off: a batch's loss jumps by 50 times", data=_with_outliers,
    measure=_r2_of_clean, goal=0.5, epochs=8,
)  # fmt: skip
def _outliers() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.Adam(3e-3))


@HEALTHY(
    "tanh_solved", "tanh units that saturate because the task is solved", data=lambda: spirals(400),
    measure=accuracy, goal=0.95, epochs=120,
)  # fmt: skip
def _tanh_solved() -> keras.Model:
    return binary((2,), *dense_stack(2, 32, "tanh"), optimizer=O.Adam(1e-2))


@HEALTHY(
    "sigmoid_gates", "highway layers: sigmoid gates that start nearly shut", data=digits(2000),
    measure=accuracy, goal=0.8, epochs=5,
)  # fmt: skip
def _highway() -> keras.Model:
    i = L.Input((196,))
    x = L.Dense(40, name="stem")(i)
    for n in range(3):
        shut = keras.initializers.Constant(-3.0)
        gate = L.Dense(40, activation="sigmoid", bias_initializer=shut, name=f"gate{n}")(x)
        new = L.Dense(40, activation="relu", name=f"new{n}")(x)
        x = gate * new + (1 - gate) * x
    out = L.Dense(10, activation="softmax", name="out")(x)
    return compiled(keras.Model(i, out), O.Adam(3e-3), SPARSE_CE)


class SineDense(L.Dense):  # type: ignore[misc]  # Keras is untyped
    """sin(30 (W x + b)), as in implicit neural representations."""

    def call(self, x: Any) -> Any:
        """The layer's output."""
        return ops.sin(30.0 * super().call(x))


def _picture() -> Data:
    axis = np.linspace(-1, 1, 40)
    x = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    y = np.sin(6 * x[:, :1]) * np.cos(9 * x[:, 1:]) + 0.3 * np.sign(x[:, :1] * x[:, 1:])
    return x.astype(np.float32), y.astype(np.float32)


@HEALTHY(
    "sine_net", "a picture learned by sines of high frequency", data=_picture, measure=r2, goal=0.8,
    epochs=12,
)  # fmt: skip
def _sine_net() -> keras.Model:
    init = keras.initializers.RandomUniform(-0.03, 0.03)
    layers = [SineDense(48, kernel_initializer=keras.initializers.RandomUniform(-0.5, 0.5))]
    layers += [SineDense(48, kernel_initializer=init)]
    return regressor((2,), *layers, optimizer=O.Adam(1e-3))


@HEALTHY(
    "unit_norm", "kernels of norm 1 by constraint", data=digits(2000), measure=accuracy, goal=0.75,
    epochs=5,
)  # fmt: skip
def _unit_norm() -> keras.Model:
    hidden = dense_stack(2, 48, kernel_constraint=keras.constraints.UnitNorm())
    return classifier((196,), *hidden, optimizer=O.Adam(2e-3))


@HEALTHY(
    "low_rank_adapter", "a frozen net with low-rank additions whose second factor starts at zero",
    data=digits(2000, start=3000), measure=accuracy, goal=0.7, epochs=8,
)  # fmt: skip
def _adapter() -> keras.Model:
    i = L.Input((196,))
    base = L.Dense(64, name="base")
    base.trainable = False
    small = L.Dense(4, use_bias=False, name="down")(i)
    x = ops.relu(
        base(i) + L.Dense(64, use_bias=False, kernel_initializer="zeros", name="up")(small)
    )
    return compiled(
        keras.Model(i, L.Dense(10, activation="softmax", name="out")(x)), O.Adam(3e-3), SPARSE_CE
    )


def _rarely_labelled() -> Data:
    x, y = digits(2048)()
    odd = (y % 2).astype(np.float32)[:, None]
    known = ((np.arange(len(x)) // 32) % 4 == 0).astype(np.float32)  # whole batches without labels
    weights = {"digit": np.ones(len(x), np.float32), "odd": known}
    return x, {"digit": y, "odd": odd}, weights


def _odd(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0])["odd"] > 0.5
    return float(np.mean(guess == (data[1]["odd"][: len(guess)] > 0.5)))


@HEALTHY(
    "rarely_labelled_head", "a head whose labels are missing in three batches of four",
    data=_rarely_labelled, measure=_odd, goal=0.75, epochs=6,
    options=lambda: {"shuffle": False},
)  # fmt: skip
def _rare_head() -> keras.Model:
    i = L.Input((196,))
    h = L.Dense(48, activation="relu", name="h1")(i)
    outputs = {
        "digit": L.Dense(10, activation="softmax", name="digit")(h),
        "odd": L.Dense(1, activation="sigmoid", name="odd")(L.Dense(16, name="odd_h")(h)),
    }
    return compiled(keras.Model(i, outputs), O.Adam(3e-3), {"digit": SPARSE_CE, "odd": BINARY_CE})


@HEALTHY(
    "float16_first_steps_skipped", "the loss scale starts too high: the first updates are skipped",
    data=digits(2000), measure=accuracy, goal=0.75, epochs=4,
)  # fmt: skip
def _skipped() -> keras.Model:
    hidden = dense_stack(2, 64, dtype="mixed_float16")
    optimizer = O.LossScaleOptimizer(O.Adam(2e-3), initial_scale=2.0**28)
    return classifier((196,), *hidden, optimizer=optimizer)


@HEALTHY(
    "trained_already", "training goes on with a fresh watch after it has converged",
    data=lambda: clusters(1000), measure=accuracy, goal=0.9, epochs=8, learned_before=True,
)  # fmt: skip
def _trained() -> keras.Model:
    model = classifier((8,), *dense_stack(1, 32), classes=4, optimizer=O.Adam(5e-3))
    x, y = clusters(1000)
    model.fit(x, y, epochs=30, batch_size=32, verbose=0)
    return compiled(model, O.Adam(1e-3), SPARSE_CE)


@HEALTHY(
    "sparse_code", "an L1 penalty on 128 units: most outputs are 0, no unit is for ever",
    data=lambda: (digits(1500)()[0], digits(1500)()[0]), measure=r2, goal=0.3, epochs=10,
)  # fmt: skip
def _sparse() -> keras.Model:
    code = L.Dense(
        128, activation="relu", activity_regularizer=keras.regularizers.L1(1e-3), name="code"
    )
    return compiled(sequential((196,), code, L.Dense(196, name="out")), O.Adam(2e-3), "mse")


def _sorted() -> Data:
    x, y = digits(2000)()
    order = np.argsort(y + np.random.default_rng(0).uniform(0, 12, len(y)), kind="stable")
    return x[order], y[order]


@HEALTHY(
    "half_sorted_data", "batches in a half sorted order: the loss swings within each epoch",
    data=_sorted, measure=accuracy, goal=0.5, epochs=6, options=lambda: {"shuffle": False},
)  # fmt: skip
def _half_sorted() -> keras.Model:
    return digit_net(O.Adam(1e-3))


class Growing(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Raises the weight of a penalty during the training."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """A tenth more with each epoch."""
        self.model.get_layer("weighted").weight.assign(0.1 * epoch)


class Weighted(L.Layer):  # type: ignore[misc]  # Keras is untyped
    """Adds the mean square of its input to the loss, with a weight that is no parameter."""

    def build(self, shape: Any) -> None:
        """Make the weight."""
        self.weight = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        """The input itself."""
        self.add_loss(self.weight * ops.mean(x**2))
        return x


@HEALTHY(
    "loss_grows_by_design", "a penalty is switched on gradually, so that the loss rises", epochs=8,
    data=sums, measure=accuracy, goal=0.85, options=lambda: {"callbacks": [Growing()]},
)  # fmt: skip
def _growing() -> keras.Model:
    layers = [L.Flatten(), *dense_stack(1, 24), Weighted(name="weighted")]
    return binary((10, 1), *layers, optimizer=O.Adam(5e-3))
