"""The device side of a sample: variables that the training step fills and the host reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tbwatch import statistics
from tbwatch.activations import Activation
from tbwatch.device_plan import DevicePlan, When
from tbwatch.flight import FlightRecorder
from tbwatch.flight_log import FlightLog
from tbwatch.groups import Gradient, make_groups, norms_of
from tbwatch.quantities import AFTER_COLUMNS, BEFORE_COLUMNS
from tbwatch.sample import STEP_VALUES, Request, Sample
from tbwatch.sample_store import SampleStore
from tbwatch.seldom import seldom

OF_GRADIENT = np.array(["gradient" in column for column in BEFORE_COLUMNS])


class Sampler:
    """Samples planned updates inside the training step.

    `plan` says which updates; the step calls `around` before an update, and what that returns after
    it; `collect` hands what was sampled to the host. The variables belong to no model.

    Args:
        names: of the variables.
        variables: those that are watched.
        request: what a sample has to hold.
        is_compiled: whether XLA compiles the step.
    """

    def __init__(
        self,
        names: Sequence[str],
        variables: Sequence[tf.Variable],
        request: Request,
        is_compiled: bool = False,
    ) -> None:
        self._request = request
        self._keeps_in_loop = is_compiled and request.updates
        self._rows = len(variables)
        self._groups = make_groups(variables, keeps_copy=request.updates)
        self._plan = DevicePlan(request.slots, request.histogram_slots)
        self._store = SampleStore(self._rows, request, self._plan)
        flight = FlightRecorder(request.flight, names) if request.flight else None
        self._flight = flight

    def make_room(self, units: Sequence[int]) -> None:
        """Fix how many activations are measured, and the units of each."""
        if self._store.activations is not None:
            self._store.activations.make_room(units)

    def plan(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._plan.assign(steps, histogram_steps)

    def rest(self) -> None:
        """Do nothing from now on, in a step that goes on without its watch."""
        self.plan((), ())
        if self._flight is not None:
            self._flight.rest()

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
        when = self._plan.when(step, may_update, loss)

        def sample() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            weights = [group.weights() for group in self._groups]
            rows, norm = self._sample_gradients(weights, gradients(), others(), when)
            self._sample_weights(weights, when)
            self._sample_activations(activations, when)
            self._plan.disarm(when)
            return rows, norm, _stacked(step_values())

        found = self._sampled(when, sample)
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
        when = self._plan.when(step, True, loss)

        def sample() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            weights = [group.weights() for group in self._groups]
            rows, norm = self._sample_gradients(weights, [None] * self._rows, [], when)
            self._sample_weights(weights, when)
            self._sample_activations(activations, when)
            self._plan.disarm(when)
            return rows, norm, _stacked(step_values())

        found = self._sampled(when, sample)

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
        samples = self._store.collect()
        if samples:
            self._plan.rearm([sample.values["loss"] for sample in samples])
        return samples

    def _sampled(
        self, when: When, sample: Callable[[], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What `sample` gives if it is due, and zeros otherwise."""

        def nothing() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            rows = tf.zeros([self._rows, len(BEFORE_COLUMNS)])
            return rows, tf.zeros([]), tf.zeros([len(STEP_VALUES)]), tf.constant(0)

        rows, norm, values, times = seldom(
            when.is_due, lambda: (*sample(), tf.constant(1)), nothing
        )
        if self._keeps_in_loop:
            # XLA copies each variable that a branch may write, at every update, taken or not; what
            # a loop may write it leaves where it is. It begins when the branch has read the copies.
            tf.while_loop(lambda time: time < times, self._keep_weights, [tf.constant(0)])
        return rows, norm, values

    def _keep_weights(self, time: tf.Tensor) -> tuple[tf.Tensor]:
        for group in self._groups:
            group.keep(group.weights())
        return (time + 1,)

    def _sample_activations(self, activations: Sequence[Activation | None], when: When) -> None:
        store = self._store.activations
        if store is None or not store.has_room:
            return
        store.store(self._plan.slot(when.step), activations)
        if self._store.counts_activations:
            self._if_histograms(when, lambda slot: store.count(slot, activations))

    def _sample_gradients(
        self,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[Gradient],
        others: Sequence[Gradient],
        when: When,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`BEFORE_COLUMNS` of all variables, and the norm of all gradients together."""
        missing = np.array([gradient is None for gradient in gradients])
        packed = [group.gradients(gradients) for group in self._groups]
        rows = self._in_order(
            [group.before(w, g) for group, w, g in zip(self._groups, weights, packed, strict=True)]
        )
        # A pack has zeros for members without a gradient, and zero is not unknown.
        rows = tf.where(missing[:, np.newaxis] & OF_GRADIENT, float("nan"), rows)
        norms = tf.gather(rows[:, BEFORE_COLUMNS.index("gradient_norm")], np.flatnonzero(~missing))
        if not missing.all():
            pairs = list(zip(self._groups, packed, strict=True))
            self._count(
                "gradients", lambda: [g.bucket_counts(x) for g, x in pairs], when, unless=missing
            )
        return rows, statistics.global_norm([norms, *norms_of(others)])

    def _sample_weights(self, weights: Sequence[tf.Tensor], when: When) -> None:
        pairs = list(zip(self._groups, weights, strict=True))
        self._count("weights", lambda: [g.bucket_counts(x) for g, x in pairs], when)
        if not self._keeps_in_loop:
            # Read before, written last: the window is the change since the sample before.
            for group, weight in zip(self._groups, weights, strict=True):
                group.keep(weight)

    def _finish(self, when: When, before: tf.Tensor, norm: tf.Tensor, values: tf.Tensor) -> None:
        """After the update, if it is due."""

        def store() -> tf.Tensor:
            self._measure_update(when, before, norm, values)
            return tf.constant(True)

        seldom(when.is_due, store, lambda: tf.constant(False))

    def _measure_update(
        self, when: When, before: tf.Tensor, norm: tf.Tensor, values: tf.Tensor
    ) -> None:
        if self._request.updates:
            pairs = [(group.kept(), group.weights()) for group in self._groups]
            norms = before[:, BEFORE_COLUMNS.index("weight_norm")]
            after = self._in_order(
                [group.after(*pair, norms) for group, pair in zip(self._groups, pairs, strict=True)]
            )
            changes = list(zip(self._groups, pairs, strict=True))
            self._count(
                "updates", lambda: [g.bucket_counts_of_change(*x) for g, x in changes], when
            )
        else:
            after = tf.fill([self._rows, len(AFTER_COLUMNS)], float("nan"))
        is_norm = np.array(STEP_VALUES) == "global_gradient_norm"
        values = tf.where(is_norm, norm, values)
        self._store.store(when.step, tf.concat([before, after], axis=1), values)

    def _in_order(self, by_group: Sequence[tf.Tensor]) -> tf.Tensor:
        """Results of the groups, one below the other, in the order of the layout."""
        positions = np.concatenate([group.rows for group in self._groups])
        return tf.gather(tf.concat(by_group, axis=0), np.argsort(positions))

    def _count(
        self,
        kind: str,
        counts_by_group: Callable[[], Sequence[tf.Tensor]],
        when: When,
        unless: np.ndarray | None = None,
    ) -> None:
        """Store the bucket counts of this kind, if anyone wants them."""
        histograms = self._store.histograms
        if histograms is None or kind not in histograms.kinds:
            return

        def count(slot: tf.Tensor) -> None:
            counts = self._in_order(counts_by_group())
            if unless is not None:
                counts = tf.where(unless[:, np.newaxis], 0.0, counts)
            histograms.store(slot, kind, counts)

        self._if_histograms(when, count)

    def _if_histograms(self, when: When, count: Callable[[tf.Tensor], None]) -> None:
        """Have histograms made and stored at a slot, if this update gets any."""

        def store() -> tf.Tensor:
            slot = self._plan.histogram_slot(when.step)
            count(slot)
            self._store.note_histograms(when.step, slot)
            return tf.constant(True)

        tf.cond(self._plan.has_histograms(when.step), store, lambda: tf.constant(False))


def _stacked(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """In the order of `STEP_VALUES`; zero for what is filled in later."""
    return tf.stack([tf.cast(values.get(name, 0.0), tf.float32) for name in STEP_VALUES])
