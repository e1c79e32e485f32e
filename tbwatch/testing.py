"""Helpers for testing detectors without training anything.

Example:
    >>> from tbwatch.detectors import DeadUpdate
    >>> still = {"update_ratio": 1e-9, "window_change": 1e-9}
    >>> records = [make_record(step, **still) for step in range(1, 40)]
    >>> fired = run(DeadUpdate(), records)
    >>> [(alert.step, alert.state, alert.diagnosis) for alert in fired]
    [(21, 'raised', 'dead_update')]
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tbwatch.alerts import Alert, Finding
from tbwatch.detectors import Chosen
from tbwatch.judging import Panel
from tbwatch.layout import Layout, Setup, WatchedActivation, WatchedVariable
from tbwatch.record import Record

__all__ = ["HEALTHY", "HEALTHY_ACTIVATION", "Recorder", "make_layout", "make_record", "run"]

#: Quantities of a variable that trains as it should; `make_record` fills in what a test leaves out.
HEALTHY: dict[str, float] = {
    "weight_norm": 1.0,
    "gradient_norm": 0.1,
    "update_norm": 1e-3,
    "update_ratio": 1e-3,
    "window_change": 1e-3,
    "gradient_zero_fraction": 0.0,
    "update_zero_fraction": 0.0,
    "gradient_nonfinite": 0.0,
    "weight_nonfinite": 0.0,
    "update_nonfinite": 0.0,
    "decay_cosine": 0.0,
    "gradient_weight_cosine": 0.0,
}
#: The same of an activation; half of what a healthy ReLU hands on is 0.
HEALTHY_ACTIVATION: dict[str, float] = {
    "activation_mean": 0.4,
    "activation_std": 0.6,
    "unit_std": 0.5,
    "activation_zero_fraction": 0.5,
    "activation_nonfinite": 0.0,
    "silent_units": 0.0,
    "dead_units": 0.0,
    "saturated_fraction": 0.0,
    "saturated_units": 0.0,
}


def make_layout(
    *names: str,
    shape: Sequence[int] = (64, 64),
    activations: Sequence[WatchedActivation] = (),
    setup: Setup | None = None,
    **fields: Any,
) -> Layout:
    """A layout of variables of one shape.

    Args:
        *names: variable names in forward order; one `"dense/kernel"` if none is given.
        shape: their shape; 64 by 64 by default, as good as any other.
        activations: the watched activations; none by default.
        setup: how the model was compiled; nothing is known of it by default.
        **fields: further fields of every `WatchedVariable`, e.g. `dtype` or `connected`.
            `initial_rms` is 0.1 by default: a scale that no rule about weights finds fault with.

    Returns:
        The layout, for `make_record`.

    Example:
        >>> relu = WatchedActivation("dense", "dense", function="relu", units=64)
        >>> layout = make_layout("dense/kernel", activations=[relu])
        >>> make_record(1, layout, dead_units=0.6).activation("dead_units")
        array([0.6], dtype=float32)
    """
    fields.setdefault("initial_rms", 0.1)
    variables = [WatchedVariable(n, tuple(shape), **fields) for n in names or ("dense/kernel",)]
    return Layout(tuple(variables), (), tuple(activations), setup or Setup())


def make_record(step: int, layout: Layout | None = None, **values: Any) -> Record:
    """A record of a healthy update, with what the test is about put in.

    Args:
        step: number of the update.
        layout: the variables and activations; one dense kernel by default.
        **values: quantities, as a number for all variables (or activations) or a list with one for
            each, and fields of `Record` such as `loss` or `learning_rate`. By default the global
            gradient norm follows from those of the variables.

    Returns:
        The record, in whose layout each variable has the numbers of `HEALTHY` but for `values`.

    Raises:
        TypeError: for a step that is no whole number, a layout that is none, a name that is
            neither a quantity nor a field of `Record`, and quantities that are no real numbers.
        ValueError: for a list of another length.

    Example:
        >>> layout = make_layout("a/kernel", "b/kernel")
        >>> record = make_record(5, layout, loss=0.3, update_ratio=[1e-3, 0.0])
        >>> record.step, record.loss, record.quantity("update_ratio").tolist()[1]
        (5, 0.3, 0.0)
    """
    if not isinstance(step, numbers.Integral):
        raise TypeError(f"step must be a whole number; got {step!r}.")
    layout = make_layout() if layout is None else layout
    if not isinstance(layout, Layout):
        raise TypeError(f"layout must be a Layout; got {layout!r}.")
    quantities = _filled(values, HEALTHY, len(layout))
    activations = {}
    if layout.activations:
        activations = _filled(values, HEALTHY_ACTIVATION, len(layout.activations))
    norms = quantities["gradient_norm"].astype(np.float64)
    known = not np.isnan(norms).all()
    fields: dict[str, Any] = {
        "wall_time": float(step),
        "learning_rate": 1e-3,
        "loss": 1.0,
        "loss_is_known": True,
        "global_gradient_norm": math.sqrt(np.nansum(np.square(norms))) if known else math.nan,
        "quantities": quantities,
        "activations": activations,
    }
    return Record(step=step, layout=layout, **{**fields, **values})


def _filled(values: dict[str, Any], healthy: dict[str, float], count: int) -> dict[str, np.ndarray]:
    """Take the quantities named in `healthy` out of the values, filled up, each `[count]`."""
    arrays = {}
    for name, usual in healthy.items():
        given = np.asarray(values.pop(name, usual))
        if given.dtype.kind in "cO":
            raise TypeError(f"{name} must be real numbers; got {given!r}.")
        arrays[name] = np.broadcast_to(given.astype(np.float32), (count,)).copy()
    return arrays


def run(detector: Sequence[Chosen] | Chosen | None, records: Iterable[Record]) -> list[Alert]:
    """The alerts that one or more detectors give rise to on these records, oldest first.

    Args:
        detector: a name, an object, a function of a record, or a list of these; None for all.
        records: in the order of their updates.

    Returns:
        The alerts, with their updates and states.

    Raises:
        TypeError: for anything else than a `Record`, and as `make_detectors`.
        ValueError: as `make_detectors`.

    Example:
        >>> records = [make_record(1), make_record(2, gradient_nonfinite=1.0)]
        >>> [(alert.step, alert.diagnosis) for alert in run("nonfinite", records)]
        [(2, 'nonfinite')]
    """
    panel = Panel(detector)
    for record in records:
        if not isinstance(record, Record):
            raise TypeError(f"records must hold Records; got {record!r}.")
        panel.update(record)
    return panel.alerts


class Recorder:
    """A detector that finds nothing and keeps every sample: shows what a fit recorded.

    Attributes:
        records: the records so far.

    Example:
        >>> recorder = Recorder()
        >>> run(recorder, [make_record(1), make_record(2)])
        []
        >>> [record.step for record in recorder.records]
        [1, 2]
    """

    name = "recorder"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def update(self, record: Record) -> list[Finding]:
        """Keep the record."""
        if not record.is_last:
            self.records.append(record)
        return []

    def reset(self) -> None:
        """Forget all records."""
        self.records.clear()
