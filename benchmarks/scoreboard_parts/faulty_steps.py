"""Faulty programs: learning rates, optimizers, schedules, penalties."""

from __future__ import annotations

import keras

from benchmarks.scoreboard_parts.datasets import clusters, digits, plane
from benchmarks.scoreboard_parts.nets import (
    classifier,
    conv_net,
    dense_stack,
    digit_net,
    regressor,
)
from benchmarks.scoreboard_parts.program import Register, accuracy, r2
from benchmarks.scoreboard_parts.symptoms import (
    DEAD,
    EXPLODES,
    HIGH,
    LOW,
    NAN,
    SATURATED,
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
    "sgd_rate_too_high", "SGD 8 on digits", data=DIGITS, epochs=3, measure=accuracy,
    labels=(HIGH, DEAD), acceptable=(STUCK, EXPLODES, NAN, STILL, VANISHES),
)  # fmt: skip
def _sgd_high() -> keras.Model:
    return digit_net(O.SGD(8.0))


@FAULTY(
    "adam_rate_too_high", "Adam 0.5 on a convolutional net", data=IMAGES, measure=accuracy,
    epochs=3, labels=(DEAD,), acceptable=(HIGH, LOW, STUCK, EXPLODES, STILL, VANISHES),
)  # fmt: skip
def _adam_high() -> keras.Model:
    return conv_net(O.Adam(0.5))


@FAULTY(
    "rmsprop_rate_too_high", "RMSprop 0.3 with tanh units", data=DIGITS, measure=accuracy,
    epochs=3, labels=(HIGH, SATURATED), where=("h1", "h2"),
    acceptable=(STUCK, EXPLODES, VANISHES, STILL),
)  # fmt: skip
def _rmsprop_high() -> keras.Model:
    return classifier((196,), *dense_stack(2, 48, "tanh"), optimizer=O.RMSprop(0.3))


@FAULTY(
    "momentum_diverges", "a line, SGD 0.5 with momentum 0.99", data=lambda: plane(1000), measure=r2,
    epochs=4, labels=(HIGH, EXPLODES, NAN), acceptable=(STUCK,),
)  # fmt: skip
def _momentum() -> keras.Model:
    return regressor((6,), *dense_stack(1, 16, None), optimizer=O.SGD(0.5, momentum=0.99))


@FAULTY(
    "sgd_rate_grows", "a schedule that grows by 4 % per update", data=DIGITS, measure=accuracy,
    epochs=5, labels=(HIGH, DEAD), acceptable=(STUCK, EXPLODES, NAN, STILL, VANISHES),
)  # fmt: skip
def _grows() -> keras.Model:
    return digit_net(O.SGD(Schedules.ExponentialDecay(0.01, 1, 1.04)))


@FAULTY(
    "batch_1_jumps", "batch size 1 with a rate for batches of 128", data=lambda: clusters(600),
    measure=accuracy, epochs=2, batch_size=1, labels=(HIGH, DEAD),
    acceptable=(STUCK, EXPLODES, NAN, STILL, VANISHES),
)  # fmt: skip
def _batch_1() -> keras.Model:
    return classifier((8,), *dense_stack(2, 24), classes=4, optimizer=O.SGD(0.3, momentum=0.9))


@FAULTY(
    "sgd_rate_too_low", "SGD 1e-6", data=DIGITS, measure=accuracy, epochs=4,
    labels=(LOW, STUCK, STILL),
)  # fmt: skip
def _sgd_low() -> keras.Model:
    return digit_net(O.SGD(1e-6))


@FAULTY(
    "adam_rate_too_low", "Adam 1e-8: a typing mistake for 1e-3", data=DIGITS, measure=accuracy,
    epochs=4, labels=(LOW, STUCK, STILL),
)  # fmt: skip
def _adam_low() -> keras.Model:
    return digit_net(O.Adam(1e-8))


@FAULTY(
    "adagrad_rate_too_low", "Adagrad 1e-5 on convolutions", data=IMAGES, measure=accuracy,
    epochs=4, labels=(LOW, STUCK), acceptable=(STILL,),
)  # fmt: skip
def _adagrad_low() -> keras.Model:
    return conv_net(O.Adagrad(1e-5))


@FAULTY(
    "adam_epsilon_too_large", "Adam with epsilon 100", data=DIGITS, measure=accuracy, epochs=4,
    labels=(LOW, STUCK), acceptable=(STILL,),
)  # fmt: skip
def _epsilon() -> keras.Model:
    return digit_net(O.Adam(1e-3, epsilon=100.0))


@FAULTY(
    "clipnorm_too_small", "clipnorm 1e-6 where 1.0 was meant", data=DIGITS, measure=accuracy,
    epochs=4, labels=(LOW, STUCK, STILL),
)  # fmt: skip
def _clipnorm() -> keras.Model:
    return digit_net(O.SGD(0.1, clipnorm=1e-6))


@FAULTY(
    "rate_dropped_too_early", "from 0.05 to 1e-9 after 12 updates", data=DIGITS, measure=accuracy,
    epochs=4, labels=(LOW,), acceptable=(STILL, STUCK),
)  # fmt: skip
def _dropped() -> keras.Model:
    return digit_net(O.SGD(Schedules.PiecewiseConstantDecay([12], [0.01, 1e-9])))


@FAULTY(
    "weight_decay_too_strong", "AdamW whose decay eats the weights", data=DIGITS, measure=accuracy,
    epochs=5, labels=(STUCK, VANISHES, STILL), acceptable=(LOW, DEAD),
)  # fmt: skip
def _decay() -> keras.Model:
    return digit_net(O.AdamW(1e-3, weight_decay=300.0))


@FAULTY(
    "l2_swamps_the_loss", "an L2 penalty of 3 per kernel", data=DIGITS, measure=accuracy, epochs=6,
    labels=(STUCK,), acceptable=(VANISHES, STILL, LOW, DEAD),
)  # fmt: skip
def _l2() -> keras.Model:
    hidden = dense_stack(2, 48, kernel_regularizer=keras.regularizers.L2(3.0))
    return classifier((196,), *hidden, optimizer=O.Adam(3e-3))
