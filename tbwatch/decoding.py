"""From one TensorBoard event to a record and a list of alerts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorboard.compat.proto import types_pb2

from tbwatch import format as fmt
from tbwatch.alerts import Alert
from tbwatch.flight_log import FlightLog
from tbwatch.layout import Layout
from tbwatch.layout_json import layout_from_json
from tbwatch.record import Record

# `float_val` may leave out trailing values that repeat its last one. A single value is repeated at
# no cost in memory; behind several, so many at most.
_MOST_REPEATED = 1000
_LEFT_OUT = ""  # kind of a series whose metadata cannot be used: its values are skipped

# Columns of the update series that a record takes, and how a float becomes its field.
_FIELDS: dict[str, Callable[[float], Any]] = {
    "epoch": lambda value: int(value) if abs(value) < 2**31 else 0,
    "learning_rate": float,
    "loss": float,
    "loss_is_known": bool,
    "global_gradient_norm": float,
    "loss_scale": float,
    "judged": bool,
    "is_first": bool,
    "is_last": bool,
}


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What one event holds for us.

    Attributes:
        record: its record; None if it has none.
        alerts: its list of alerts: all so far, or what is new; None if it has none.
        problems: what could not be read and was left out.
        holding: one alert for each cause that holds now; None if it does not say.
        flight: what the flight recorder held; None if it was not written.
    """

    record: Record | None
    alerts: list[Alert] | None
    problems: list[str]
    holding: list[Alert] | None = None
    flight: FlightLog | None = None


class EventDecoder:
    """Decodes the events of one file in order, and remembers what their metadata said.

    TensorBoard writes metadata only into the first value of a tag in a file.
    """

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._kinds: dict[str, str] = {}
        self._columns: tuple[str, ...] = ()
        # None for names that are not the layout's.
        self._variables: dict[str, tuple[str, ...] | None] = {}
        self._activations: tuple[str, ...] = ()

    def decode(self, event: Any) -> Decoded:
        """Decode an `event_pb2.Event`; never raises for what it holds."""
        problems: list[str] = []
        values = [v for v in event.summary.value if v.tag.startswith(fmt.SERIES_PREFIX)]
        for value in values:
            if value.HasField("metadata"):
                try:
                    self._learn(value.tag, value.metadata)
                except (ValueError, OverflowError) as error:
                    problems.append(str(error))
        fields: dict[str, Any] | None = None
        quantities: dict[str, np.ndarray] = {}
        activations: dict[str, np.ndarray] = {}
        alerts: list[Alert] | None = None
        holding: list[Alert] | None = None
        flight: FlightLog | None = None
        for value in values:
            kind = self._kind(value.tag)
            try:
                if kind == fmt.KIND_QUANTITY:
                    name = value.tag.removeprefix(fmt.SERIES_PREFIX)
                    quantities[name] = self._quantity(value.tag, value.tensor)
                elif kind == fmt.KIND_ACTIVATION:
                    name = value.tag.removeprefix(fmt.SERIES_PREFIX)
                    activations[name] = self._activation(value.tag, value.tensor)
                elif kind == fmt.KIND_UPDATE:
                    fields = self._update(value.tensor)
                elif kind == fmt.KIND_ALERTS:
                    alerts, bad = _alerts(value.tensor)
                    problems.extend(bad)
                elif kind == fmt.KIND_FLIGHT:
                    names = self._variables[value.tag] or ()
                    flight = FlightLog.from_table(_table(value.tensor), event.step, names)
                elif kind == fmt.KIND_HOLDING:
                    holding, bad = _alerts(value.tensor)
                    problems.extend(bad)
                elif kind is None:
                    problems.append("values whose metadata is lost left out")
            except ValueError as error:
                problems.append(str(error))
        if self._layout is None or not (quantities or activations or fields is not None):
            return Decoded(None, alerts, problems, holding, flight)
        if not math.isfinite(event.wall_time):
            problems.append("record left out: its wall_time is not finite")
            return Decoded(None, alerts, problems, holding, flight)
        fields = {**(fields or {}), "activations": activations}
        record = Record(event.step, event.wall_time, self._layout, quantities, **fields)
        return Decoded(record, alerts, problems, holding, flight)

    def _learn(self, tag: str, metadata: Any) -> None:
        """Take in the metadata of a tag; ValueError if its values cannot be used."""
        self._kinds[tag] = _LEFT_OUT
        plugin = metadata.plugin_data
        if plugin.plugin_name != fmt.PLUGIN_NAME:
            raise ValueError(f"tag {tag!r} of plugin {plugin.plugin_name!r} left out")
        data = fmt.decode_metadata(plugin.content)
        kind = data.get("kind")
        if kind == fmt.KIND_UPDATE:
            self._layout = layout_from_json(data.get("layout") or {})
            self._activations = tuple(a.name for a in self._layout.activations)
            self._columns = _names(data, "names")
        elif kind == fmt.KIND_QUANTITY:
            self._variables[tag] = _names(data, "variables")
        elif kind == fmt.KIND_ACTIVATION:
            self._variables[tag] = _names(data, "activations")
        elif kind == fmt.KIND_FLIGHT:
            self._variables[tag] = _names(data, "variables")
        elif kind not in (fmt.KIND_ALERTS, fmt.KIND_HOLDING, fmt.KIND_MAGNITUDES):
            # What is no text may be of any size and depth.
            shown = repr(kind) if isinstance(kind, str) else f"of type {type(kind).__name__}"
            raise ValueError(f"tag {tag!r} of unknown kind {shown} left out")
        self._kinds[tag] = kind

    def _kind(self, tag: str) -> str | None:
        """The kind of a tag's values; None where its metadata was never seen."""
        # A list of alerts explains itself, so it is read even if its metadata was in a damaged
        # record: a fault that was found must not get lost.
        return self._kinds.get(tag, fmt.KIND_ALERTS if tag == fmt.ALERTS_TAG else None)

    def _quantity(self, tag: str, tensor: Any) -> np.ndarray:
        """The values of a quantity, float32 `[V]`."""
        if self._layout is None:
            raise ValueError("values whose layout is lost left out")
        if not self._describes(tag, self._layout.names):
            raise ValueError(f"tag {tag!r} left out: its variables are not the layout's")
        return _floats(tensor, len(self._layout))

    def _activation(self, tag: str, tensor: Any) -> np.ndarray:
        """The values of a quantity of activations, float32 `[A]`."""
        if self._layout is None:
            raise ValueError("values whose layout is lost left out")
        if not self._describes(tag, self._activations):
            raise ValueError(f"tag {tag!r} left out: its activations are not the layout's")
        return _floats(tensor, len(self._activations))

    def _describes(self, tag: str, names: tuple[str, ...]) -> bool:
        """Whether the metadata of a tag names exactly these; the texts are compared only once."""
        if self._variables[tag] is not names:
            self._variables[tag] = names if self._variables[tag] == names else None
        return self._variables[tag] is names

    def _update(self, tensor: Any) -> dict[str, Any]:
        """Fields of the record; columns are found by name, unknown ones are ignored."""
        values = _floats(tensor, len(self._columns)).tolist()
        columns = dict(zip(self._columns, values, strict=True))
        return {name: read(columns[name]) for name, read in _FIELDS.items() if name in columns}


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = data.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"series metadata holds no list of texts called {key!r}")
    return tuple(names)


