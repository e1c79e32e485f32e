"""The flight recorder: norms of the last updates, each of them, kept on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tbwatch.flight_log import NO_GRADIENT, FlightLog
from tbwatch.groups import Gradient, Group, state


class FlightRecorder:
    """A ring of the last updates, which the training step fills and nobody reads until it matters.

    Args:
        length: updates to keep.
        names: the watched variables.
    """

    def __init__(self, length: int, names: Sequence[str]) -> None:
        self._length, self._names = length, tuple(names)
        self._steps = state([length], tf.int64)
        self._ring = state([length, 1 + 2 * len(names)])
        self._rests = state([], tf.bool)

    def rest(self) -> None:
        """Keep nothing from now on, in a step that goes on without its watch."""
        self._rests.assign(True)

    def record(
        self,
        step: tf.Tensor,
        may_update: tf.Tensor | bool,
        groups: Sequence[Group],
        gradients: Callable[[], Sequence[Gradient]],
        loss: tf.Tensor | None,
    ) -> None:
        """Keep the norms of the update that is about to happen.

        Args:
            step: int64 scalar, its number.
            may_update: False where this call of the optimizer only accumulates.
            groups: the watched variables.
            gradients: gives the gradient of each, None where it has none.
            loss: scalar, or None.
        """

        def keep() -> tf.Tensor:
            given = gradients()
            missing = np.array([gradient is None for gradient in given])
            order = np.argsort(np.concatenate([group.rows for group in groups]))
            of_gradients = [group.norms(group.gradients(given)) for group in groups]
            of_weights = [group.norms(group.weights()) for group in groups]
            known = tf.gather(tf.concat(of_gradients, axis=0), order)
            values = [
                [float("nan") if loss is None else tf.cast(loss, tf.float32)],
                tf.where(missing, NO_GRADIENT, known),
                tf.gather(tf.concat(of_weights, axis=0), order),
            ]
            slot = step % self._length
            self._ring.scatter_nd_update([[slot]], [tf.concat(values, axis=0)])
            self._steps.scatter_nd_update([[slot]], [step])
            return tf.constant(True)

        wanted = ~self._rests.read_value()
        if may_update is not True:
            wanted &= may_update
        tf.cond(wanted, keep, lambda: tf.constant(False))

    def read(self) -> FlightLog:
        """Copy the ring from the device, the oldest update first."""
        steps = self._steps.numpy()
        order = np.argsort(steps)[np.count_nonzero(steps == 0) :]
        ring = self._ring.numpy()[order]
        loss, gradient, weight = np.split(ring, [1, 1 + len(self._names)], axis=1)
        return FlightLog(self._names, steps[order], loss[:, 0], gradient, weight)
