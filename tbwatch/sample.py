"""What is asked of the device side, and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tbwatch.activations import ActivationSample

HISTOGRAM_KINDS = ("weights", "gradients", "updates")
STEP_VALUES = ("learning_rate", "loss", "loss_is_known", "global_gradient_norm", "loss_scale")


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the host copies of one sampled update.

    Attributes:
        step: number of the update.
        table: float32 `[V, len(quantities.COLUMNS)]`.
        values: the `STEP_VALUES` of the update.
        histograms: kind -> float32 `[V, 4096]` bucket counts, `[A, 4096]` for activations; empty
            if none were due.
        activations: statistics of the activations; None if there are none.
        planned: False for an update that was sampled because its loss is not finite.
    """

    step: int
    table: np.ndarray
    values: Mapping[str, float]
    histograms: Mapping[str, np.ndarray]
    activations: ActivationSample | None = None
    planned: bool = True


@dataclasses.dataclass(frozen=True)
class Request:
    """What a sample has to hold, besides gradient and weight norms.

    Attributes:
        updates: compare the weights before and after: needs one copy of the watched variables.
        histograms: kinds out of `HISTOGRAM_KINDS`, and `"activations"`.
        activations: whether to measure activations.
        flight: updates that the flight recorder keeps; 0 for none.
        slots: sampled updates that one execution of the training function can hold.
        histogram_slots: the same for updates with histograms.
    """

    updates: bool = True
    histograms: frozenset[str] = frozenset()
    activations: bool = False
    flight: int = 0
    slots: int = 1
    histogram_slots: int = 1
