"""Answers of the routes as plain data, whether out of TensorBoard or out of a directory."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tbwatch.alerts import SEVERITIES, Alert
from tbwatch.histogram import LOWEST_EXPONENT
from tbwatch.layout import Layout
from tbwatch.layout_json import layout_to_json
from tbwatch.quantities import (
    ACTIVATION_NAMES,
    ACTIVATION_QUANTITIES,
    NAMES,
    QUANTITIES,
    RUN_NAMES,
    RUN_QUANTITIES,
)

_OF_VARIABLE = ("gradient_nonfinite", "weight_nonfinite", "update_nonfinite")
# Quantity -> counts that tell a lost number from one that was never there.
NONFINITE_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NAMES, _OF_VARIABLE),
    **dict.fromkeys(ACTIVATION_NAMES, ("activation_nonfinite",)),
    **dict.fromkeys(RUN_NAMES, ()),
}


@dataclasses.dataclass(frozen=True)
class Head:
    """What a list of runs shows of one.

    Attributes:
        run: its id.
        name: its name for people.
        last_update: number of the last update that is known.
        alerts: all of them, oldest first.
        holding: one alert for each cause that holds now.
    """

    run: str
    name: str
    last_update: int
    alerts: Sequence[Alert]
    holding: Sequence[Alert]


@dataclasses.dataclass(frozen=True)
class Series:
    """One quantity of one run.

    Attributes:
        steps: numbers of the sampled updates, `[N]`, growing.
        values: float32 `[N, columns]`.
        left_out: records that had another number of columns.
    """

    steps: list[int]
    values: np.ndarray
    left_out: int = 0


def head_answer(head: Head) -> dict[str, Any]:
    """An entry of the list of runs: causes are counted, not alerts or variables."""
    held = {(a.rule, a.diagnosis): a.severity for a in head.holding}
    raised = {(a.rule, a.diagnosis): a.severity for a in head.alerts if a.state != "cleared"}
    return {
        "run": head.run,
        "name": head.name,
        "last_update": head.last_update,
        "raised": {s: sum(v == s for v in raised.values()) for s in SEVERITIES},
        "holding": {s: sum(v == s for v in held.values()) for s in SEVERITIES},
    }


def run_answer(
    head: Head, layout: Layout, held: Collection[str], problems: Sequence[str]
) -> dict[str, Any]:
    """One run: its variables, its quantities, and all alerts.

    Args:
        head: what the list shows of it.
        layout: the watched variables.
        held: names of the quantities that were recorded.
        problems: sentences on what could not be read.
    """
    data = layout_to_json(layout)
    return {
        "run": head.run,
        "name": head.name,
        "last_update": head.last_update,
        "variables": data["variables"],
        "activations": data["activations"],
        "frozen": data["frozen"],
        "quantities": [
            {**dataclasses.asdict(quantity), "of": of}
            for of, every in (
                ("variables", QUANTITIES),
                ("activations", ACTIVATION_QUANTITIES),
                ("run", RUN_QUANTITIES),
            )
            for quantity in every
            if quantity.name in held
        ],
        "alerts": [alert.to_json() for alert in head.alerts],
        "holding": sorted({f"{alert.rule} {alert.diagnosis}" for alert in head.holding}),
        "problems": list(problems),
    }


def magnitudes_answer(steps: Sequence[int], counts: Sequence[np.ndarray]) -> dict[str, Any]:
    """Counts by magnitude, as `histogram.to_magnitudes` gives them, at these updates."""
    rows = [[float(count) for count in row] for row in counts]
    return {"steps": list(steps), "lowest": LOWEST_EXPONENT, "counts": rows}


def with_nonfinite(series: Series, counts: Sequence[Series]) -> Series:
    """A NaN that comes of numbers that are not finite becomes infinite: it is no missing value.

    Args:
        series: the values of a quantity.
        counts: the series of its `NONFINITE_OF`, as far as they were recorded.
    """
    values = series.values.copy()
    for count in counts:
        rows = dict(zip(count.steps, count.values, strict=True))
        for row, step in enumerate(series.steps):
            if step in rows and len(rows[step]) == values.shape[1]:
                values[row, np.isnan(values[row]) & (rows[step] > 0)] = np.inf
    return dataclasses.replace(series, values=values)


def of_run(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A quantity of whole updates as a column `[N, 1]`, infinite where it is no number.

    Args:
        values: the `UPDATE_VALUES` that are needed, `[N]` each.
        name: of the quantity.
    """
    column = values[name].astype(np.float32)
    if name == "loss":
        # NaN stands for "nobody reported it" too.
        column = np.where(np.isnan(column) & (values["loss_is_known"] > 0), np.inf, column)
    return column[:, None]


def packed(series: Series) -> bytes:
    """A series as octets: 4 bytes with the length of a JSON head, the head, float32 by rows.

    All of it is little-endian; the head ends at a multiple of 4 bytes.
    """
    rows, columns = series.values.shape
    head = json.dumps(
        {"steps": series.steps, "rows": rows, "columns": columns, "left_out": series.left_out}
    ).encode()
    head += b" " * (-len(head) % 4)
    return struct.pack("<I", len(head)) + head + series.values.astype("<f4").tobytes()
