"""A training program with a known truth, and the symptoms that a truth may name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

# Symptoms that a faulty program may show: the words of the truth.
LABELS: dict[str, str] = {
    "vanishing_gradient": "the gradients of the early layers are far below those of the last one",
    "exploding_gradient": "gradients or weights are enormous, or grow by orders of magnitude",
    "nonfinite": "NaN or Inf in the loss, the gradients, the weights or the activations",
    "dying_relu": "most units of a ReLU layer are 0 for every input",
    "saturated_activation": "hidden sigmoid or tanh units sit at their limits",
    "unchanged_weights": "a trainable weight does not move, or its units cannot become different",
    "slow_or_low_lr": "weights move, but the loss hardly falls within the budget",
    "oscillating_or_high_lr": "the loss jumps or climbs because the steps are too large",
    "loss_not_decreasing": "the loss is no better at the end than at the start",
    "disconnected": "a trainable variable gets no gradient at all",
    "bad_output_or_loss": "output activation, loss and targets do not fit each other",
}

Array = np.ndarray[Any, np.dtype[Any]]
Data = tuple[Any, ...]  # x, y or x, y, sample_weight
Measure = Callable[[keras.Model, Data], float]


@dataclasses.dataclass(frozen=True)
class Program:
    """A training program and what is true of it.

    Attributes:
        id: unique name.
        about: one line.
        build: makes the compiled model.
        data: makes the data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.
        epochs, batch_size: of `fit`.
        fits: number of `fit` calls in a row.
        options: further arguments of `fit`, made anew for each run.
        healthy: whether the program trains well: no warning is right, `acceptable` aside.
        labels: symptoms of a faulty program; the first is the main one.
        acceptable: further symptoms that are true of the run, neither required nor false.
        where: layers that carry the symptom; empty where it is not a layer's.
        measure: figure of merit, higher is better; NaN where there is none.
        goal: what `measure` reaches at the end of a healthy run, and not at its start.
        learned_before: whether it is met before as well: training goes on after its end.
        seed: of Keras, NumPy and Python.
        scored: False where the symptom is too weak to ask for.
        origin: `"own"` or `"shared"`.
        train: `train(callbacks) -> model`, in place of `build` and `data`.
    """

    id: str
    about: str
    build: Callable[[], keras.Model] | None = None
    data: Callable[[], Data] | None = None
    epochs: int = 3
    batch_size: int = 32
    fits: int = 1
    options: Callable[[], Mapping[str, Any]] = dict
    healthy: bool = True
    labels: tuple[str, ...] = ()
    acceptable: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    measure: Measure | None = None
    goal: float = np.nan
    learned_before: bool = False
    seed: int = 1
    scored: bool = True
    origin: str = "own"
    train: Callable[[Sequence[keras.callbacks.Callback]], keras.Model] | None = None

    def __post_init__(self) -> None:
        unknown = sorted({*self.labels, *self.acceptable} - set(LABELS))
        if unknown:
            raise ValueError(f"{self.id}: labels must be out of {sorted(LABELS)}; got {unknown}.")
        if self.healthy == bool(self.labels) and self.scored:
            raise ValueError(f"{self.id}: a program is healthy or has labels, one of the two.")


class Register:
    """Collects programs by decorating the functions that build their models."""

    def __init__(self, healthy: bool) -> None:
        self._healthy = healthy
        self._programs: dict[str, Program] = {}

    def __call__(self, id: str, about: str, **fields: Any) -> Callable[[Any], Any]:
        """A decorator for `build`; `fields` are those of `Program`."""
        if id in self._programs:
            raise ValueError(f"there are two programs called {id!r}.")

        def register(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
            program = Program(id, about, build, healthy=self._healthy, **fields)
            self._programs[id] = program
            return build

        return register

    def __iter__(self) -> Iterator[Program]:
        return iter(self._programs.values())


def fit(
    program: Program, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, data: Data
) -> None:
    """Train a built program."""
    options = dict(program.options())
    extra = list(options.pop("callbacks", ()))
    weights = {"sample_weight": data[2]} if len(data) > 2 else {}
    for _ in range(program.fits):
        model.fit(
            data[0],
            data[1] if len(data) > 1 else None,
            batch_size=program.batch_size,
            epochs=program.epochs,
            verbose=0,
            callbacks=[*extra, *callbacks],
            **weights,
            **options,
        )


def predictions(model: keras.Model, x: Any, most: int = 1024) -> Any:
    """Outputs in inference mode for the first examples."""
    first = _first(x, most)
    return model.predict(first, batch_size=256, verbose=0)


def _first(x: Any, most: int) -> Any:
    if isinstance(x, dict):
        return {name: value[:most] for name, value in x.items()}
    return [value[:most] for value in x] if isinstance(x, (list, tuple)) else x[:most]


def accuracy(model: keras.Model, data: Data) -> float:
    """Share of right classes, of one-hot, integer or 0/1 targets."""
    guess = np.asarray(predictions(model, data[0]), np.float64)
    target = np.asarray(data[1])[: len(guess)]
    if guess.shape[-1] == 1:
        threshold = 0.5 if _squashed(model) else 0.0
        return float(np.mean((guess > threshold) == (target.reshape(guess.shape) > 0.5)))
    right = target.argmax(-1) if target.shape == guess.shape else target.reshape(guess.shape[:-1])
    return float(np.mean(guess.argmax(-1) == right))


def _squashed(model: keras.Model) -> bool:
    function = getattr(model.layers[-1], "activation", None)
    return getattr(function, "__name__", "") == "sigmoid"


def r2(model: keras.Model, data: Data) -> float:
    """1 - squared error / variance of the targets: 0 for who answers their mean."""
    guess = np.asarray(predictions(model, data[0]), np.float64)
    target = np.asarray(data[1], np.float64)[: len(guess)].reshape(guess.shape)
    spread = np.mean((target - target.mean(axis=0)) ** 2)
    return float(1.0 - np.mean((guess - target) ** 2) / spread)
