"""What the rules of other tools have in common: what they fire, and how a record is asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tbwatch.record import Record

Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(frozen=True)
class Fired:
    """A rule that fired: for the first time at update `step`, about `variable`."""

    rule: str
    labels: tuple[str, ...]
    step: int
    variable: str


NONFINITE = ("nonfinite",)
VANISHING = ("vanishing_gradient", "unchanged_weights")
UNCHANGED = ("unchanged_weights", "slow_or_low_lr")
DEAD = ("dying_relu",)
STUCK = ("loss_not_decreasing", "slow_or_low_lr")


def first_of_each(fired: Iterator[Fired]) -> list[Fired]:
    """The first firing of each rule."""
    found: dict[str, Fired] = {}
    for one in fired:
        found.setdefault(one.rule, one)
    return list(found.values())


def sampled(records: Sequence[Record]) -> list[Record]:
    """Records of sampled updates; others hold the loss alone."""
    return [record for record in records if record.quantities]


def kernels_of(record: Record) -> Array:
    """Rows of weights proper, `[V]` bool: biases, scales and offsets apart."""
    return np.array([not v.is_offset_or_scale for v in record.layout.variables], bool)


def first_named(record: Record, hit: Array) -> str:
    """Name of the first variable that was hit."""
    return record.layout.names[int(np.flatnonzero(hit)[0])]


def outputs_of(
    record: Record, quantity: str, functions: tuple[str, ...]
) -> tuple[Array, list[str]]:
    """Values of hidden layers' outputs with one of these functions, and the layers' names."""
    chosen = [
        (row, a.name)
        for row, a in enumerate(getattr(record.layout, "activations", ()))
        if not a.before and (a.function in functions or not functions) and not a.is_output
    ]
    if not chosen or not getattr(record, "activations", None):
        return np.empty(0), []
    values = np.asarray(record.activation(quantity), np.float64)
    return values[[row for row, _ in chosen]], [name for _, name in chosen]


def first_output_above(
    record: Record, quantity: str, functions: tuple[str, ...], limit: float
) -> str | None:
    """The first layer above the limit; None if there is none or activations are not recorded."""
    values, names = outputs_of(record, quantity, functions)
    above = np.flatnonzero(values > limit)
    return names[above[0]] if len(above) else None


def nonfinite_of(record: Record) -> str | None:
    """The first variable with NaN or Inf, or `"loss"`; None if all is finite."""
    for quantity in ("gradient_nonfinite", "weight_nonfinite", "update_nonfinite"):
        hit = record.quantity(quantity) > 0
        if hit.any():
            return first_named(record, hit)
    return "loss" if record.loss_is_nonfinite else None


def rms_of(record: Record, norm: str) -> Array:
    """Root mean square of each variable's elements, float64 `[V]`, from an L2 norm."""
    return np.asarray(record.quantity(norm), np.float64) / np.sqrt(record.layout.sizes)


def scale_of(record: Record) -> Array:
    """What update_ratio and window_change were divided by, `[V]`."""
    known = np.fmax(record.layout.initial_rms, record.layout.floors)
    return np.maximum(rms_of(record, "weight_norm"), known)
