"""Predicates on records: pure functions of arrays, shared by the detectors."""

from __future__ import annotations

import math

import numpy as np

from tbwatch.detectors.facts import Facts
from tbwatch.layout import Layout
from tbwatch.record import Record

# With fewer elements two vectors can be aligned by chance; with one they always are.
LEAST_ELEMENTS_FOR_COSINE = 16
LOW_PRECISION = ("float16", "bfloat16")


def rms(norm: np.ndarray, layout: Layout) -> np.ndarray:
    """Root mean square from an L2 norm, `[V]`."""
    return norm.astype(np.float64) / np.sqrt(layout.sizes)


def growth(record: Record) -> np.ndarray:
    """Scale of each variable beside its initial one, `[V]`; NaN where that is 0 or unknown."""
    initial = record.layout.initial_rms
    now = rms(record.quantity("weight_norm"), record.layout)
    return now / np.where(initial > 0, initial, np.nan)


def has_no_gradient(record: Record) -> np.ndarray:
    """Gradient exactly zero in every element, `[V]` bool."""
    return record.quantity("gradient_norm") == 0


def has_direction(layout: Layout) -> np.ndarray:
    """Variables with enough elements for a cosine to mean something, `[V]` bool."""
    return layout.sizes >= LEAST_ELEMENTS_FOR_COSINE


def relative_gradients(record: Record) -> np.ndarray:
    """‖g‖ / ‖W‖ of the variables that carry their layer's function, `[V]`; NaN for others."""
    norms, weights = record.quantity("gradient_norm"), record.quantity("weight_norm")
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = norms.astype(np.float64) / weights
    comparable = record.layout.is_main & np.isfinite(relative)
    return np.where(comparable, relative, np.nan)


def gradient_beside_later(record: Record) -> np.ndarray:
    """Relative gradient / the largest one behind it in forward order, `[V]`; NaN for none."""
    relative = relative_gradients(record)
    largest = np.fmax.accumulate(relative[::-1])[::-1]
    behind = np.append(largest[1:], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return relative / behind


def others_learn(record: Record) -> bool:
    """Whether any connected kernel has a gradient."""
    connected = record.layout.is_connected
    return bool((record.quantity("gradient_norm")[connected & record.layout.is_main] > 0).any())


def moves_less(limit: float, record: Record, facts: Facts) -> np.ndarray:
    """Update ratio below a limit, at a rate that allows the verdict, `[V]` bool.

    One quiet update is no standstill if the variable moved since the sample before. What the
    training step never gives to the optimizer (a teacher, a moving average) is not meant to move.
    """
    per_update = record.quantity("window_change") / max(record.step - facts.last_step, 1)
    quiet = (record.quantity("update_ratio") < limit) & ~(per_update >= 10 * limit)
    return quiet & facts.rate_allows & ~is_withheld(record)


def is_withheld(record: Record) -> np.ndarray:
    """Variables that the optimizer was not given: no gradient known, not even None, `[V]` bool."""
    connected = record.layout.is_connected
    return connected & np.isnan(record.quantity("gradient_norm"))


def evidence(record: Record, row: int, beside: np.ndarray) -> dict[str, float | str]:
    """The numbers of one variable that any diagnosis may cite.

    Args:
        record: the record.
        row: of the variable.
        beside: `gradient_beside_later(record)`, the same for all of its variables.
    """

    def of(name: str) -> float:
        return float(record.quantity(name)[row])

    variable, root = record.layout.variables[row], math.sqrt(record.layout.sizes[row])
    return {
        "update_ratio": of("update_ratio"),
        "window_change": of("window_change"),
        "weight_rms": of("weight_norm") / root,
        "gradient_rms": of("gradient_norm") / root,
        "gradient_zero_fraction": of("gradient_zero_fraction"),
        "update_zero_fraction": of("update_zero_fraction"),
        "decay_cosine": of("decay_cosine"),
        "gradient_weight_cosine": of("gradient_weight_cosine"),
        "relative_gradient": float(beside[row]),
        "weight_scale": float(record.layout.weight_scales[row]),
        "growth": of("weight_norm") / root / (variable.initial_rms or math.nan),
        "learning_rate": record.learning_rate,
        "dtype": variable.dtype,
    }
