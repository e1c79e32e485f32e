"""Healthy programs: losses, targets, penalties and data sets."""

from __future__ import annotations

import keras
import numpy as np

from benchmarks.scoreboard_parts.datasets import clusters, digits, plane, sums, waves
from benchmarks.scoreboard_parts.nets import (
    BINARY_CE,
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


@HEALTHY(
    "l2", "an L2 penalty of usual size", data=digits(2000), measure=accuracy, goal=0.55, epochs=5
)
def _l2() -> keras.Model:
    hidden = dense_stack(2, 48, kernel_regularizer=keras.regularizers.L2(1e-3))
    return classifier((196,), *hidden, optimizer=O.SGD(0.1))


@HEALTHY(
    "l1_activity", "L1 on weights and on activity", data=digits(2000), measure=accuracy,
    goal=0.75, epochs=6,
)  # fmt: skip
def _l1() -> keras.Model:
    hidden = dense_stack(
        1, 64, kernel_regularizer=keras.regularizers.L1(1e-4),
        activity_regularizer=keras.regularizers.L1(1e-5),
    )  # fmt: skip
    return classifier((196,), *hidden, optimizer=O.Adam(2e-3))


@HEALTHY(
    "max_norm", "kernels kept below a norm, non-negative output", data=digits(2000),
    measure=accuracy, goal=0.7, epochs=4,
)  # fmt: skip
def _max_norm() -> keras.Model:
    hidden = dense_stack(2, 48, kernel_constraint=keras.constraints.MaxNorm(1.0))
    return classifier((196,), *hidden, optimizer=O.Adam(3e-3))


def _weighted() -> Data:
    x, y = clusters(1500)
    weight = np.where(y == 0, 3.0, 0.5).astype(np.float32)
    return x, y, weight


@HEALTHY(
    "sample_weights", "weights for the samples, some of them 0", measure=accuracy, goal=0.75,
    data=lambda: (*_weighted()[:2], np.where(np.arange(1500) % 5, _weighted()[2], 0)), epochs=5,
)  # fmt: skip
def _sample_weights() -> keras.Model:
    return classifier((8,), *dense_stack(2, 24), classes=4, optimizer=O.Adam(5e-3))


def _rare() -> Data:
    rng = np.random.default_rng(0)
    y = (rng.random(2500) < 0.04).astype(np.float32)
    x = rng.normal(size=(2500, 6)) + 2.5 * y[:, None] * np.array([1, -1, 1, 0, 0, 0])
    return x.astype(np.float32), y[:, None]


def _recall_and_specificity(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0], 2500) > 0.5
    truth = data[1] > 0.5
    return float(0.5 * guess[truth].mean() + 0.5 * (~guess)[~truth].mean())


@HEALTHY(
    "rare_class", "4 % of positives: the loss starts to fall by the easy way", data=_rare,
    measure=_recall_and_specificity, goal=0.8, epochs=8,
)  # fmt: skip
def _rare_class() -> keras.Model:
    return binary((6,), *dense_stack(1, 16), optimizer=O.Adam(5e-3))


@HEALTHY(
    "class_weight", "the same with class weights", data=_rare, epochs=6,
    measure=_recall_and_specificity, goal=0.85,
    options=lambda: {"class_weight": {0: 0.5, 1: 12.0}},
)  # fmt: skip
def _class_weight() -> keras.Model:
    return binary((6,), *dense_stack(1, 16), optimizer=O.Adam(5e-3))


def _noisy_labels() -> Data:
    x, y = digits(3000)()
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.4
    return x, np.where(wrong, rng.integers(0, 10, len(y)), y)


@HEALTHY(
    "noisy_labels", "40 % of the labels are random: the loss stays high", data=_noisy_labels,
    measure=accuracy, goal=0.4, epochs=4,
)  # fmt: skip
def _noisy() -> keras.Model:
    return digit_net(O.Adam(2e-3))


@HEALTHY(
    "hard_to_predict", "targets of which a tenth can be known", measure=r2, goal=0.05, epochs=15,
    data=lambda: waves(2000, noise=2.0),
)  # fmt: skip
def _hard() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.Adam(2e-3))


@HEALTHY(
    "tiny_data", "24 examples learned by heart", data=lambda: clusters(24), measure=accuracy,
    goal=0.95, epochs=120, batch_size=8,
)  # fmt: skip
def _tiny() -> keras.Model:
    return classifier((8,), *dense_stack(2, 24), classes=4, optimizer=O.Adam(5e-3))


@HEALTHY(
    "unscaled_targets", "targets around 200: the loss starts at 4e4", measure=r2, goal=0.8,
    data=lambda: plane(1500, scale=100.0), epochs=12,
)  # fmt: skip
def _unscaled() -> keras.Model:
    return regressor((6,), *dense_stack(2, 64), optimizer=O.Adam(1e-2))


