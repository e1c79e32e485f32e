"""The device side of a sample: variables that the training step fills and the host reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tbwatch import statistics
from tbwatch.histogram import BUCKETS
from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS, COLUMNS

HISTOGRAM_KINDS = ("weights", "gradients", "updates")
STEP_VALUES = ("learning_rate", "loss", "loss_is_known", "global_gradient_norm", "loss_scale")

# tf.Tensor, tf.IndexedSlices or None; TensorFlow has no types to say so.
Gradient: TypeAlias = Any


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the host copies of one sampled update.

    Attributes:
        step: number of the update.
        table: float32 `[V, len(quantities.COLUMNS)]`.
        values: the `STEP_VALUES` of the update.
        histograms: kind -> float32 `[V, 4096]` bucket counts; empty if none were due.
    """

    step: int
    table: np.ndarray
    values: Mapping[str, float]
    histograms: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Request:
    """What a sample has to hold, besides gradient and weight norms.

    Attributes:
        updates: compare the weights before and after: needs one copy of the watched variables.
        histograms: kinds out of `HISTOGRAM_KINDS`.
        slots: sampled updates that one execution of the training function can hold.
        histogram_slots: the same for updates with histograms.
    """

    updates: bool = True
    histograms: frozenset[str] = frozenset()
    slots: int = 1
    histogram_slots: int = 1


