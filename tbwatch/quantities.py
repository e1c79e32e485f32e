"""The quantities of a record, derived from the raw statistics that the training step stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tbwatch.layout import Layout
from tbwatch.units import UnitStreaks

# Columns of the device table, in order. The step computes these; everything else is derived here.
BEFORE_COLUMNS = (
    "weight_norm",
    "window_norm",
    "gradient_norm",
    "gradient_weight_cosine",
    "gradient_nonzeros",
    "weight_nonfinite",
    "gradient_nonfinite",
)
AFTER_COLUMNS = ("update_norm", "decay_cosine", "update_nonzeros", "update_nonfinite")
COLUMNS = BEFORE_COLUMNS + AFTER_COLUMNS

# The same for the table of activations; `examples` is how many were looked at.
ACTIVATION_COLUMNS = ("examples", "mean", "std", "unit_std", "zero_fraction", "nonfinite")


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number per variable or per activation of one update: name, unit, formula in words."""

    name: str
    unit: str
    meaning: str


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("weight_norm", "L2 norm", "norm of the variable before the update"),
    Quantity("gradient_norm", "L2 norm", "norm of the gradient: unscaled, before clipping"),
    Quantity("update_norm", "L2 norm", "norm of dW = W after - W before"),
    Quantity("update_ratio", "1", "rms(dW) / max(rms(W), rms(W at init), floor)"),
    Quantity("window_change", "1", "the same ratio between this sample and the one before"),
    Quantity("gradient_zero_fraction", "share 0..1", "share of gradient elements equal to 0"),
    Quantity("update_zero_fraction", "share 0..1", "share of elements that did not change"),
    Quantity("gradient_nonfinite", "count", "NaN and Inf elements of the gradient"),
    Quantity("weight_nonfinite", "count", "NaN and Inf elements before the update"),
    Quantity("update_nonfinite", "count", "NaN and Inf elements of dW"),
    Quantity("decay_cosine", "cosine -1..1", "cos(dW, -W): 1 when only decay moves it"),
    Quantity(
        "gradient_weight_cosine", "cosine -1..1", "cos(g, W): 1 when only an L2 penalty pulls"
    ),
)
NAMES: tuple[str, ...] = tuple(quantity.name for quantity in QUANTITIES)

ACTIVATION_QUANTITIES: tuple[Quantity, ...] = (
    Quantity("activation_mean", "as the activation", "mean over all elements of the batch"),
    Quantity("activation_std", "as the activation", "standard deviation over all elements"),
    Quantity(
        "unit_std",
        "as the activation",
        "rms over units of each unit's standard deviation over examples and positions",
    ),
    Quantity("activation_zero_fraction", "share 0..1", "share of elements equal to 0"),
    Quantity("activation_nonfinite", "count", "NaN and Inf elements"),
    Quantity("silent_units", "share 0..1", "share of units that were 0 all over this batch"),
    Quantity(
        "dead_units", "share 0..1", "share of units silent in 10 sampled batches, 1024 examples"
    ),
    Quantity(
        "saturated_fraction", "share 0..1", "share of elements with under 1 % of the largest slope"
    ),
    Quantity(
        "saturated_units",
        "share 0..1",
        "share of units saturated by 95 % in 10 sampled batches, 1024 examples",
    ),
)
ACTIVATION_NAMES: tuple[str, ...] = tuple(quantity.name for quantity in ACTIVATION_QUANTITIES)

# Of a whole update: fields of a record.
RUN_QUANTITIES: tuple[Quantity, ...] = (
    Quantity("loss", "as the loss", "loss of the batch"),
    Quantity("global_gradient_norm", "L2 norm", "norm of all gradients together"),
    Quantity("learning_rate", "1", "learning rate of the update"),
)
RUN_NAMES: tuple[str, ...] = tuple(quantity.name for quantity in RUN_QUANTITIES)

# What the step stores as it is wanted.
_COPIED = tuple(name for name in NAMES if name in COLUMNS)


def derive(table: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """Turn the device table of one update into quantities.

    Args:
        table: float32 `[V, len(COLUMNS)]`, NaN where the step had nothing to say.
        layout: the variables of the rows.

    Returns:
        Quantity name -> float32 `[V]`, for every name in `NAMES`.
    """
    columns = dict(zip(COLUMNS, table.astype(np.float64).T, strict=True))
    scale = _scale(columns["weight_norm"], layout)
    root_size = np.sqrt(layout.sizes)
    quantities = {name: columns[name] for name in _COPIED}
    with np.errstate(invalid="ignore"):  # inf / inf: a ratio of two lost numbers is unknown
        quantities["update_ratio"] = columns["update_norm"] / root_size / scale
        quantities["window_change"] = columns["window_norm"] / root_size / scale
    for name in ("decay_cosine", "gradient_weight_cosine"):
        # Weights below 1e-22 have a norm of 0 in float32, and no direction that is known.
        quantities[name] = np.where(np.isinf(columns[name]), np.nan, columns[name])
    # Non-zeros are counted, not zeros: a float32 holds small counts exactly, so "none" stays exact.
    for of in ("gradient", "update"):
        share = columns[f"{of}_nonzeros"] / layout.sizes
        quantities[f"{of}_zero_fraction"] = np.maximum(1.0 - share, 0.0)
    with np.errstate(over="ignore"):  # a ratio beyond float32 is infinite, and may say so
        return {name: quantities[name].astype(np.float32) for name in NAMES}


def derive_activations(
    table: np.ndarray,
    largest: Sequence[np.ndarray],
    saturated: Sequence[np.ndarray],
    streaks: Sequence[UnitStreaks],
) -> dict[str, np.ndarray]:
    """Turn what the step stored of the activations into quantities.

    Args:
        table: float32 `[A, len(ACTIVATION_COLUMNS)]`, NaN for what this step did not compute.
        largest: for each activation the largest magnitude of each unit, `[units]`.
        saturated: for each activation the share of saturated elements of each unit, `[units]`.
        streaks: for each activation what its units did before; takes in this update.

    Returns:
        Quantity name -> float32 `[A]`, for every name in `ACTIVATION_NAMES`.
    """
    columns = dict(zip(ACTIVATION_COLUMNS, table.astype(np.float32).T, strict=True))
    unknown = np.full(len(table), np.nan, np.float32)
    by_unit = {
        name: unknown.copy()
        for name in ("silent_units", "dead_units", "saturated_fraction", "saturated_units")
    }
    for row, examples in enumerate(columns["examples"]):
        if not examples > 0:
            continue
        large, shares = largest[row], saturated[row]
        dead, stuck = streaks[row].update(large, shares, int(examples))
        by_unit["silent_units"][row] = np.mean(large == 0.0)
        by_unit["saturated_fraction"][row] = np.mean(shares)
        by_unit["dead_units"][row], by_unit["saturated_units"][row] = dead, stuck
    return {
        "activation_mean": columns["mean"],
        "activation_std": columns["std"],
        "unit_std": columns["unit_std"],
        "activation_zero_fraction": columns["zero_fraction"],
        "activation_nonfinite": columns["nonfinite"],
        **by_unit,
    }


def _scale(weight_norm: np.ndarray, layout: Layout) -> np.ndarray:
    """max(rms(W), rms(W at init), floor), `[V]`; NaN where the weights themselves are NaN."""
    rms = weight_norm / np.sqrt(layout.sizes)
    known = np.fmax(layout.initial_rms, layout.floors)
    return np.maximum(rms, known)
