"""Summary values as TensorBoard reads them: pure functions from numbers to protocol buffers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_TENSOR,
    Summary,
    SummaryMetadata,
)
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING

from tbwatch import format
from tbwatch.alerts import Alert
from tbwatch.flight_log import FlightLog
from tbwatch.histogram import LOWEST_EXPONENT, to_magnitudes, to_rows
from tbwatch.layout import Layout
from tbwatch.layout_json import layout_to_json
from tbwatch.quantities import ACTIVATION_QUANTITIES, QUANTITIES, Quantity
from tbwatch.record import UPDATE_VALUES, Record

# In the Text tab: alerts in one table, variables of one alert. The packed list has all of them.
MOST_ROWS = 50
MOST_NAMES = 20

_MARKUP = frozenset("&<>|\\`*_[]()!#~\"'")

Value: TypeAlias = Summary.Value


def scalar(tag: str, value: float) -> Value:
    """A point of a curve in the Time Series and Scalars tabs."""
    return Value(tag=tag, simple_value=float(value))


def histogram(tag: str, counts: np.ndarray) -> Value:
    """A distribution from bucket counts `[4096]`; finite elements only."""
    metadata = SummaryMetadata(data_class=DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = "histograms"
    return Value(tag=tag, metadata=metadata, tensor=_floats(to_rows(counts)))


def image(tag: str, png: bytes, height: int, width: int) -> Value:
    """A picture in the Images tab."""
    picture = Summary.Image(height=height, width=width, encoded_image_string=png)
    return Value(tag=tag, image=picture)


def text(tag: str, markdown: str) -> Value:
    """Markdown in the Text tab."""
    metadata = SummaryMetadata(data_class=DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = "text"
    return Value(tag=tag, metadata=metadata, tensor=_string(markdown))


def packed_record(record: Record) -> Iterator[Value]:
    """The series that the offline reader and the tab live on: one `[V]` tensor per quantity.

    Quantities of activations are `[A]`.
    """
    for quantity in QUANTITIES:
        values = record.quantities.get(quantity.name)
        if values is not None:
            metadata = _of_variables(quantity, record.layout.names)
            yield _series(format.quantity_tag(quantity.name), metadata, _floats(values))
    names = tuple(activation.name for activation in record.layout.activations)
    for quantity in ACTIVATION_QUANTITIES:
        values = record.activations.get(quantity.name)
        if values is not None:
            metadata = _of_activations(quantity, names)
            yield _series(format.quantity_tag(quantity.name), metadata, _floats(values))
    yield _series(
        # The end of a fit shares its step with a sample, and TensorBoard wants one value per step.
        format.END_TAG if record.is_last else format.UPDATE_TAG,
        _of_update(record.layout),
        _floats(np.array([float(getattr(record, name)) for name in UPDATE_VALUES])),
    )


def packed_alerts(alerts: Sequence[Alert]) -> Value:
    """All alerts so far, or those that the lists before it in the file do not hold."""
    return _alerts(format.ALERTS_TAG, format.KIND_ALERTS, alerts)


def packed_holding(alerts: Sequence[Alert]) -> Value:
    """One alert for each cause that holds now, with today's variables and numbers."""
    return _alerts(format.HOLDING_TAG, format.KIND_HOLDING, alerts)


def packed_flight(log: FlightLog, step: int) -> Value:
    """What the flight recorder kept, `[N, 2 + 2 * V]`, told at update `step`."""
    metadata = format.encode_metadata(format.KIND_FLIGHT, variables=list(log.names))
    return _series(format.FLIGHT_TAG, metadata, _floats(log.to_table(step)))


