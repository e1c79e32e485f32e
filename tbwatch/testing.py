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

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tbwatch.alerts import Alert, AlertBook, Finding
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.record import Record

if TYPE_CHECKING:
    from tbwatch.detectors import Detector

# A variable that trains as it should: what `make_record` fills in for what a test leaves out.
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


def make_layout(*names: str, shape: Sequence[int] = (64, 64), **fields: Any) -> Layout:
    """A layout of variables of one shape.

    Args:
        names: variable names in forward order; one `"dense/kernel"` if none is given.
        shape: their shape.
        fields: further fields of every `WatchedVariable`, e.g. `dtype` or `connected`.
    """
    fields.setdefault("initial_rms", 0.1)
    variables = [WatchedVariable(n, tuple(shape), **fields) for n in names or ("dense/kernel",)]
    return Layout(tuple(variables))


def make_record(step: int, layout: Layout | None = None, **values: Any) -> Record:
    """A record of a healthy update, with what the test is about put in.

    Args:
        step: number of the update.
        layout: the variables; one dense kernel by default.
        values: quantities, as a number for all variables or a list with one for each, and fields
            of `Record` such as `loss` or `learning_rate`.

    Raises:
        TypeError: for a name that is neither a quantity nor a field of `Record`.
    """
    layout = layout or make_layout()
    quantities = {}
    for name, healthy in HEALTHY.items():
        value = np.asarray(values.pop(name, healthy), np.float32)
        quantities[name] = np.broadcast_to(value, (len(layout),)).copy()
    fields: dict[str, Any] = {"wall_time": float(step), "learning_rate": 1e-3, "loss": 1.0}
    fields["loss_is_known"] = True
    fields["quantities"] = quantities
    return Record(step=step, layout=layout, **{**fields, **values})


def run(detector: Detector, records: Iterable[Record]) -> list[Alert]:
    """The alerts that a detector gives rise to on these records, oldest first."""
    book = AlertBook()
    for record in records:
        book.update(record, detector.update(record))
    return book.alerts


class Recorder:
    """A detector that finds nothing and keeps every record: shows what a fit recorded.

    Attributes:
        records: the records so far.
    """

    name = "recorder"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def update(self, record: Record) -> list[Finding]:
        """Keep the record."""
        self.records.append(record)
        return []

    def reset(self) -> None:
        """Forget all records."""
        self.records.clear()
