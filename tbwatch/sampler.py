"""The device side of a sample: variables that the training step fills and the host reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tbwatch import statistics
from tbwatch.activations import Activation, ActivationStore
from tbwatch.flight import FlightRecorder
from tbwatch.flight_log import FlightLog
from tbwatch.groups import Gradient, make_groups, norms_of, state
from tbwatch.histogram import BUCKETS
from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS, COLUMNS
from tbwatch.sample import HISTOGRAM_KINDS, STEP_VALUES, Request, Sample
from tbwatch.seldom import seldom

OF_GRADIENT = np.array(["gradient" in column for column in BEFORE_COLUMNS])


class _When(NamedTuple):
    """Whether an update is sampled: scalar tensors, and as few operations as can be.

    They run at every update; where a sample goes is found where it is taken.
    """

    step: tf.Tensor
    is_due: tf.Tensor
    alarm: tf.Tensor | None


class Sampler:
    """Samples planned updates inside the training step.

    `plan` says which updates; the step calls `before` and `after` around the optimizer; `collect`
    hands what was sampled to the host. The variables belong to no model and no optimizer.
    """

    def __init__(
        self, names: Sequence[str], variables: Sequence[tf.Variable], request: Request
    ) -> None:
        self._request = request
        self._rows = len(variables)
        self._groups = make_groups(variables, keeps_copy=request.updates)
        kinds = [kind for kind in HISTOGRAM_KINDS if kind in request.histograms]
        self._kinds = kinds if request.updates else [k for k in kinds if k != "updates"]
        self._plan = state([request.slots], tf.int64)
        self._histogram_plan = state([request.histogram_slots], tf.int64)
        self._planned_histograms: list[int] = []
        # One more slot than can be planned: for an update whose loss is not finite.
        slots = request.slots + 1
        self._armed = state([], tf.bool)
        self._armed.assign(True)
        self._is_armed = True  # what the host knows of it
        self._steps = state([slots], tf.int64)
        self._values = state([slots, self._rows * len(COLUMNS) + len(STEP_VALUES)])
        self._histogram_steps = state([request.histogram_slots], tf.int64)
        shape = [request.histogram_slots, len(self._kinds) * self._rows, BUCKETS]
        self._counts = state(shape) if self._kinds else None
        self._counts_activations = "activations" in request.histograms
        store = ActivationStore(slots, request.histogram_slots * self._counts_activations)
        self._activations = store if request.activations else None
        flight = FlightRecorder(request.flight, names) if request.flight else None
        self._flight = flight

    def make_room(self, units: Sequence[int]) -> None:
        """Fix how many activations are measured, and the units of each."""
        if self._activations is not None:
            self._activations.make_room(units)

    def plan(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._plan.assign(_padded(steps, self._request.slots))
        padded = _padded(histogram_steps, self._request.histogram_slots)
        if padded != self._planned_histograms:
            self._histogram_plan.assign(padded)
            self._planned_histograms = padded

    def around(
        self,
        step: tf.Tensor,
        may_update: tf.Tensor | bool,
        gradients: Callable[[], Sequence[Gradient]],
        others: Callable[[], Sequence[Gradient]],
        step_values: Callable[[], Mapping[str, tf.Tensor]],
        activations: Sequence[Activation | None] = (),
        loss: tf.Tensor | None = None,
    ) -> Callable[[], None]:
        """Sample what precedes the update if it is planned; the result samples what follows.

        The first update with a loss that is not finite is sampled too.

        Args:
            step: int64 scalar, number of the update that is about to happen.
            may_update: False where this call of the optimizer only accumulates.
            gradients: gives the gradient of each variable, None where it has none.
            others: gives the gradients of variables that are not watched (global norm only).
            step_values: gives `STEP_VALUES`, `global_gradient_norm` apart.
            activations: as many as there is room for; None for what this step does not compute.
            loss: scalar; None where the step does not show it.
        """
        if self._flight is not None:
            self._flight.record(step, may_update, self._groups, gradients, loss)
        when = self._when(step, may_update, loss)

        def sample() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            weights = [group.weights() for group in self._groups]
            rows, norm = self._sample_gradients(weights, gradients(), others(), when)
            self._sample_weights(weights, when)
            self._sample_activations(activations, when)
            return rows, norm, _stacked(step_values())

        found = seldom(when.is_due, sample, self._nothing)
        return lambda: self._finish(when, *found)

    def around_reduction(
        self,
        step: tf.Tensor,
        step_values: Callable[[], Mapping[str, tf.Tensor]],
        activations: Sequence[Activation | None] = (),
        loss: tf.Tensor | None = None,
    ) -> tuple[Callable[[Sequence[Gradient], Sequence[Gradient]], None], Callable[[], None]]:
        """The same where gradients are known later: in mid-update, as the sum over replicas.

        Returns:
            What to call with the gradients of the variables and of others, as soon as they are
            known; and what to call after the update.
        """
        when = self._when(step, True, loss)

        def sample() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            weights = [group.weights() for group in self._groups]
            rows, norm = self._sample_gradients(weights, [None] * self._rows, [], when)
            self._sample_weights(weights, when)
            self._sample_activations(activations, when)
            return rows, norm, _stacked(step_values())

        found = seldom(when.is_due, sample, self._nothing)

        def measure(gradients: Sequence[Gradient], others: Sequence[Gradient]) -> None:
            nonlocal found
            of_weights, unknown, values = found
            if self._flight is not None:
                self._flight.record(step, True, self._groups, lambda: gradients, loss)

            def sample() -> tuple[tf.Tensor, tf.Tensor]:
                # Weight decay may have moved the weights already.
                keeps = self._request.updates
                weights = [g.kept() if keeps else g.weights() for g in self._groups]
                rows, norm = self._sample_gradients(weights, gradients, others, when)
                return tf.where(OF_GRADIENT, rows, of_weights), norm

            rows, norm = seldom(when.is_due, sample, lambda: (of_weights, unknown))
            found = rows, norm, values

        return measure, lambda: self._finish(when, *found)

    def flight_log(self) -> FlightLog | None:
        """What the flight recorder holds; None if there is none."""
        return None if self._flight is None else self._flight.read()

    def collect(self) -> list[Sample]:
        """Copy what was sampled since the last call, oldest first, and make room."""
        steps = self._steps.numpy()
        if not steps.any():
            return []
        values = self._values.numpy()
        store = self._activations
        by_slot = store.read() if store is not None and store.has_room else None
        histograms = self._histograms(steps)
        samples = []
        for slot in np.flatnonzero(steps):
            table, rest = np.split(values[slot], [self._rows * len(COLUMNS)])
            samples.append(
                Sample(
                    step=int(steps[slot]),
                    table=table.reshape(self._rows, len(COLUMNS)),
                    values=dict(zip(STEP_VALUES, map(float, rest), strict=True)),
                    histograms=histograms.get(int(steps[slot]), {}),
                    activations=by_slot[slot] if by_slot else None,
                    planned=bool(slot < self._request.slots),
                )
            )
        self._steps.assign(np.zeros_like(steps))
        samples.sort(key=lambda sample: sample.step)
        self._is_armed &= all(np.isfinite(sample.values["loss"]) for sample in samples)
        if not self._is_armed and np.isfinite(samples[-1].values["loss"]):
            self._armed.assign(True)
            self._is_armed = True
        return samples

    def _histograms(self, steps: np.ndarray) -> dict[int, dict[str, np.ndarray]]:
        """Bucket counts by update and kind, of those of these updates that have any."""
        if set(steps.tolist()).isdisjoint(self._planned_histograms):
            return {}
        taken = self._histogram_steps.numpy()
        by_kind = {}
        if self._counts is not None:
            counts = self._counts.numpy().reshape(len(taken), len(self._kinds), self._rows, BUCKETS)
            by_kind = {kind: counts[:, number] for number, kind in enumerate(self._kinds)}
        if self._counts_activations and self._activations and self._activations.has_room:
            by_kind["activations"] = self._activations.read_counts()
        self._histogram_steps.assign(np.zeros_like(taken))
        return {
            int(step): {kind: counts[at] for kind, counts in by_kind.items()}
            for at, step in enumerate(taken)
            if step
        }

    def _when(self, step: tf.Tensor, may_update: tf.Tensor | bool, loss: tf.Tensor | None) -> _When:
        due, alarm = self._is_in(self._plan, step), None
        if loss is not None:
            alarm = self._armed & ~tf.math.is_finite(loss)
            due |= alarm
        if may_update is not True:
            due &= may_update
        return _When(step, due, alarm)

    def _is_in(self, plan: tf.Variable, step: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.equal(plan, step))

    def _slot(self, plan: tf.Variable, step: tf.Tensor) -> tf.Tensor:
        """Where a planned update goes."""
        return tf.argmax(tf.cast(tf.equal(plan, step), tf.int32))

    def _any_slot(self, step: tf.Tensor) -> tf.Tensor:
        """The same, or the spare one for an update that was not planned."""
        spare = tf.constant(self._request.slots, tf.int64)
        return tf.where(self._is_in(self._plan, step), self._slot(self._plan, step), spare)

    def _nothing(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = tf.zeros([self._rows, len(BEFORE_COLUMNS)])
        return rows, tf.zeros([]), tf.zeros([len(STEP_VALUES)])

    def _sample_activations(self, activations: Sequence[Activation | None], when: _When) -> None:
        if when.alarm is not None:
            self._armed.assign(self._armed & ~when.alarm)
        store = self._activations
        if store is None or not store.has_room:
            return
        store.store(self._any_slot(when.step), activations)
        if not self._counts_activations:
            return

        def count() -> tf.Tensor:
            at = self._slot(self._histogram_plan, when.step)
            store.count(at, activations)
            self._histogram_steps.scatter_nd_update([[at]], [when.step])
            return tf.constant(True)

        tf.cond(self._is_in(self._histogram_plan, when.step), count, lambda: tf.constant(False))

    def _sample_gradients(
        self,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[Gradient],
        others: Sequence[Gradient],
        when: _When,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`BEFORE_COLUMNS` of all variables, and the norm of all gradients together."""
        missing = np.array([gradient is None for gradient in gradients])
        packed = [group.gradients(gradients) for group in self._groups]
        rows = self._in_order(
            [group.before(w, g) for group, w, g in zip(self._groups, weights, packed, strict=True)]
        )
        # A pack has zeros for members without a gradient, and zero is not unknown.
        rows = tf.where(missing[:, np.newaxis] & OF_GRADIENT, float("nan"), rows)
        norms = tf.boolean_mask(rows[:, BEFORE_COLUMNS.index("gradient_norm")], ~missing)
        if "gradients" in self._kinds and not missing.all():
            pairs = list(zip(self._groups, packed, strict=True))
            self._count(
                "gradients", lambda: [g.bucket_counts(x) for g, x in pairs], when, unless=missing
            )
        return rows, statistics.global_norm([norms, *norms_of(others)])

    def _sample_weights(self, weights: Sequence[tf.Tensor], when: _When) -> None:
        if "weights" in self._kinds:
            pairs = list(zip(self._groups, weights, strict=True))
            self._count("weights", lambda: [g.bucket_counts(x) for g, x in pairs], when)
        # Read before, written last: the window is the change since the sample before.
        for group, weight in zip(self._groups, weights, strict=True):
            group.keep(weight)

    def _finish(self, when: _When, before: tf.Tensor, norm: tf.Tensor, values: tf.Tensor) -> None:
        """After the update, if it is due."""

        def store() -> tf.Tensor:
            self._store(when, before, norm, values)
            return tf.constant(True)

        seldom(when.is_due, store, lambda: tf.constant(False))

    def _store(self, when: _When, before: tf.Tensor, norm: tf.Tensor, values: tf.Tensor) -> None:
        if self._request.updates:
            pairs = [(group.kept(), group.weights()) for group in self._groups]
            norms = before[:, BEFORE_COLUMNS.index("weight_norm")]
            after = self._in_order(
                [group.after(*pair, norms) for group, pair in zip(self._groups, pairs, strict=True)]
            )
            if "updates" in self._kinds:
                changes = list(zip(self._groups, pairs, strict=True))
                self._count(
                    "updates", lambda: [g.bucket_counts_of_change(*x) for g, x in changes], when
                )
        else:
            after = tf.fill([self._rows, len(AFTER_COLUMNS)], float("nan"))
        is_norm = np.array(STEP_VALUES) == "global_gradient_norm"
        values = tf.where(is_norm, norm, values)
        row = tf.concat([tf.reshape(tf.concat([before, after], axis=1), [-1]), values], axis=0)
        slot = self._any_slot(when.step)
        self._values.scatter_nd_update([[slot]], [row])
        self._steps.scatter_nd_update([[slot]], [when.step])

    def _in_order(self, by_group: Sequence[tf.Tensor]) -> tf.Tensor:
        """Results of the groups, one below the other, in the order of the layout."""
        positions = np.concatenate([group.rows for group in self._groups])
        return tf.gather(tf.concat(by_group, axis=0), np.argsort(positions))

    def _count(
        self,
        kind: str,
        counts_by_group: Callable[[], Sequence[tf.Tensor]],
        when: _When,
        unless: np.ndarray | None = None,
    ) -> None:
        """Store the bucket counts of this kind, if histograms are due; only then are they made."""
        variable = self._counts
        assert variable is not None

        def store() -> tf.Tensor:
            slot = self._slot(self._histogram_plan, when.step)
            counts = self._in_order(counts_by_group())
            if unless is not None:
                counts = tf.where(unless[:, np.newaxis], 0.0, counts)
            rows = tf.range(self._rows, dtype=tf.int64) + self._kinds.index(kind) * self._rows
            where = tf.stack([tf.fill([self._rows], slot), rows], axis=1)
            variable.scatter_nd_update(where, counts)
            self._histogram_steps.scatter_nd_update([[slot]], [when.step])
            return tf.constant(True)

        tf.cond(self._is_in(self._histogram_plan, when.step), store, lambda: tf.constant(False))


def _stacked(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """In the order of `STEP_VALUES`; zero for what is filled in later."""
    return tf.stack([tf.cast(values.get(name, 0.0), tf.float32) for name in STEP_VALUES])


def _padded(steps: Sequence[int], slots: int) -> list[int]:
    return [*steps[:slots], *[-1] * (slots - len(steps))]
