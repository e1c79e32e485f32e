"""Watched variables in groups that are measured together: many small ones, or one large one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from tbwatch import statistics
from tbwatch.histogram import BUCKETS
from tbwatch.reductions import Blocks, Flat, Rows, is_large
from tbwatch.traced import traced_once

# tf.Tensor, tf.IndexedSlices or None; TensorFlow has no types to say so.
Gradient: TypeAlias = Any

# Variables of up to this many elements are packed: a graph node costs more than copying them.
SMALL = 2**16
# A pack is copied at each sample, so it is kept this small: 16 MiB in float32.
LARGEST_PACK = 2**22


class Group:
    """Variables that are measured together.

    Args:
        rows: their positions in the layout.
        variables: the variables.
        keeps_copy: whether to keep the weights of the last sample, for the changes since.
    """

    def __init__(
        self, rows: Sequence[int], variables: Sequence[tf.Variable], keeps_copy: bool
    ) -> None:
        self.rows = list(rows)
        self._variables = list(variables)
        self._dtype = statistics.compute_dtype(variables[0].dtype)
        sizes = [variable.shape.num_elements() for variable in variables]
        self._pack = Rows(sizes) if len(variables) > 1 else None
        self._is_large = is_large(sizes[0])
        shape = self._pack.shape if self._pack else [sizes[0]]
        self._copy = state(shape, self._dtype, variables[0].device) if keeps_copy else None

    def weights(self) -> tf.Tensor:
        """Their values now."""
        return self._packed([variable.read_value() for variable in self._variables])

    def gradients(self, of: Sequence[Gradient]) -> tf.Tensor | None:
        """Gradients by layout position, in the form of `weights`; None if no member has one."""
        mine = [of[row] for row in self.rows]
        if all(gradient is None for gradient in mine):
            return None
        # A sparse gradient becomes dense: duplicate rows must be added before a norm is taken.
        dense = [
            tf.zeros(v.shape, self._dtype) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(mine, self._variables, strict=True)
        ]
        return self._packed(dense)

    def before(self, weights: tf.Tensor, gradients: tf.Tensor | None) -> tf.Tensor:
        """`quantities.BEFORE_COLUMNS` of each member: one row for each."""
        previous = None if self._copy is None else self._copy.read_value()
        return self._measure(statistics.before_update, weights, previous, gradients)

    def keep(self, weights: tf.Tensor) -> None:
        """Keep a copy of the weights, if this group does."""
        if self._copy is not None:
            self._copy.assign(weights)

    def kept(self) -> tf.Tensor:
        """The copy."""
        assert self._copy is not None
        return self._copy.read_value()

    def after(self, before: tf.Tensor, after: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
        """`quantities.AFTER_COLUMNS` of each member: one row for each.

        Args:
            before: weights before the update.
            after: weights after it.
            norms: float32 `[V]`, norms of all weights before the update, by layout position.
        """
        mine = tf.cast(tf.gather(norms, self.rows), self._dtype)
        return self._measure(statistics.after_update, before, after, mine)

    def norms(self, values: tf.Tensor | None) -> tf.Tensor:
        """L2 norm of each member, float32 `[n]`; NaN for None."""
        if values is None:
            return tf.fill([len(self.rows)], float("nan"))
        return self._measure(statistics.norms, values)

    def bucket_counts(self, values: tf.Tensor | None) -> tf.Tensor:
        """Histogram buckets of each member, `[n, 4096]`; zeros for None."""
        if values is None:
            return tf.zeros([len(self.rows), BUCKETS])
        return self._measure(statistics.bucket_counts, values)

    def bucket_counts_of_change(self, before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
        """The same of after - before."""
        return self._measure(statistics.bucket_counts_of_change, before, after)

    def _packed(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        flat = [statistics.flat(tensor, self._dtype) for tensor in tensors]
        return self._pack.pack(flat) if self._pack else flat[0]

    def _measure(self, function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
        if self._pack:
            return function(self._pack, *tensors)
        present = [tensor is not None for tensor in tensors]
        return _of_flat(function, self._dtype, present, self._is_large)(
            *(tensor for tensor in tensors if tensor is not None)
        )


def make_groups(variables: Sequence[tf.Variable], keeps_copy: bool) -> list[Group]:
    """Pack the small variables, leave the large ones alone.

    Args:
        variables: in the order of the layout.
        keeps_copy: whether groups keep the weights of the last sample.
    """
    packs: dict[tuple[tf.DType, str], list[list[int]]] = {}
    alone: list[list[int]] = []
    room: dict[tuple[tf.DType, str], int] = {}
    for row, variable in enumerate(variables):
        size = variable.shape.num_elements()
        if size > SMALL:
            alone.append([row])
            continue
        kind = statistics.compute_dtype(variable.dtype), variable.device
        if room.get(kind, 0) < size:
            packs.setdefault(kind, []).append([])
            room[kind] = LARGEST_PACK
        packs[kind][-1].append(row)
        room[kind] -= size
    every = [*(rows for members in packs.values() for rows in members), *alone]
    return [Group(rows, [variables[row] for row in rows], keeps_copy) for rows in every]


def norms_of(gradients: Sequence[Gradient]) -> list[tf.Tensor]:
    """L2 norms of gradients that are not watched, float32 `[1]` each."""
    flat = [
        statistics.flat(tf.convert_to_tensor(g), tf.float32) for g in gradients if g is not None
    ]
    return [_of_flat(statistics.norms, tf.float32, [True])(tensor) for tensor in flat]


def state(shape: Sequence[int], dtype: tf.DType = tf.float32, device: str = "") -> tf.Variable:
    """A variable of ours, which belongs to no model, no optimizer and no distribution strategy."""
    with tf.device(device or None):
        # `tf.Variable` itself would ask the strategy whose scope this is, and its other replicas.
        return ResourceVariable(tf.zeros(shape, dtype), trainable=False, name="tbwatch")


def _of_flat(
    function: Callable[..., tf.Tensor],
    dtype: tf.DType,
    present: Sequence[bool],
    is_large: bool = False,
) -> Callable[..., tf.Tensor]:
    """A statistic of flat tensors, some of which may be None."""

    def of_flat(*tensors: tf.Tensor) -> tf.Tensor:
        given = iter(tensors)
        by = Blocks() if is_large else Flat()
        return function(by, *(next(given) if there else None for there in present))

    signature = [tf.TensorSpec([None], dtype)] * sum(present)
    return traced_once((function, dtype, is_large, *present), of_flat, signature)
