"""Series of records made by hand, and what is told of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from tbwatch.detectors import Chosen
from tbwatch.layout import Layout
from tbwatch.record import Record
from tbwatch.testing import make_record, run

KERNEL = ("dense/kernel",)  # what `make_layout` holds by default

STILL = {"update_ratio": 1e-9, "window_change": 1e-9, "update_norm": 1e-9}
ZERO = {
    "gradient_norm": 0.0,
    "gradient_zero_fraction": 1.0,
    "gradient_weight_cosine": math.nan,
    "update_norm": 0.0,
    "update_ratio": 0.0,
    "window_change": 0.0,
    "update_zero_fraction": 1.0,
    "decay_cosine": math.nan,
}


def series(
    last: int = 60,
    *,
    first: int = 1,
    every: int = 1,
    layout: Layout | None = None,
    changes: dict[int, dict[str, Any]] | None = None,
    **values: Any,
) -> list[Record]:
    """Records of updates first..last; `changes` maps an update to values from there on."""
    records = []
    for step in range(first, last + 1, every):
        values = {**values, **(changes or {}).get(step, {})}
        records.append(make_record(step, layout, **values))
    return records


def of_losses(losses: Iterable[float], layout: Layout | None = None, **values: Any) -> list[Record]:
    """One record per loss, from update 1 on."""
    return [make_record(step, layout, loss=x, **values) for step, x in enumerate(losses, 1)]


def events(
    detectors: Chosen | list[Chosen] | None, records: Iterable[Record]
) -> list[tuple[int, str, str, str, tuple[str, ...]]]:
    """Update, state, diagnosis, severity and variables of each alert."""
    return [
        (a.step, a.state, a.diagnosis, a.severity, a.variables) for a in run(detectors, records)
    ]


def changes(
    detectors: Chosen | list[Chosen] | None, records: Iterable[Record]
) -> list[tuple[int, str]]:
    """Update and state of each alert."""
    return [(step, state) for step, state, *_ in events(detectors, records)]


def ended(records: list[Record]) -> list[Record]:
    """With the record that ends a fit: no quantities, the values of the last one."""
    last = records[-1]
    return [*records, dataclasses.replace(last, quantities={}, activations={}, is_last=True)]