def _floats(tensor: Any, size: int) -> np.ndarray:
    """A float32 vector of the given size; ValueError if the tensor is another."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype != types_pb2.DT_FLOAT or shape != [size]:
        raise ValueError(f"values left out: not a float32 tensor of shape [{size}]")
    content = tensor.tensor_content
    values = _from_bytes(content) if len(content) % 4 == 0 else np.empty(0)
    if not content:
        values = np.array(tensor.float_val)
    if len(values) > size or (size and not len(values)) or (content and len(values) < size):
        raise ValueError(f"values left out: they do not fill a tensor of shape [{size}]")
    if len(values) == size:
        return values.astype(np.float32)
    if len(values) == 1:
        return np.broadcast_to(values.astype(np.float32), (size,))
    if size - len(values) > _MOST_REPEATED:
        raise ValueError(f"values left out: only {len(values)} of {size} are there")
    return np.concatenate([values, values[-1:].repeat(size - len(values))]).astype(np.float32)


def _table(tensor: Any) -> np.ndarray:
    """A float32 matrix; ValueError if the tensor is none."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    content = tensor.tensor_content
    is_matrix = len(shape) == 2 and min(shape) > 0 and tensor.dtype == types_pb2.DT_FLOAT
    if not is_matrix or shape[0] * shape[1] * 4 != len(content):
        raise ValueError("flight recorder left out: it is not a float32 matrix")
    return _from_bytes(content).reshape(shape)


def _from_bytes(content: bytes) -> np.ndarray:
    values = np.frombuffer(content, "<f4")
    # A NaN may be a signalling one, of which NumPy would warn wherever it is used.
    return np.where(np.isnan(values), np.float32(np.nan), values)


def _alerts(tensor: Any) -> tuple[list[Alert], list[str]]:
    """The alerts of a list, and what is wrong with others; ValueError if it is no list."""
    if tensor.dtype != types_pb2.DT_STRING or len(tensor.string_val) != 1:
        raise ValueError("list of alerts left out: not a string tensor")
    return alerts_from_text(tensor.string_val[0])


def alerts_from_text(text: bytes) -> tuple[list[Alert], list[str]]:
    """The alerts of a list as it stands in an event file, and what is wrong with others.

    Raises:
        ValueError: if it is no list.
    """
    try:
        items = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("list of alerts left out: not JSON") from error
    if not isinstance(items, list):
        raise ValueError("list of alerts left out: not a list")
    alerts, problems = [], []
    for item in items:
        try:
            alert = Alert.from_json(item)
        except ValueError as error:
            problems.append(f"alert left out: {error}")
            continue
        if math.isfinite(alert.wall_time):
            alerts.append(alert)
        else:
            problems.append("alert left out: its wall_time is not finite")
    return alerts, problems
