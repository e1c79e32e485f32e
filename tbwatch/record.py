"""One sampled update on the host: plain numbers, no TensorFlow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tbwatch.format import counted
from tbwatch.layout import Layout

# Values of a record that belong to the whole update, in the order of the packed series.
UPDATE_VALUES = (
    "epoch",
    "learning_rate",
    "loss",
    "loss_is_known",
    "global_gradient_norm",
    "loss_scale",
    "judged",
    "is_first",
    "is_last",
)


@dataclasses.dataclass(frozen=True, repr=False)
class Record:
    """The statistics of one optimizer update, for all watched variables.

    Attributes:
        step: number of the update, `optimizer.iterations` after it: the first update is 1.
        wall_time: seconds since the epoch of the clock (`time.time()`).
        layout: the variables that the rows of `quantities` belong to.
        quantities: quantity name -> float32 array `[V]`; NaN where a variable has no value. Empty
            when only the logs of a batch are known (no update was sampled).
        epoch: epoch index of `fit`, from 0.
        learning_rate: learning rate of this update; NaN where the optimizer has none.
        loss: loss of this very update, or Keras' running mean where the step does not show it;
            NaN where unknown, unless `loss_is_known`.
        loss_is_known: tells a loss that is NaN from a loss that nobody reported.
        global_gradient_norm: L2 norm over the gradients of all trainable variables.
        loss_scale: factor of mixed precision's loss scaling; 1 without it.
        judged: False for an update that detectors must not judge, such as one that overwrote the
            weights with their moving average.
        is_first: True for the first record of a run: detectors begin anew with it. A second fit
            of the same model goes on with the run.
        is_last: True for the record that ends a fit, which holds no quantities; its other values
            are those of the last sample. A rule may judge the whole run at it.
        logs: what Keras handed to the callback, as floats.
        activations: quantity name -> float32 array `[A]` for `layout.activations`; NaN where an
            activation has no value.

    Example:
        >>> from tbwatch.testing import make_record
        >>> record = make_record(step=7, update_ratio=1e-4)
        >>> record.step, record.layout.names, record.quantity("weight_norm").tolist()
        (7, ('dense/kernel',), [1.0])
    """

    step: int
    wall_time: float
    layout: Layout
    quantities: Mapping[str, np.ndarray]
    epoch: int = 0
    learning_rate: float = math.nan
    loss: float = math.nan
    loss_is_known: bool = False
    global_gradient_norm: float = math.nan
    loss_scale: float = 1.0
    judged: bool = True
    is_first: bool = False
    is_last: bool = False
    logs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    activations: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        loss = f", loss {self.loss:.4g}" if self.loss_is_known else ""
        return f"<Record of update {self.step}{loss}: {counted(len(self.layout), 'variable')}>"

    def quantity(self, name: str) -> np.ndarray:
        """The `[V]` array of a quantity; all NaN if this record does not hold it."""
        values = self.quantities.get(name)
        if values is None:
            return np.full(len(self.layout), np.nan, np.float32)
        return values

    def activation(self, name: str) -> np.ndarray:
        """The `[A]` array of an activation quantity; all NaN if this record does not hold it."""
        values = self.activations.get(name)
        if values is None:
            return np.full(len(self.layout.activations), np.nan, np.float32)
        return values

    def knows(self, name: str) -> bool:
        """Whether it has a number for a quantity, an activation quantity, or a field."""
        held: Any = self.quantities.get(name, self.activations.get(name))
        if held is None and name in UPDATE_VALUES:
            held = getattr(self, name)
        return held is not None and bool(np.isfinite(held).any())

    @property
    def loss_is_nonfinite(self) -> bool:
        """Whether a loss was reported and is NaN or infinite."""
        return self.loss_is_known and not math.isfinite(self.loss)
