"""Event files as tbwatch's writer makes them, written by TensorFlow alone.

The tags and the metadata are spelled out here once more on purpose: what has been written must stay
readable, whatever becomes of the constants in the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import summary_pb2, tensor_pb2
from tensorflow.core.util import event_pb2

COLUMNS = (
    "epoch",
    "learning_rate",
    "loss",
    "loss_is_known",
    "global_gradient_norm",
    "loss_scale",
    "judged",
)
DEFAULTS = {
    "epoch": 0,
    "learning_rate": 0.001,
    "loss": 0.25,
    "loss_is_known": 1,
    "global_gradient_norm": 1.5,
    "loss_scale": 1,
    "judged": 1,
}


def layout_json(*names: str, connected: Sequence[str] = (), frozen: Sequence[str] = ()) -> dict:
    """A layout as plain data; variables are connected unless `connected` leaves them out."""
    return {
        "variables": [
            {
                "name": name,
                "shape": [3, 2],
                "dtype": "float32",
                "initial_rms": None,
                "connected": name in (connected or names),
            }
            for name in names
        ],
        "frozen": list(frozen),
    }


def alert_json(**fields: Any) -> dict[str, Any]:
    """An alert as plain data, with some fields changed."""
    alert = {
        "rule": "dead_update",
        "diagnosis": "zero_gradient",
        "severity": "critical",
        "state": "raised",
        "variables": ["a/kernel"],
        "message": "gradient_norm is 0.",
        "value": 0.0,
        "threshold": 0.0,
        "remedy": "Look for a ReLU that is never active.",
        "step": 30,
        "epoch": 0,
        "first_seen": 10,
        "last_seen": 30,
        "wall_time": 1700000000.5,
        "samples": 3,
        "evidence": {"zero_share": 1.0, "floor": "inf", "cause": "relu"},
    }
    return alert | fields


def metadata(kind: str, version: int = 1, plugin: str = "tbwatch", **fields: Any) -> bytes:
    """Serialized metadata of a series."""
    content = json.dumps({"version": version, "kind": kind, **fields}).encode()
    message = summary_pb2.SummaryMetadata(data_class=summary_pb2.DATA_CLASS_TENSOR)
    message.plugin_data.plugin_name = plugin
    message.plugin_data.content = content
    return message.SerializeToString()


def value(tag: str, tensor: Any, described: bytes | None = None) -> summary_pb2.Summary.Value:
    """A summary value from an array, a text, or a TensorProto, with metadata if it is given."""
    if not isinstance(tensor, tensor_pb2.TensorProto):
        tensor = tf.make_tensor_proto(tensor)
    message = summary_pb2.Summary.Value(tag=tag, tensor=tensor)
    if described is not None:
        message.metadata.ParseFromString(described)
    return message


def event(step: int, values: Iterable[summary_pb2.Summary.Value]) -> bytes:
    """A serialized event, 1000 s after the epoch of the clock plus its step."""
    summary = summary_pb2.Summary(value=list(values))
    message = event_pb2.Event(step=step, wall_time=1000.0 + step, summary=summary)
    return message.SerializeToString()


def version_event() -> bytes:
    """The event that begins a file."""
    return event_pb2.Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString()


def record_values(
    layout: dict[str, Any],
    quantities: Mapping[str, Sequence[float]],
    update: Mapping[str, float] = DEFAULTS,
    first: bool = True,
) -> list[summary_pb2.Summary.Value]:
    """The packed series of one record, with metadata if it is the first one of a file."""
    names = [item["name"] for item in layout["variables"]]
    about = metadata("quantity", variables=names, unit="1", meaning="?") if first else None
    values = [
        value(f"tbwatch/{name}", np.array(numbers, np.float32), about)
        for name, numbers in quantities.items()
    ]
    about = metadata("update", names=list(update), layout=layout) if first else None
    values.append(value("tbwatch/update", np.array(list(update.values()), np.float32), about))
    return values


def alerts_value(alerts: Sequence[Mapping[str, Any]], first: bool = True) -> Any:
    """The series of the alerts' list."""
    return value("tbwatch/alerts", json.dumps(alerts), metadata("alerts") if first else None)


def simple_events(steps: Iterable[int], *names: str) -> list[bytes]:
    """A file's events: variables `names`, update_ratio = step + row / 10."""
    layout = layout_json(*names)
    events = [version_event()]
    for step in steps:
        ratios = [step + row / 10 for row in range(len(names))]
        first = len(events) == 1
        events.append(event(step, record_values(layout, {"update_ratio": ratios}, first=first)))
    return events


def write(run: Path, events: Sequence[bytes], time: int | str = 1000, number: int = 0) -> Path:
    """Write an event file into a run's directory by TensorFlow's own writer."""
    (run / "tbwatch").mkdir(parents=True, exist_ok=True)
    path = run / "tbwatch" / f"events.out.tfevents.{time}.host7.4711.{number}.tbwatch"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for item in events:
            writer.write(item)
    return path
