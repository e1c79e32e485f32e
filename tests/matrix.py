"""Execution modes, precisions, optimizers and nets of `fit`, and the rows that try their pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tests.pairwise import Row, cover

L = keras.layers
SAMPLES, BATCH, CALLS = 28, 4, 7
ACCUMULATION = 3
SCALE = 2.0**8

_FLOAT32 = {"dtype": "float32"}  # logits are float32 whatever the policy, as Keras advises


def _flat() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(SAMPLES, 6)).astype("float32")


def _tokens() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 9, (SAMPLES, 5))


def _sequential(kinds: Kinds) -> keras.Model:
    layers = [
        L.Input((6,)),
        L.Dense(5, activation="relu", name="hidden"),
        L.BatchNormalization(name="norm"),
        L.Dropout(0.25, seed=1),
        L.Dense(3, name="out", **_FLOAT32),
    ]
    return kinds.sequential(layers)


def _functional(kinds: Kinds) -> keras.Model:
    inner_in = L.Input((4, 4, 1))
    inner = keras.Model(inner_in, L.Conv2D(2, 3, name="conv")(inner_in), name="inner")
    inputs = L.Input((6,))
    widen = L.Dense(16, activation="tanh", name="shared")
    x = L.Add()([widen(inputs), widen(inputs * 0.5)])
    x = L.Flatten()(inner(L.Reshape((4, 4, 1))(x)))
    heads = [L.Dense(units, name=name, **_FLOAT32)(x) for name, units in (("a", 3), ("b", 1))]
    return kinds.functional(inputs, heads)


def _subclassed(kinds: Kinds) -> keras.Model:
    return kinds.subclassed()


def _recurrent(kinds: Kinds) -> keras.Model:
    inputs = L.Input((6,))
    x = L.LSTM(3, recurrent_initializer="glorot_uniform", name="lstm")(L.Reshape((3, 2))(inputs))
    return kinds.functional(inputs, L.Dense(3, name="out", **_FLOAT32)(x))


class Kinds:
    """The model classes to build with: `step` is mixed into each, None for Keras' own.

    Args:
        step: a class with a `train_step`.
    """

    def __init__(self, step: type | None = None) -> None:
        bases = () if step is None else (step,)
        functional = type("Net", (*bases, keras.Model), {}) if bases else keras.Model
        self.functional = functional
        self.sequential = type("Net", (*bases, keras.Sequential), {}) if bases else keras.Sequential

        class Subclassed(functional):  # type: ignore[misc,valid-type]
            """An embedding; built by the first batch."""

            def __init__(self) -> None:
                super().__init__(name="mine")
                self.tokens = L.Embedding(12, 4, name="tokens")
                self.hidden = L.Dense(5, activation="relu", name="hidden")
                self.out = L.Dense(3, name="out", **_FLOAT32)

            def call(self, x: Any) -> Any:
                return self.out(self.hidden(keras.ops.mean(self.tokens(x), axis=1)))

        self.subclassed = Subclassed


# As different as can be, and few: each holds several kinds of layers at once.
NETS: dict[str, Callable[[Kinds], keras.Model]] = {
    "Sequential": _sequential,
    "functional": _functional,  # two heads, a nested model, a shared layer
    "subclassed": _subclassed,  # not built before, with an embedding
    "recurrent": _recurrent,
}

_O = keras.optimizers
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda **o: _O.SGD(0.1, **o),
    "Adam": lambda **o: _O.Adam(1e-2, **o),
    "AdamW": lambda **o: _O.AdamW(1e-2, **o),
    "Lion": lambda **o: _O.Lion(1e-2, **o),
    "Adafactor": lambda **o: _O.Adafactor(1e-2, **o),
    "Muon": lambda **o: _O.Muon(1e-2, **o),
    # By hand, around an optimizer that gets the options.
    "LossScaleOptimizer": lambda **o: _O.LossScaleOptimizer(
        _O.SGD(0.1, momentum=0.9, **o), 2.0**10
    ),
}

# Two at a time, where Keras allows it: only one kind of clipping can be chosen.
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation, clipvalue": {"gradient_accumulation_steps": ACCUMULATION, "clipvalue": 1e-3},
    "EMA, clipnorm": {"use_ema": True, "ema_overwrite_frequency": 3, "clipnorm": 1e-2},
    "weight decay, global_clipnorm": {"weight_decay": 0.1, "global_clipnorm": 1e-2},
}

MODES: dict[str, dict[str, Any]] = {
    "graph": {"jit_compile": False},
    "eager": {"jit_compile": False, "run_eagerly": True},
    "XLA": {"jit_compile": True},
}

# The last one stores the weights themselves in half precision.
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "bfloat16")

STEPS = {"1 step": 1, "7 steps": 7}

FACTORS = {
    "mode": tuple(MODES),
    "steps_per_execution": tuple(STEPS),
    "policy": POLICIES,
    "extra": tuple(EXTRAS),
    "net": tuple(NETS),
    "optimizer": tuple(OPTIMIZERS),
}

# What plain Keras cannot train: it mixes bfloat16 gradients with a float32 norm or loss scale.
IMPOSSIBLE = (
    frozenset({("policy", "bfloat16"), ("extra", "weight decay, global_clipnorm")}),
    frozenset(
        {
            ("policy", "bfloat16"),
            ("extra", "accumulation, clipvalue"),
            ("optimizer", "LossScaleOptimizer"),
        }
    ),
)

# XLA compiles for seconds, a graph is traced for one or two.
ROWS: list[Row] = cover(FACTORS, IMPOSSIBLE, cost={"XLA": 3.0, "graph": 0.5})


def build(row: Row, step: type | None = None) -> keras.Model:
    """The compiled model of a row, seeded; with this training step, None for Keras' own."""
    mode, steps, policy, extra, net, optimizer = row
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = NETS[net](Kinds(step))
    finally:
        keras.config.set_dtype_policy(old)
    classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = [classes, "mse"] if net == "functional" else classes
    chosen = OPTIMIZERS[optimizer](**EXTRAS[extra])
    if policy == "mixed_float16" and optimizer != "LossScaleOptimizer":
        # What Keras does by itself, with a scale that overflows nothing.
        chosen = _O.LossScaleOptimizer(chosen, initial_scale=SCALE)
    model.compile(chosen, loss, steps_per_execution=STEPS[steps], **MODES[mode])
    return model


def data(net: str) -> tuple[np.ndarray, Any]:
    """Inputs and targets of `SAMPLES` examples for one of `NETS`."""
    x = _tokens() if net == "subclassed" else _flat()
    classes = np.random.default_rng(6).integers(0, 3, SAMPLES)
    return x, [classes, x[:, :1]] if net == "functional" else classes