def packed_magnitudes(names: tuple[str, ...], counts: np.ndarray) -> Value:
    """Gradients by magnitude, `[V, 64]`, from bucket counts `[V, 4096]` of these variables."""
    return _series(format.MAGNITUDES_TAG, _of_magnitudes(names), _floats(to_magnitudes(counts)))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *[[_cell(cell) for cell in row] for row in body]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def alerts_markdown(alerts: Sequence[Alert]) -> str:
    """The alerts of one record as a Markdown table for the Text tab."""
    lines = ["| alert | variable | what | remedy |", "|---|---|---|---|"]
    left_out = len(alerts) - MOST_ROWS
    if left_out > 0:
        lines.append(f"| {left_out} earlier ones | | | |")
    for alert in alerts[-MOST_ROWS:]:
        head = f"{alert.severity}: {alert.diagnosis}, {alert.state} at update {alert.step}"
        cells = [head, format.listed(alert.variables, MOST_NAMES)]
        cells += ["", ""] if alert.state == "cleared" else [alert.message, alert.remedy]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def run_scalars(record: Record, active_alerts: int) -> Iterator[Value]:
    """The few numbers of the whole update that people plot."""
    numbers: Mapping[str, float] = {
        "training/global_gradient_norm": record.global_gradient_norm,
        "training/learning_rate": record.learning_rate,
        "training/loss": record.loss,
        "training/active_alerts": active_alerts,
    }
    for tag, value in numbers.items():
        # TensorBoard draws nothing for NaN: a series that is never known would be an empty card.
        if not np.isnan(value):
            yield scalar(tag, value)


def first_metadata_only(values: Sequence[Value], seen: set[str]) -> list[Value]:
    """Drop the metadata of tags in `seen`, and remember the others: TensorBoard reads it once."""
    for value in values:
        if value.tag in seen:
            value.ClearField("metadata")
        seen.add(value.tag)
    return list(values)


def _series(tag: str, content: bytes, tensor: TensorProto) -> Value:
    metadata = SummaryMetadata(data_class=DATA_CLASS_TENSOR)
    metadata.plugin_data.plugin_name = format.PLUGIN_NAME
    metadata.plugin_data.content = content
    return Value(tag=tag, metadata=metadata, tensor=tensor)


# The same at every record of a run, and longer to encode than the numbers.


@lru_cache(maxsize=len(QUANTITIES))
def _of_variables(quantity: Quantity, names: Sequence[str]) -> bytes:
    return format.encode_metadata(
        format.KIND_QUANTITY, variables=names, unit=quantity.unit, meaning=quantity.meaning
    )


@lru_cache(maxsize=len(ACTIVATION_QUANTITIES))
def _of_activations(quantity: Quantity, names: Sequence[str]) -> bytes:
    return format.encode_metadata(
        format.KIND_ACTIVATION, activations=names, unit=quantity.unit, meaning=quantity.meaning
    )


@lru_cache(maxsize=1)
def _of_magnitudes(names: Sequence[str]) -> bytes:
    return format.encode_metadata(format.KIND_MAGNITUDES, variables=names, lowest=LOWEST_EXPONENT)


@lru_cache(maxsize=1)
def _of_update(layout: Layout) -> bytes:
    return format.encode_metadata(
        format.KIND_UPDATE, names=UPDATE_VALUES, layout=layout_to_json(layout)
    )


def _alerts(tag: str, kind: str, alerts: Sequence[Alert]) -> Value:
    data = json.dumps([alert.to_json() for alert in alerts], allow_nan=False)
    return _series(tag, format.encode_metadata(kind), _string(data))


def _floats(array: np.ndarray) -> TensorProto:
    array = np.asarray(array, "<f4")
    dimensions = [TensorShapeProto.Dim(size=size) for size in array.shape]
    return TensorProto(
        dtype=DT_FLOAT,
        tensor_shape=TensorShapeProto(dim=dimensions),
        tensor_content=array.tobytes(),
    )


def _string(value: str) -> TensorProto:
    data = value.encode("utf-8", "backslashreplace")
    return TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[data])


def _cell(content: str) -> str:
    # Names come from users: nothing in them may end the cell or become markup.
    escaped = "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in content)
    return format.plain(escaped)