@HEALTHY(
    "small_targets", "targets of 1e-3: a loss and gradients of 1e-6", measure=r2, goal=0.5,
    data=lambda: plane(1500, scale=1e-3), epochs=12,
)  # fmt: skip
def _small_targets() -> keras.Model:
    init = keras.initializers.RandomNormal(stddev=1e-4)
    out = L.Dense(1, kernel_initializer=init, name="out")
    return compiled(sequential((6,), *dense_stack(1, 32), out), O.Adam(1e-4), "mse")


@HEALTHY("huber", "Huber loss", data=waves, measure=r2, goal=0.6, epochs=10)
def _huber() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.Adam(5e-3), loss="huber")


@HEALTHY(
    "mae", "absolute error: gradients never shrink", data=waves, measure=r2, goal=0.6, epochs=10
)
def _mae() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.Adam(2e-3), loss="mae")


def _counts() -> Data:
    x, y = plane(2000, features=4, scale=0.4)
    rng = np.random.default_rng(1)
    return x, rng.poisson(np.exp(np.clip(y, -3, 3))).astype(np.float32)


@HEALTHY("poisson", "counts, Poisson loss, exponential output", data=_counts, measure=r2, goal=0.2,
         epochs=8)  # fmt: skip
def _poisson() -> keras.Model:
    layers = [*dense_stack(1, 24), L.Dense(1, activation="exponential", name="out")]
    return compiled(sequential((4,), *layers), O.Adam(3e-3), "poisson")


def _tags() -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 10)).astype(np.float32)
    return x, (x @ rng.normal(size=(10, 5)) > 1.0).astype(np.float32)


def _tag_accuracy(model: keras.Model, data: Data) -> float:
    guess = predictions(model, data[0]) > 0.5
    truth = data[1][: len(guess)] > 0.5
    return float(0.5 * guess[truth].mean() + 0.5 * (~guess)[~truth].mean())


@HEALTHY(
    "multi_label", "five independent tags", data=_tags, measure=_tag_accuracy, goal=0.8, epochs=6
)
def _multi_label() -> keras.Model:
    layers = [*dense_stack(1, 32), L.Dense(5, activation="sigmoid", name="out")]
    return compiled(sequential((10,), *layers), O.Adam(5e-3), BINARY_CE)


@HEALTHY(
    "summed_loss", "a loss summed over the batch, with a rate to match", data=digits(2000),
    measure=accuracy, goal=0.55, epochs=4,
)  # fmt: skip
def _summed() -> keras.Model:
    return digit_net(O.SGD(2e-3), loss=keras.losses.SparseCategoricalCrossentropy(reduction="sum"))


@HEALTHY(
    "label_smoothing", "smoothed labels: the loss cannot reach 0", measure=accuracy, goal=0.8,
    data=digits(2000, onehot=True), epochs=4,
)  # fmt: skip
def _smoothing() -> keras.Model:
    return digit_net(O.Adam(2e-3), loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.2))


@HEALTHY(
    "hinge", "a margin loss that is exactly 0 where an example is solved", epochs=8,
    data=sums, measure=accuracy, goal=0.85,
)  # fmt: skip
def _hinge() -> keras.Model:
    layers = [L.Flatten(), *dense_stack(1, 24), L.Dense(1, name="out")]
    return compiled(sequential((10, 1), *layers), O.Adam(5e-3), "hinge")


@HEALTHY(
    "raw_pixels", "pixels from 0 to 255 behind a BatchNormalization",
    data=digits(2000, scale=255.0), measure=accuracy, goal=0.8, epochs=4,
)  # fmt: skip
def _raw_pixels() -> keras.Model:
    layers = [L.BatchNormalization(momentum=0.9), *dense_stack(2, 48)]
    return classifier((196,), *layers, optimizer=O.Adam(2e-3))


@HEALTHY(
    "plateau_first", "small weights: flat at first, then it learns", data=digits(2000),
    measure=accuracy, goal=0.5, epochs=10,
)  # fmt: skip
def _plateau() -> keras.Model:
    init = keras.initializers.RandomNormal(stddev=0.03)
    hidden = dense_stack(4, 48, kernel_initializer=init)
    return classifier((196,), *hidden, optimizer=O.Adam(5e-4))


def _xor_of_signs() -> Data:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1500, 2)).astype(np.float32)
    return x, ((x[:, :1] > 0) != (x[:, 1:] > 0)).astype(np.float32)


@HEALTHY(
    "xor_plateau", "XOR by SGD: a saddle before it falls", data=_xor_of_signs, measure=accuracy,
    goal=0.85, epochs=25,
)  # fmt: skip
def _xor() -> keras.Model:
    return binary((2,), *dense_stack(1, 8, "tanh"), optimizer=O.SGD(0.3))