class Sampler:
    """Samples planned updates inside the training step.

    `plan` says which updates; the step calls `before` and `after` around the optimizer; `collect`
    hands what was sampled to the host. The variables belong to no model and no optimizer.
    """

    def __init__(self, variables: Sequence[tf.Variable], request: Request) -> None:
        self._variables = list(variables)
        self._request = request
        count = len(self._variables)
        kinds = [kind for kind in HISTOGRAM_KINDS if kind in request.histograms]
        self._kinds = kinds if request.updates else [k for k in kinds if k != "updates"]
        self._plan = _state([request.slots], tf.int64)
        self._histogram_plan = _state([request.histogram_slots], tf.int64)
        self._steps = _state([request.slots], tf.int64)
        self._values = _state([request.slots, count * len(COLUMNS) + len(STEP_VALUES)])
        self._histogram_steps = _state([request.histogram_slots], tf.int64)
        rows = len(self._kinds) * count
        self._counts = (
            _state([request.histogram_slots, rows, BUCKETS]) if self._kinds and rows else None
        )
        self._snapshots = (
            [_state(v.shape, v.dtype, v.device) for v in self._variables] if request.updates else []
        )

    @property
    def slots(self) -> int:
        """How many updates can be planned at once."""
        return self._request.slots

    @property
    def histogram_slots(self) -> int:
        """How many of them can have histograms."""
        return self._request.histogram_slots

    def plan(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._plan.assign(_padded(steps, self._request.slots))
        self._histogram_plan.assign(_padded(histogram_steps, self._request.histogram_slots))

    def around(
        self,
        step: tf.Tensor,
        may_update: tf.Tensor | bool,
        gradients: Callable[[], Sequence[Gradient]],
        others: Callable[[], Sequence[Gradient]],
        step_values: Callable[[], Mapping[str, tf.Tensor]],
    ) -> Callable[[], None]:
        """Sample what precedes the update if it is planned; the result samples what follows.

        Args:
            step: int64 scalar, number of the update that is about to happen.
            may_update: False where this call of the optimizer only accumulates.
            gradients: gives the gradient of each variable, None where it has none.
            others: gives the gradients of variables that are not watched (global norm only).
            step_values: gives `STEP_VALUES`, `global_gradient_norm` apart.
        """
        planned = tf.equal(self._plan, step)
        due = tf.reduce_any(planned) & tf.convert_to_tensor(may_update)
        with_histograms = tf.reduce_any(tf.equal(self._histogram_plan, step))

        def sample() -> tuple[tf.Tensor, tf.Tensor]:
            return self._sample_before(gradients(), others(), step_values(), step, with_histograms)

        def skip() -> tuple[tf.Tensor, tf.Tensor]:
            return (
                tf.zeros([len(self._variables), len(BEFORE_COLUMNS)]),
                tf.zeros([len(STEP_VALUES)]),
            )

        rows, values = tf.cond(due, sample, skip)

        def finish() -> None:
            def store() -> tf.Tensor:
                self._store(planned, step, rows, values, with_histograms)
                return tf.constant(True)

            tf.cond(due, store, lambda: tf.constant(False))

        return finish

    def collect(self) -> list[Sample]:
        """Copy what was sampled since the last call, oldest first, and make room."""
        steps = self._steps.numpy()
        if not steps.any():
            return []
        values = self._values.numpy()
        histogram_steps = self._histogram_steps.numpy()
        counts = (
            self._counts.numpy() if self._counts is not None and histogram_steps.any() else None
        )
        samples = []
        for slot in np.flatnonzero(steps):
            histograms = {}
            at = np.flatnonzero(histogram_steps == steps[slot])
            if counts is not None and at.size:
                by_kind = counts[at[0]].reshape(len(self._kinds), len(self._variables), BUCKETS)
                histograms = dict(zip(self._kinds, by_kind, strict=True))
            table, rest = np.split(values[slot], [len(self._variables) * len(COLUMNS)])
            samples.append(
                Sample(
                    step=int(steps[slot]),
                    table=table.reshape(len(self._variables), len(COLUMNS)),
                    values=dict(zip(STEP_VALUES, map(float, rest), strict=True)),
                    histograms=histograms,
                )
            )
        self._steps.assign(tf.zeros_like(self._steps))
        if histogram_steps.any():
            self._histogram_steps.assign(tf.zeros_like(self._histogram_steps))
        return sorted(samples, key=lambda sample: sample.step)

    def _sample_before(
        self,
        gradients: Sequence[Gradient],
        others: Sequence[Gradient],
        step_values: Mapping[str, tf.Tensor],
        step: tf.Tensor,
        with_histograms: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        weights = [_flat_value(variable) for variable in self._variables]
        flat = [_flat_gradient(g, v.dtype) for g, v in zip(gradients, self._variables, strict=True)]
        previous = [_flat_value(s) for s in self._snapshots] or [None] * len(weights)
        rows = statistics.before_rows(weights, previous, flat)
        rest = [_flat_gradient(g, tf.float32) for g in others if g is not None]
        column = BEFORE_COLUMNS.index("gradient_norm")
        norms = [row[column] for row, g in zip(rows, flat, strict=True) if g is not None]
        total = statistics.global_norm(norms + statistics.norms_only(rest))
        if self._counts is not None:
            parts = {"weights": weights, "gradients": flat}
            self._count(with_histograms, step, {k: parts[k] for k in self._kinds if k in parts})
        # Read above, written last: the window is the change since the sample before.
        for snapshot, variable in zip(self._snapshots, self._variables, strict=False):
            snapshot.assign(variable)
        values = {**step_values, "global_gradient_norm": total}
        return tf.stack(rows), tf.stack([tf.cast(values[n], tf.float32) for n in STEP_VALUES])

    def _store(
        self,
        planned: tf.Tensor,
        step: tf.Tensor,
        before: tf.Tensor,
        values: tf.Tensor,
        with_histograms: tf.Tensor,
    ) -> None:
        slot = tf.argmax(tf.cast(planned, tf.int32))
        if self._snapshots:
            old = [_flat_value(snapshot) for snapshot in self._snapshots]
            new = [_flat_value(variable) for variable in self._variables]
            after = tf.stack(statistics.after_rows(old, new, tf.unstack(before[:, 0])))
            if "updates" in self._kinds:
                changes = [b - a for a, b in zip(old, new, strict=True)]
                self._count(with_histograms, step, {"updates": changes})
        else:
            after = tf.fill([len(self._variables), len(AFTER_COLUMNS)], float("nan"))
        row = tf.concat([tf.reshape(tf.concat([before, after], axis=1), [-1]), values], axis=0)
        self._values.scatter_nd_update([[slot]], [row])
        self._steps.scatter_nd_update([[slot]], [step])

    def _count(
        self,
        due: tf.Tensor,
        step: tf.Tensor,
        tensors: Mapping[str, Sequence[tf.Tensor | None]],
    ) -> None:
        """Store the bucket counts of these kinds, if histograms are due."""
        variable = self._counts
        if not tensors or variable is None:
            return

        def store() -> tf.Tensor:
            slot = tf.argmax(tf.cast(tf.equal(self._histogram_plan, step), tf.int32))
            for kind, members in tensors.items():
                counts = tf.stack(
                    [
                        tf.zeros([BUCKETS]) if t is None else statistics.bucket_counts(t)
                        for t in members
                    ]
                )
                first = self._kinds.index(kind) * len(self._variables)
                rows = tf.range(first, first + len(self._variables), dtype=tf.int64)
                where = tf.stack([tf.fill(tf.shape(rows), slot), rows], axis=1)
                variable.scatter_nd_update(where, counts)
            self._histogram_steps.scatter_nd_update([[slot]], [step])
            return tf.constant(True)

        tf.cond(due, store, lambda: tf.constant(False))


def _state(shape: Sequence[int], dtype: tf.DType = tf.float32, device: str = "") -> tf.Variable:
    with tf.device(device or None):
        return tf.Variable(tf.zeros(shape, dtype), trainable=False, name="tbwatch")


def _padded(steps: Sequence[int], slots: int) -> list[int]:
    return [*steps[:slots], *[-1] * (slots - len(steps))]


def _flat_value(variable: tf.Variable) -> tf.Tensor:
    return statistics.flat(variable.read_value(), statistics.compute_dtype(variable.dtype))


def _flat_gradient(gradient: Gradient, dtype: tf.DType) -> tf.Tensor | None:
    if gradient is None:
        return None
    # A sparse gradient becomes dense: duplicate rows must be added before a norm is taken.
    dense = tf.convert_to_tensor(gradient)
    return statistics.flat(dense, statistics.compute_dtype(dtype))
