"""The same answers out of a log directory, without TensorBoard: what a report carries along."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tbwatch.layout import Layout
from tbwatch.quantities import ACTIVATION_NAMES, NAMES, RUN_NAMES
from tbwatch.reader import Run
from tbwatch.record import UPDATE_VALUES, Record
from tbwatch.tab.answers import (
    NONFINITE_OF,
    Head,
    Series,
    head_answer,
    of_run,
    packed,
    run_answer,
    with_nonfinite,
)
from tbwatch.tab.drawings import Drawings, drawings_of
from tbwatch.tab.thinning import MOST_NUMBERS, MOST_WITH_HISTOGRAMS, evenly


def answers(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The answers of all routes for these runs, thinned out where they would be too many."""
    heads = {name: _head(name, run) for name, run in runs.items()}
    details = {
        name: run_answer(heads[name], layout_of(run), _held(run), run.notes)
        for name, run in runs.items()
    }
    drawings = {name: _drawings(run) for name, run in runs.items()}
    return {
        "runs": {"runs": [head_answer(head) for head in heads.values()]},
        "run": details,
        "series": {
            name: {quantity: _text(packed(series_of(run, quantity))) for quantity in _held(run)}
            for name, run in runs.items()
        },
        "histograms": {name: drawn.histograms for name, drawn in drawings.items()},
        "magnitudes": {name: drawn.magnitudes for name, drawn in drawings.items()},
        "pictures": {name: drawn.pictures for name, drawn in drawings.items()},
    }


def layout_of(run: Run) -> Layout:
    """The variables that the last records of a run are about."""
    return run.records[-1].layout if run.records else Layout(())


def series_of(run: Run, quantity: str, most: int = MOST_NUMBERS) -> Series:
    """A quantity of the records that have the run's last layout.

    Args:
        run: the run.
        quantity: its name.
        most: how many numbers may be left; records are thinned out evenly, the last one kept.
    """
    if quantity in RUN_NAMES:
        return _of_run(run, quantity, most)
    layout = layout_of(run)
    of_activations = quantity in ACTIVATION_NAMES
    columns = len(layout.activations) if of_activations else len(layout)
    held = [
        r for r in run.records if quantity in (r.activations if of_activations else r.quantities)
    ]

    def values_of(record: Record, name: str) -> np.ndarray:
        return record.activation(name) if of_activations else record.quantity(name)

    kept = [record for record in held if len(values_of(record, quantity)) == columns]
    chosen = [kept[at] for at in evenly(len(kept), max(most // max(columns, 1), 2))]
    steps = [record.step for record in chosen]

    def series(name: str) -> Series:
        values = [values_of(record, name) for record in chosen]
        return Series(steps, np.array(values, np.float32).reshape(len(steps), columns))

    found = with_nonfinite(series(quantity), [series(name) for name in NONFINITE_OF[quantity]])
    return dataclasses.replace(found, left_out=len(held) - len(kept))


def _of_run(run: Run, name: str, most: int) -> Series:
    records = [record for record in run.records if not record.is_last]  # the end is no sample
    chosen = [records[at] for at in evenly(len(records), most)]
    values = {
        column: np.array([float(getattr(record, column)) for record in chosen], np.float32)
        for column in UPDATE_VALUES
    }
    return Series([record.step for record in chosen], of_run(values, name))


def _head(name: str, run: Run) -> Head:
    return Head(
        name, name, run.steps[-1] if run.steps else 0, run.alerts, list(run.holding.values())
    )


def _held(run: Run) -> list[str]:
    """Quantities that any record has a number for."""
    found = {name for record in run.records for name in (*record.quantities, *record.activations)}
    named = [name for name in (*NAMES, *ACTIVATION_NAMES) if name in found]
    return [*named, *(RUN_NAMES if run.records else ())]


def _drawings(run: Run) -> Drawings:
    layout = layout_of(run)
    names = [*layout.names, *(activation.name for activation in layout.activations)]
    sick = {name for alert in run.alerts for name in alert.variables}
    names.sort(key=lambda name: name not in sick and f"{name}/activation" not in sick)
    return drawings_of(run.path, names[:MOST_WITH_HISTOGRAMS])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
