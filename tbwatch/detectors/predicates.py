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


def has_no_gradient(record: Record) -> np.ndarray:
    """Gradient exactly zero in every element, `[V]` bool."""
    return record.quantity("gradient_norm") == 0


def is_main(layout: Layout) -> np.ndarray:
    """Variables that carry their layer's function, `[V]` bool.

    Biases and the scale and shift of a normalisation follow their layer: before batch
    normalisation a bias has a gradient of rounding noise in a perfectly healthy net.
    """
    return np.array([not v.is_offset_or_scale for v in layout.variables], bool)


def weight_scale(layout: Layout) -> np.ndarray:
    """Rms at initialisation / rms of a He-initialised kernel, `[V]`, NaN where undefined."""
    return np.array(
        [
            math.nan if v.expected_rms is None or v.initial_rms is None
            else v.initial_rms / v.expected_rms
            for v in layout.variables
        ],
        np.float64,
    )  # fmt: skip


def layers(layout: Layout) -> np.ndarray:
    """Layer number of each variable, `[V]` int."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(v.layer, len(numbers)) for v in layout.variables], int)


def has_direction(layout: Layout) -> np.ndarray:
    """Variables with enough elements for a cosine to mean something, `[V]` bool."""
    return layout.sizes >= LEAST_ELEMENTS_FOR_COSINE


def relative_gradients(record: Record) -> np.ndarray:
    """‖g‖ / ‖W‖ of the variables that carry their layer's function, `[V]`; NaN for others."""
    norms, weights = record.quantity("gradient_norm"), record.quantity("weight_norm")
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = norms.astype(np.float64) / weights
    comparable = is_main(record.layout) & np.isfinite(relative)
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
    connected = np.array([v.connected for v in record.layout.variables], bool)
    return bool((record.quantity("gradient_norm")[connected & is_main(record.layout)] > 0).any())


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
    connected = np.array([v.connected for v in record.layout.variables], bool)
    return connected & np.isnan(record.quantity("gradient_norm"))


def evidence(record: Record, row: int) -> dict[str, float | str]:
    """The numbers of one variable that any diagnosis may cite."""

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
        "relative_gradient": float(gradient_beside_later(record)[row]),
        "weight_scale": float(weight_scale(record.layout)[row]),
        "growth": of("weight_norm") / root / (variable.initial_rms or math.nan),
        "learning_rate": record.learning_rate,
        "dtype": variable.dtype,
    }
