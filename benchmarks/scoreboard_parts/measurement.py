"""What a run did, measured without tbwatch: the ground that a program's truth stands on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.scoreboard_parts.program import Array, Data, Program

_MOST = 512  # examples that the loss and the gradients are measured on


@dataclasses.dataclass(frozen=True)
class State:
    """The model at one moment, on the first examples, in inference mode.

    Attributes:
        loss: without penalties; NaN where the model has no compiled loss.
        merit: the program's `measure`.
        weights: variable path -> value.
        gradients: variable path -> L2 norm of that loss's gradient; None for none at all.
        dead: layer -> share of ReLU units that are 0 for all examples.
        saturated: layer -> share of sigmoid or tanh outputs at their limits.
    """

    loss: float
    merit: float
    weights: dict[str, Array]
    gradients: dict[str, float | None]
    dead: dict[str, float]
    saturated: dict[str, float]


class Losses(keras.callbacks.Callback):  # type: ignore[misc]
    """The loss of each batch, recovered from Keras' running mean of the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self._mean, self._count = 0.0, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras starts a new mean."""
        self._mean, self._count = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Undo the mean; several batches in one call give their mean."""
        now = float((logs or {}).get("loss", math.nan))
        count = batch + 1
        self.values.append((now * count - self._mean * self._count) / (count - self._count))
        self._mean, self._count = now, count


def observe(model: keras.Model, data: Data, program: Program) -> State:
    """Measure a model as it is now."""
    merit = math.nan
    if program.measure is not None:
        merit = float(program.measure(model, data))
    loss, gradients = _loss_and_gradients(model, data)
    dead, saturated = _activations(model, data)
    weights = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    return State(loss, merit, weights, gradients, dead, saturated)


def _loss_and_gradients(model: keras.Model, data: Data) -> tuple[float, dict[str, float | None]]:
    if not getattr(model, "loss", None):
        return math.nan, {}
    x, y = (_head(part) for part in data[:2])
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        predicted = model(x, training=False)
        # Penalties on weights are no part of what is to be learned.
        loss = model.compute_loss(x, y, predicted) - sum(model.losses)
    gradients = tape.gradient(loss, [v.value for v in variables])
    norms = {
        v.path: None if g is None else float(np.linalg.norm(np.asarray(g, np.float64)))
        for v, g in zip(variables, map(_dense, gradients), strict=True)
    }
    return float(loss), norms


def _dense(gradient: Any) -> Any:
    return tf.convert_to_tensor(gradient) if gradient is not None else None


def _head(part: Any) -> Any:
    return tf.nest.map_structure(lambda value: value[:_MOST], part)


def _activations(model: keras.Model, data: Data) -> tuple[dict[str, float], dict[str, float]]:
    """By layer of a functional model: share of dead ReLU units, share of saturated outputs."""
    kinds: dict[str, str] = {}
    if not getattr(model, "inputs", None):
        return {}, {}
    for layer in model.layers:
        function = getattr(getattr(layer, "activation", None), "__name__", "")
        kind = "relu" if isinstance(layer, keras.layers.ReLU) else function
        # An output may sit at its limits: that is a sure answer.
        is_answer = kind != "relu" and any(layer.output is out for out in model.outputs)
        if kind in ("relu", "sigmoid", "tanh") and not is_answer:
            kinds[layer.name] = kind
    if not kinds:
        return {}, {}
    outputs = {name: model.get_layer(name).output for name in kinds}
    x = _head(data[0])
    inputs = x if isinstance(x, (list, dict)) else [x]
    values = keras.Model(model.inputs, outputs)(inputs, training=False)
    dead, saturated = {}, {}
    for name, kind in kinds.items():
        units = np.asarray(values[name], np.float64)
        units = units.reshape(-1, units.shape[-1])
        if kind == "relu":
            dead[name] = float(np.mean(units.max(axis=0) == 0))
        elif kind == "sigmoid":
            saturated[name] = float(np.mean((units < 0.0025) | (units > 0.9975)))
        else:
            saturated[name] = float(np.mean(np.abs(units) > 0.995))
    return dead, saturated


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A run from start to end."""

    start: State
    end: State
    losses: Array
    where: tuple[str, ...]
    chance: float = math.nan  # loss of who knows the classes' frequencies alone

    def of_layers(self, values: dict[str, Any]) -> dict[str, Any]:
        """Those of the layers that carry the symptom; all if the program names none."""
        if not self.where:
            return values
        return {k: v for k, v in values.items() if any(w in k.split("/") for w in self.where)}

    def change(self) -> dict[str, float]:
        """Variable -> norm of the whole change / norm at the start (or 1e-3 sqrt(n))."""
        changes = {}
        for path, first in self.start.weights.items():
            last = self.end.weights[path]
            scale = max(float(np.linalg.norm(first)), 1e-3 * math.sqrt(first.size))
            changes[path] = float(np.linalg.norm(last - first)) / scale
        return changes


