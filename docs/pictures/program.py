"""What a faulty program is, and what the programs share."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray

L = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclasses.dataclass(frozen=True)
class Digits:
    """What the programs train on.

    Attributes:
        images: float32 `[N, 28, 28, 1]`, 0 to 1.
        labels: `[N]`, 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Training:
    """A compiled model with its data, ready for `fit`.

    Attributes:
        model, x, y: what `fit` is called with.
        batch_size, epochs: of `fit`.
        watch: further arguments of `tbwatch.Watch`.
    """

    model: keras.Model
    x: Any
    y: Any
    batch_size: int = 32
    epochs: int = 2
    watch: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Program:
    """A training that gets a diagnosis, and that does not get it once one line is put right.

    Attributes:
        diagnosis: what the alert has to say.
        build: `build(faulty, digits)` makes the training, with the fault or without.
        quantity: what the map shows and the page tells.
        of: the variable or layer whose row is selected, and whose number the page tells; None for
            the first one of the alert.
        also: a value of the whole update that the page tells besides, such as "loss_scale".
    """

    diagnosis: str
    build: Callable[[bool, Digits], Training]
    quantity: str
    of: str | None = None
    also: str | None = None


PROGRAMS: dict[str, Program] = {}


def program(
    quantity: str = "update_ratio", of: str | None = None, also: str | None = None
) -> Callable[[Callable[[bool, Digits], Training]], Callable[[bool, Digits], Training]]:
    """A decorator: the function is called like the diagnosis; arguments as in `Program`."""

    def register(
        build: Callable[[bool, Digits], Training],
    ) -> Callable[[bool, Digits], Training]:
        PROGRAMS[build.__name__] = Program(build.__name__, build, quantity, of, also)
        return build

    return register


def net(*layers: Any) -> keras.Model:
    """Layers between the digits and ten logits."""
    return keras.Sequential([L.Input((28, 28, 1)), *layers, L.Dense(10, name="out")])


def dense_layers(count: int, units: int, activation: str, **options: Any) -> list[Any]:
    """Dense layers `fc1`, `fc2`, ... behind a `Flatten`."""
    names = [f"fc{number}" for number in range(1, count + 1)]
    dense = [L.Dense(units, activation=activation, name=name, **options) for name in names]
    return [L.Flatten(), *dense]
