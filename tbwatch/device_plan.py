"""The plan on the device: which updates are sampled, and where their samples go."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tbwatch.groups import state


class When(NamedTuple):
    """Whether an update is sampled: scalar tensors, and as few operations as can be.

    They run at every update; where a sample goes is found where it is taken.

    Attributes:
        step: int64, number of the update.
        is_due: whether to sample it.
        alarm: whether its loss is the first one that is not finite; None where none is known.
    """

    step: tf.Tensor
    is_due: tf.Tensor
    alarm: tf.Tensor | None


class DevicePlan:
    """Which updates to sample next: written by the host, read by the training step.

    Args:
        slots: updates that can be planned at a time.
        histogram_slots: how many of them can have histograms.

    Attributes:
        slots: one more than can be planned, for an update whose loss is not finite.
    """

    def __init__(self, slots: int, histogram_slots: int) -> None:
        self.slots = slots + 1
        self._steps = state([slots], tf.int64)
        self._histogram_steps = state([histogram_slots], tf.int64)
        self._known_histogram_steps: list[int] = []
        self._armed = state([], tf.bool)
        self._armed.assign(True)
        self._is_armed = True  # what the host knows of it

    def assign(self, steps: Sequence[int], histogram_steps: Sequence[int]) -> None:
        """Sample these updates next, some of them with histograms."""
        self._steps.assign(_padded(steps, self.slots - 1))
        padded = _padded(histogram_steps, self._histogram_steps.shape[0])
        if padded != self._known_histogram_steps:
            self._histogram_steps.assign(padded)
            self._known_histogram_steps = padded

    def may_have_histograms(self, steps: Iterable[int]) -> bool:
        """Whether histograms were planned for any of these updates; asks the host alone."""
        return not set(steps).isdisjoint(self._known_histogram_steps)

    def is_spare(self, slot: int) -> bool:
        """Whether a sample in this slot was not planned."""
        return slot == self.slots - 1

    def rearm(self, losses: Sequence[float]) -> None:
        """Hear again of a loss that is not finite, once it has been finite in between.

        Args:
            losses: those of the samples that were collected, oldest first; at least one.
        """
        finite = [math.isfinite(loss) for loss in losses]
        self._is_armed &= all(finite)
        if not self._is_armed and finite[-1]:
            self._armed.assign(True)
            self._is_armed = True

    # -------------------------------------------------------------------- inside the training step

    def when(self, step: tf.Tensor, may_update: tf.Tensor | bool, loss: tf.Tensor | None) -> When:
        """Whether this update is sampled; see `Sampler.around`."""
        due, alarm = _is_in(self._steps, step), None
        if loss is not None:
            alarm = self._armed & ~tf.math.is_finite(loss)
            due |= alarm
        if may_update is not True:
            due &= may_update
        return When(step, due, alarm)

    def slot(self, step: tf.Tensor) -> tf.Tensor:
        """Where the sample of an update goes: the spare slot if it was not planned."""
        spare = tf.constant(self.slots - 1, tf.int64)
        return tf.where(_is_in(self._steps, step), _place(self._steps, step), spare)

    def has_histograms(self, step: tf.Tensor) -> tf.Tensor:
        """Whether this update gets histograms."""
        return _is_in(self._histogram_steps, step)

    def histogram_slot(self, step: tf.Tensor) -> tf.Tensor:
        """Where its histograms go."""
        return _place(self._histogram_steps, step)

    def disarm(self, when: When) -> None:
        """Only the first loss that is not finite is news."""
        if when.alarm is not None:
            self._armed.assign(self._armed & ~when.alarm)


def _is_in(plan: tf.Variable, step: tf.Tensor) -> tf.Tensor:
    return tf.reduce_any(tf.equal(plan, step))


def _place(plan: tf.Variable, step: tf.Tensor) -> tf.Tensor:
    return tf.argmax(tf.cast(tf.equal(plan, step), tf.int32))


def _padded(steps: Sequence[int], slots: int) -> list[int]:
    return [*steps[:slots], *[-1] * (slots - len(steps))]
