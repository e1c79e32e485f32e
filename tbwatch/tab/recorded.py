"""The same answers out of a log directory, without TensorBoard: what a report carries along."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2
from tensorboard.util import tensor_util

from tbwatch import format as fmt
from tbwatch.framing import read_frames
from tbwatch.histogram import MAGNITUDES
from tbwatch.layout import Layout
from tbwatch.quantities import ACTIVATION_NAMES, NAMES, RUN_NAMES
from tbwatch.reader import Run
from tbwatch.record import UPDATE_VALUES, Record
from tbwatch.run_files import record_files
from tbwatch.tab.answers import (
    NONFINITE_OF,
    Head,
    Series,
    head_answer,
    magnitudes_answer,
    of_run,
    packed,
    run_answer,
    with_nonfinite,
)
from tbwatch.tab.source import HISTOGRAM_PREFIXES

# What one quantity of a run may take in a report: 200 000 numbers are 1 MB there.
MOST_NUMBERS = 200_000
MOST_HISTOGRAMS = 40  # over the updates of a run, for each variable and kind
MOST_WITH_HISTOGRAMS = 60  # variables; those with alerts first
MOST_PICTURES = 12  # over the updates of a run, for each layer


def answers(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The answers of all routes for these runs, thinned out where they would be too many."""
    heads = {name: _head(name, run) for name, run in runs.items()}
    details = {
        name: run_answer(heads[name], layout_of(run), _held(run), run.notes)
        for name, run in runs.items()
    }
    histograms, magnitudes, pictures = {}, {}, {}
    for name, run in runs.items():
        histograms[name], magnitudes[name], pictures[name] = _drawn(run)
    return {
        "runs": {"runs": [head_answer(head) for head in heads.values()]},
        "run": details,
        "series": {
            name: {quantity: _text(packed(series_of(run, quantity))) for quantity in _held(run)}
            for name, run in runs.items()
        },
        "histograms": histograms,
        "magnitudes": magnitudes,
        "pictures": pictures,
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


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers from 0, evenly, with the first and the last one.

    Example:
        >>> evenly(10, 4), evenly(2, 4)
        ([0, 3, 6, 9], [0, 1])
    """
    if count <= most:
        return list(range(count))
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()


def _head(name: str, run: Run) -> Head:
    return Head(
        name, name, run.steps[-1] if run.steps else 0, run.alerts, list(run.holding.values())
    )


def _held(run: Run) -> list[str]:
    """Quantities that any record has a number for."""
    found = {name for record in run.records for name in (*record.quantities, *record.activations)}
    named = [name for name in (*NAMES, *ACTIVATION_NAMES) if name in found]
    return [*named, *(RUN_NAMES if run.records else ())]


def _drawn(run: Run) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, str]]]:
    """Histograms by variable and kind, magnitudes by variable, pictures by layer and update."""
    layout = layout_of(run)
    names = [*layout.names, *(activation.name for activation in layout.activations)]
    sick = {name for alert in run.alerts for name in alert.variables}
    names.sort(key=lambda name: name not in sick and f"{name}/activation" not in sick)
    names = names[:MOST_WITH_HISTOGRAMS]
    wanted = {f"{prefix}/{name}" for name in names for prefix in HISTOGRAM_PREFIXES}
    rows: dict[str, dict[int, Any]] = {}
    pictures: dict[str, dict[int, bytes]] = {}
    folded: dict[int, np.ndarray] = {}
    variables: list[str] = []
    latest = 0
    for step, value in _values(run.path):
        if step < latest:  # trained again from there on, as `read_run` has it
            for by_step in (*rows.values(), *pictures.values(), folded):
                for repeated in [old for old in by_step if old >= step]:
                    del by_step[repeated]
        latest = step
        if value.tag == fmt.MAGNITUDES_TAG:
            if value.HasField("metadata"):
                variables = _variables(value.metadata.plugin_data.content)
            folded[step] = tensor_util.make_ndarray(value.tensor)
            continue
        if value.tag.startswith("kernels/") and value.HasField("image"):
            layer = value.tag.removeprefix("kernels/")
            pictures.setdefault(layer, {})[step] = value.image.encoded_image_string
        elif value.tag in wanted and value.HasField("tensor"):
            found = tensor_util.make_ndarray(value.tensor)
            if found.ndim == 2 and found.shape[1] == 3:
                rows.setdefault(value.tag, {})[step] = found
    histograms: dict[str, Any] = {}
    for tag, by_step in rows.items():
        kind, _, name = tag.partition("/")
        steps = _thinned(sorted(by_step), MOST_HISTOGRAMS)
        shown = [np.float64(by_step[step]).round(9).tolist() for step in steps]
        histograms.setdefault(name, {})[kind] = {"steps": steps, "rows": shown}
    steps = [step for step in sorted(folded) if folded[step].shape == (len(variables), MAGNITUDES)]
    steps = _thinned(steps, MOST_HISTOGRAMS)
    magnitudes = {
        name: magnitudes_answer(steps, [folded[step][row] for step in steps])
        for row, name in enumerate(variables)
        if name in names
    }
    return (
        histograms,
        magnitudes,
        {
            layer: {str(s): _text(by_step[s]) for s in _thinned(sorted(by_step), MOST_PICTURES)}
            for layer, by_step in pictures.items()
        },
    )


def _variables(content: bytes) -> list[str]:
    try:
        names = fmt.decode_metadata(content).get("variables")
    except ValueError:
        return []
    return names if isinstance(names, list) else []


def _thinned(steps: Sequence[int], most: int) -> list[int]:
    return [steps[at] for at in evenly(len(steps), most)]


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    """Every value of every undamaged event of a run, with the number of its update."""
    for file in record_files(path):
        try:
            with file.open("rb") as stream:
                for frame in read_frames(stream, os.fstat(stream.fileno()).st_size):
                    if frame.payload is None:
                        continue
                    try:
                        event = event_pb2.Event.FromString(frame.payload)
                    except DecodeError:
                        continue
                    for value in event.summary.value:
                        yield event.step, value
        except OSError:
            continue  # `read_run` has told of it


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
