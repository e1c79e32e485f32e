"""The device side of activations: statistics of what layers hand on, and where they are stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from tbwatch import reductions, statistics
from tbwatch.histogram import BUCKETS
from tbwatch.quantities import ACTIVATION_COLUMNS
from tbwatch.traced import traced_once

# Elements looked at per activation: the first examples of the batch up to so many. Twenty passes
# over a large feature map would cost more than the update itself, and a million tell as much.
MOST_ELEMENTS = 2**20

# Outputs outside of these bounds have a derivative below 1 % of its maximum.
SATURATED = {"sigmoid": (0.0025, 0.9975), "tanh": (-0.995, 0.995)}


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation of the update at hand.

    Attributes:
        tensor: floating point, `[examples, ...]`, with a static size of `axis`.
        axis: the axis of the units.
        function: name of the function that made it, as in `layout.WatchedActivation`.
    """

    tensor: tf.Tensor
    axis: int
    function: str

    @property
    def units(self) -> int:
        """Static size of the unit axis."""
        return int(self.tensor.shape[self.axis])

    def cube(self) -> tf.Tensor:
        """Its elements as float32 `[examples, positions, units]`, of all examples."""
        x = tf.cast(self.tensor, tf.float32)
        rank = x.shape.rank
        if self.axis != rank - 1:
            x = tf.transpose(x, [*(a for a in range(rank) if a != self.axis), self.axis])
        size = x.shape[1:].num_elements()
        if size is not None:
            return tf.reshape(x, [-1, size // self.units, self.units])
        shape = tf.shape(x)
        return tf.reshape(x, [shape[0], tf.reduce_prod(shape[1:-1]), self.units])


@dataclasses.dataclass(frozen=True)
class ActivationSample:
    """What the host copies of the activations of one sampled update.

    Attributes:
        table: float32 `[A, len(ACTIVATION_COLUMNS)]`.
        largest: for each activation float32 `[units]`: largest magnitude, NaN where not finite.
        saturated: for each activation float32 `[units]`: share of saturated elements; NaN where
            the function does not saturate.
    """

    table: np.ndarray
    largest: list[np.ndarray]
    saturated: list[np.ndarray]


class ActivationStore:
    """Variables that the training step fills with the statistics of activations.

    Args:
        slots: sampled updates between two looks of the host.
        histogram_slots: those of them with histograms; 0 for no histograms at all.
    """

    def __init__(self, slots: int, histogram_slots: int) -> None:
        self._slots, self._histogram_slots = slots, histogram_slots
        self._units: list[int] = []
        # A step that makes variables is traced twice, so these are made before it; how large they
        # have to be is known only while it is traced.
        self._values, self._counts = _unshaped(), _unshaped()

    def make_room(self, units: Sequence[int]) -> None:
        """Fix the number of activations and their units; eager, also while a step is traced."""
        self._units = list(units)
        columns = len(self._units) * len(ACTIVATION_COLUMNS) + 2 * sum(self._units)
        self._values.assign(tf.zeros([self._slots, columns]))
        self._counts.assign(tf.zeros([self._histogram_slots, len(self._units), BUCKETS]))

    @property
    def has_room(self) -> bool:
        """Whether there is anything to store."""
        return bool(self._units)

    def store(self, slot: tf.Tensor, activations: Sequence[Activation | None]) -> None:
        """Measure and store, in the step; None for what this step does not compute."""
        vectors = [
            _unknown(n) if a is None else measured(a)
            for n, a in zip(self._units, activations, strict=True)
        ]
        self._values.scatter_nd_update([[slot]], [tf.concat(vectors, axis=0)])

    def count(self, slot: tf.Tensor, activations: Sequence[Activation | None]) -> None:
        """Store histograms, in the step."""
        rows = [tf.zeros([BUCKETS]) if a is None else counted(a) for a in activations]
        self._counts.scatter_nd_update([[slot]], [tf.stack(rows)])

    def read(self) -> list[ActivationSample]:
        """The samples of all slots (one copy from the device)."""
        widths = [n for units in self._units for n in (len(ACTIVATION_COLUMNS), units, units)]
        ends = np.cumsum(widths)[:-1]
        pieces = [np.split(row, ends) for row in self._values.numpy()]
        return [ActivationSample(np.array(p[0::3]), p[1::3], p[2::3]) for p in pieces]

    def read_counts(self) -> np.ndarray:
        """Bucket counts `[histogram_slots, A, 4096]` (one copy from the device)."""
        counts: np.ndarray = self._counts.numpy()
        return counts


def measured(activation: Activation) -> tf.Tensor:
    """Statistics of one activation.

    Returns:
        float32 `[len(ACTIVATION_COLUMNS) + 2 * units]`: the columns, the largest magnitude of each
        unit, and the share of saturated elements of each unit.
    """
    kind = activation.function if activation.function in SATURATED else ""
    measure_kind = _of_cube(("measure", kind), lambda x: measure(x, SATURATED.get(kind)))
    vector = measure_kind(activation.cube())
    vector.set_shape([len(ACTIVATION_COLUMNS) + 2 * activation.units])
    return vector


def counted(activation: Activation) -> tf.Tensor:
    """Elements of one activation by sign, exponent and three mantissa bits: float32 `[4096]`."""

    def count(x: tf.Tensor) -> tf.Tensor:
        return reductions.Flat().bucket_counts(statistics.flat(x, tf.float32))[0]

    return _of_cube(("count",), count)(activation.cube())


def measure(x: tf.Tensor, bounds: tuple[float, float] | None = None) -> tf.Tensor:
    """Statistics of a cube `[examples, positions, units]`: see `measured`.

    Args:
        x: float32.
        bounds: elements outside of them are saturated; None for a function that does not saturate.
    """
    mean, variance = _moments(x)
    finite = tf.reduce_all(tf.math.is_finite(mean + variance))

    def careful() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        # Not finite, or finite numbers whose squares are not.
        bad = tf.reduce_sum(tf.cast(~tf.math.is_finite(x), tf.int32))
        return *_moments(tf.cast(x, tf.float64)), tf.cast(bad, tf.float64)

    mean, variance, bad = tf.cond(
        finite, lambda: (mean, variance, tf.zeros([], tf.float64)), careful
    )
    inner = tf.reduce_mean(variance)
    center = tf.reduce_mean(mean)
    outer = tf.reduce_mean(tf.square(mean - center))
    zeros = reductions.count_true(tf.reshape(tf.equal(x, 0.0), [-1]))
    columns = {
        "examples": tf.shape(x)[0],
        "mean": center,
        "std": tf.sqrt(inner + outer),
        "unit_std": tf.sqrt(inner),
        "zero_fraction": tf.cast(zeros, tf.float64) / tf.cast(tf.size(x), tf.float64),
        "nonfinite": bad,
    }
    low = tf.reduce_min(tf.reduce_min(x, axis=1), axis=0)
    high = tf.reduce_max(tf.reduce_max(x, axis=1), axis=0)
    largest = tf.maximum(high, -low)
    # A maximum may pass over NaN; a sum does not.
    largest = tf.where(tf.math.is_finite(mean), largest, float("nan"))
    if bounds is None:
        saturated = tf.fill(tf.shape(largest), float("nan"))
    else:
        outside = tf.cast((x < bounds[0]) | (x > bounds[1]), tf.float32)
        saturated = tf.reduce_mean(tf.reduce_mean(outside, axis=1), axis=0)
    row = tf.stack([tf.cast(columns[name], tf.float32) for name in ACTIVATION_COLUMNS])
    return tf.concat([row, largest, saturated], axis=0)


def _moments(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of each unit, float64 `[units]`, in two passes."""
    count = tf.cast(tf.shape(x)[0] * tf.shape(x)[1], tf.float64)

    def sums(of: tf.Tensor) -> tf.Tensor:
        # Short sums in the dtype at hand, and their sum in float64.
        return tf.reduce_sum(tf.cast(tf.reduce_sum(of, axis=1), tf.float64), axis=0)

    mean = sums(x) / count
    rounded = tf.cast(mean, x.dtype)
    variance = sums(tf.math.squared_difference(x, rounded)) / count
    return mean, variance


def _first_examples(x: tf.Tensor) -> tf.Tensor:
    """As many whole examples of a cube as `MOST_ELEMENTS` allow, at least one."""
    shape = tf.shape(x)
    return x[: tf.maximum(MOST_ELEMENTS // tf.maximum(shape[1] * shape[2], 1), 1)]


def _unknown(units: int) -> tf.Tensor:
    return tf.fill([len(ACTIVATION_COLUMNS) + 2 * units], float("nan"))


def _unshaped() -> tf.Variable:
    shape = tf.TensorShape(None)
    return ResourceVariable(tf.zeros([0]), shape=shape, trainable=False, name="tbwatch")


def _of_cube(
    key: tuple[str, ...], function: Callable[[tf.Tensor], Any]
) -> Callable[..., tf.Tensor]:
    """A statistic of the first examples of a cube."""
    signature = [tf.TensorSpec([None, None, None], tf.float32)]
    return traced_once(key, lambda x: function(_first_examples(x)), signature)