def _nonfinite(run: Evidence) -> bool:
    weights = all(np.isfinite(value).all() for value in run.end.weights.values())
    return not weights or not np.isfinite(run.losses).all()


def _stuck(run: Evidence) -> bool:
    # A start worse than chance falls to it without anything being learned.
    return not run.end.loss < 0.98 * float(np.fmin(run.start.loss, run.chance))


def _slow(run: Evidence) -> bool:
    return not run.end.loss < 0.9 * run.start.loss and max(run.change().values()) > 0


def _too_large_steps(run: Evidence) -> bool:
    losses = run.losses[np.isfinite(run.losses)]
    if len(losses) < 10 or _nonfinite(run):
        return True
    if run.end.loss < 0.5 * run.start.loss:
        return False  # small batches jump, and learn
    half = losses[len(losses) // 2 :]
    climbs = losses[5:].max() > 3 * losses[0] or not run.end.loss < 1.05 * run.start.loss
    return bool(climbs or half.std() > 0.5 * abs(half.mean()))


def _unchanged(run: Evidence) -> bool:
    changes = run.of_layers(run.change())
    identical = []
    for path, value in run.of_layers(run.end.weights).items():
        if path.endswith("kernel") and value.ndim >= 2 and value.shape[-1] > 1:
            identical.append(bool(np.ptp(value, axis=-1).max() < 1e-6))
    return any(change < 1e-5 for change in changes.values()) or any(identical)


def _vanishing(run: Evidence) -> bool:
    for state in (run.start, run.end):
        kernels = [(p, g) for p, g in state.gradients.items() if p.endswith("kernel")]
        norms = [g for _, g in kernels if g is not None]
        if len(norms) > 1 and norms[0] < 1e-3 * norms[-1]:
            return True
        if norms and norms[-1] == 0:
            return True
    return False


def _exploding(run: Evidence) -> bool:
    norms = [g for s in (run.start, run.end) for g in s.gradients.values() if g is not None]
    # What starts at zero, such as a bias, has no scale to grow from.
    grown = any(
        change > 30 for path, change in run.change().items() if run.start.weights[path].any()
    )
    return grown or not np.isfinite(norms).all() or max(norms) > 1e3


def _dead(run: Evidence) -> bool:
    return max(run.of_layers(run.end.dead).values(), default=0) >= 0.5


def _saturated(run: Evidence) -> bool:
    values = [run.of_layers(state.saturated) for state in (run.start, run.end)]
    return max((v for layer in values for v in layer.values()), default=0) >= 0.5


def _disconnected(run: Evidence) -> bool:
    return any(gradient is None for gradient in run.start.gradients.values())


CHECKS: dict[str, Callable[[Evidence], bool]] = {
    "vanishing_gradient": _vanishing,
    "exploding_gradient": _exploding,
    "nonfinite": _nonfinite,
    "dying_relu": _dead,
    "saturated_activation": _saturated,
    "unchanged_weights": _unchanged,
    "slow_or_low_lr": _slow,
    "oscillating_or_high_lr": _too_large_steps,
    "loss_not_decreasing": _stuck,
    "disconnected": _disconnected,
}


def chance_loss(model: keras.Model, data: Data) -> float:
    """Cross-entropy of the classes' frequencies; NaN for models with another loss.

    Args:
        model: compiled; with integer targets and `sparse_categorical_crossentropy`, or 0/1 ones
            and `binary_crossentropy`.
        data: its training data.
    """
    loss = getattr(model, "loss", None)
    if loss not in ("sparse_categorical_crossentropy", "binary_crossentropy"):
        return math.nan
    target = np.asarray(data[1][:_MOST])
    if target.ndim > 1 and target.shape[-1] > 1:
        return math.nan
    share = np.unique(target, return_counts=True)[1] / target.size
    return float(-np.sum(share * np.log(share)))


def symptoms(run: Evidence) -> list[str]:
    """Labels that the measurement confirms; "bad_output_or_loss" is not one that it can."""
    found = []
    for label, check in CHECKS.items():
        with np.errstate(all="ignore"):
            if check(run):
                found.append(label)
    return found


def verdict(program: Program, run: Evidence) -> str:
    """Empty if the run was what the program says, else a sentence on what was not."""
    if program.healthy:
        if not run.end.merit >= program.goal:
            return f"not healthy: it reached {run.end.merit:.3g}, the goal is {program.goal:.3g}"
        if run.start.merit >= program.goal and not program.learned_before:
            return f"the goal {program.goal:.3g} was met before training"
        return "not healthy: NaN" if _nonfinite(run) and np.isfinite(run.losses).any() else ""
    found = symptoms(run)
    missing = [label for label in program.labels if label in CHECKS and label not in found]
    return f"not measured: {', '.join(missing)}; measured: {', '.join(found)}" if missing else ""
