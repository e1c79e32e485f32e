"""Healthy programs: optimizers, learning rates, schedules, batch sizes, clipping, precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from benchmarks.scoreboard_parts.datasets import clusters, digits, plane, spirals, waves
from benchmarks.scoreboard_parts.nets import (
    L,
    classifier,
    compiled,
    conv_net,
    dense_stack,
    digit_net,
    regressor,
    sequential,
)
from benchmarks.scoreboard_parts.program import Register, accuracy, r2

O = keras.optimizers  # noqa: E741
Schedules = keras.optimizers.schedules
HEALTHY = Register(healthy=True)

_DIGITS: dict[str, Any] = {"data": digits(2000), "measure": accuracy, "goal": 0.6}

# id -> (optimizer, epochs)
_OPTIMIZERS: dict[str, tuple[Callable[[], Any], int]] = {
    "sgd": (lambda: O.SGD(0.2), 5),
    "momentum": (lambda: O.SGD(0.02, momentum=0.9), 4),
    "nesterov": (lambda: O.SGD(0.02, momentum=0.9, nesterov=True), 4),
    "adam": (lambda: O.Adam(2e-3), 4),
    "adamw": (lambda: O.AdamW(2e-3, weight_decay=0.01), 4),
    "adamw_strong_decay": (lambda: O.AdamW(2e-3, weight_decay=0.2), 5),
    "amsgrad": (lambda: O.Adam(3e-3, amsgrad=True), 4),
    "rmsprop": (lambda: O.RMSprop(1e-3), 4),
    "lion": (lambda: O.Lion(5e-4), 7),
    "adagrad": (lambda: O.Adagrad(0.05), 4),
    "adadelta": (lambda: O.Adadelta(1.0), 5),
    "adamax": (lambda: O.Adamax(4e-3), 4),
    "nadam": (lambda: O.Nadam(2e-3), 4),
    "clipnorm": (lambda: O.SGD(0.2, clipnorm=0.5), 4),
    "global_clipnorm": (lambda: O.Adam(2e-3, global_clipnorm=0.5), 4),
    "clipvalue": (lambda: O.Adam(2e-3, clipvalue=0.01), 4),
    "ema": (lambda: O.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=50), 5),
    "accumulation": (lambda: O.Adam(5e-3, gradient_accumulation_steps=4), 8),
    "lookalike_warm_up": (lambda: O.Adam(Schedules.PolynomialDecay(1e-5, 200, 3e-3)), 5),
    "cosine_to_zero": (lambda: O.SGD(Schedules.CosineDecay(0.15, 300)), 6),
    "warm_up_then_cosine": (
        lambda: O.Adam(Schedules.CosineDecay(0.0, 250, warmup_target=4e-3, warmup_steps=60)),
        5,
    ),
    "piecewise": (
        lambda: O.SGD(Schedules.PiecewiseConstantDecay([150, 250, 350], [0.1, 1e-2, 1e-3, 1e-4])),
        7,
    ),
    "zero_after_learning": (lambda: O.Adam(Schedules.PolynomialDecay(4e-3, 200, 0.0)), 5),
    "exponential_decay": (lambda: O.RMSprop(Schedules.ExponentialDecay(3e-3, 100, 0.5)), 5),
    "restarts": (lambda: O.SGD(Schedules.CosineDecayRestarts(0.2, 80)), 6),
}


def _with(make: Callable[[], Any]) -> Callable[[], keras.Model]:
    return lambda: digit_net(make())


for _id, (_make, _epochs) in _OPTIMIZERS.items():
    HEALTHY(f"digits_{_id}", f"196-64-32-10 ReLU on digits, {_id}", epochs=_epochs, **_DIGITS)(
        _with(_make)
    )


@HEALTHY(
    "sgd_1e-4", "SGD 1e-4: a small step, and 1500 of them", data=lambda: plane(1500, scale=3.0),
    measure=r2, goal=0.5, epochs=16, batch_size=16,
)  # fmt: skip
def _sgd_1e_4() -> keras.Model:
    return regressor((6,), *dense_stack(2, 32, "tanh"), optimizer=O.SGD(1e-4))


@HEALTHY(
    "adam_1e-5", "Adam 1e-5 on a wide net", data=digits(3000), measure=accuracy, goal=0.4,
    epochs=8, batch_size=16,
)  # fmt: skip
def _adam_1e_5() -> keras.Model:
    return classifier((196,), *dense_stack(1, 512), optimizer=O.Adam(1e-5))


@HEALTHY(
    "sgd_1e-3_momentum", "SGD 1e-3 with momentum", data=digits(3000), measure=accuracy, goal=0.55,
    epochs=8, batch_size=16,
)  # fmt: skip
def _sgd_1e_3() -> keras.Model:
    return digit_net(O.SGD(1e-3, momentum=0.9))


@HEALTHY(
    "batch_1", "batch size 1", data=lambda: clusters(800), measure=accuracy, goal=0.8,
    epochs=1, batch_size=1,
)  # fmt: skip
def _batch_1() -> keras.Model:
    return classifier((8,), *dense_stack(1, 16), classes=4, optimizer=O.SGD(0.01))


@HEALTHY(
    "batch_1_adam", "batch size 1, Adam", data=lambda: waves(900), measure=r2, goal=0.5,
    epochs=2, batch_size=1,
)  # fmt: skip
def _batch_1_adam() -> keras.Model:
    return regressor((3,), *dense_stack(2, 24), optimizer=O.Adam(1e-3))


@HEALTHY(
    "batch_2_relu", "batch size 2: many units see nothing in a batch", data=digits(1200),
    measure=accuracy, goal=0.55, epochs=2, batch_size=2,
)  # fmt: skip
def _batch_2() -> keras.Model:
    return digit_net(O.SGD(0.02))


@HEALTHY(
    "batch_4_conv", "batch size 4, convolutions", data=digits(1200, flat=False),
    measure=accuracy, goal=0.55, epochs=3, batch_size=4,
)  # fmt: skip
def _batch_4() -> keras.Model:
    return conv_net(O.Adam(1e-3))


@HEALTHY(
    "full_batch", "the whole data set at once", data=lambda: clusters(1000), measure=accuracy,
    goal=0.8, epochs=150, batch_size=1000,
)  # fmt: skip
def _full_batch() -> keras.Model:
    return classifier((8,), *dense_stack(2, 24, "tanh"), classes=4, optimizer=O.SGD(0.3))


@HEALTHY(
    "mixed_float16", "mixed_float16 with automatic loss scaling", measure=accuracy, goal=0.8,
    data=digits(2000), epochs=5,
)  # fmt: skip
def _mixed_float16() -> keras.Model:
    hidden = dense_stack(2, 64, dtype="mixed_float16")
    optimizer = O.LossScaleOptimizer(O.Adam(2e-3))
    return classifier((196,), *hidden, optimizer=optimizer)


@HEALTHY(
    "mixed_bfloat16", "mixed_bfloat16", data=digits(2000), measure=accuracy, goal=0.8, epochs=5
)
def _mixed_bfloat16() -> keras.Model:
    return classifier((196,), *dense_stack(2, 64, dtype="mixed_bfloat16"), optimizer=O.Adam(2e-3))


@HEALTHY(
    "adafactor", "Adafactor, whose steps shrink with the weights", data=lambda: waves(1500),
    measure=r2, goal=0.6, epochs=10,
)  # fmt: skip
def _adafactor() -> keras.Model:
    return regressor((3,), *dense_stack(2, 32), optimizer=O.Adafactor(1e-2))


@HEALTHY(
    "steps_per_execution", "seven updates per call", data=digits(2000), measure=accuracy,
    goal=0.8, epochs=5,
)  # fmt: skip
def _steps_per_execution() -> keras.Model:
    return digit_net(O.Adam(2e-3), steps_per_execution=7)


@HEALTHY("xla", "jit_compile=True", data=digits(2000), measure=accuracy, goal=0.7, epochs=4)
def _xla() -> keras.Model:
    return digit_net(O.Adam(2e-3), jit_compile=True)


@HEALTHY(
    "eager", "run_eagerly=True", data=lambda: clusters(960), measure=accuracy, goal=0.8, epochs=3
)
def _eager() -> keras.Model:
    hidden = dense_stack(1, 16)
    return classifier((8,), *hidden, classes=4, optimizer=O.Adam(1e-2), run_eagerly=True)


@HEALTHY(
    "second_fit", "fit called again on the trained model", data=digits(2000), measure=accuracy,
    goal=0.55, epochs=3, fits=2,
)  # fmt: skip
def _second_fit() -> keras.Model:
    return digit_net(O.Adam(1e-3))


@HEALTHY(
    "reduce_on_plateau", "Keras' ReduceLROnPlateau after the task is learned",
    data=lambda: clusters(1000), measure=accuracy, goal=0.8, epochs=15,
    options=lambda: {
        "callbacks": [keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.2, patience=2)]
    },
)  # fmt: skip
def _reduce() -> keras.Model:
    return classifier((8,), *dense_stack(2, 32), classes=4, optimizer=O.Adam(1e-2))


@HEALTHY(
    "learned_to_the_end", "trained until next to no loss and no gradient is left",
    data=lambda: spirals(300), measure=accuracy, goal=0.95, epochs=120,
)  # fmt: skip
def _to_the_end() -> keras.Model:
    model = sequential((2,), *dense_stack(3, 64), L.Dense(1, activation="sigmoid", name="out"))
    return compiled(model, O.Adam(5e-3), "binary_crossentropy")


@HEALTHY("plain_linear", "a line by SGD", data=lambda: plane(1000), measure=r2, goal=0.9, epochs=5)
def _plain_linear() -> keras.Model:
    return regressor((6,), optimizer=O.SGD(0.02))


@HEALTHY(
    "logistic", "softmax regression from a kernel of zeros", data=digits(2000), measure=accuracy,
    goal=0.55, epochs=5,
)  # fmt: skip
def _logistic() -> keras.Model:
    out = L.Dense(10, activation="softmax", kernel_initializer="zeros", name="out")
    return compiled(sequential((196,), out), O.SGD(0.1), "sparse_categorical_crossentropy")
