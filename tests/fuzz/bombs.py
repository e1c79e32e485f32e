"""Bombs: event files with little to write, and much to hold."""

from __future__ import annotations

import json
from random import Random

from tensorboard.compat.proto import event_pb2, types_pb2

from tests.fuzz.byte_damage import framed


def wide_json(random: Random) -> bytes:
    """Metadata or a list of alerts with a million keys or items."""
    keys = ", ".join(f'"{i}": 0' for i in range(10**6))
    texts = (
        '{"version": 1, "kind": "update", ' + keys + "}",
        '{"version": 1, "kind": "alerts", "x": [' + "[]," * 10**6 + " 0]}",
        '{"version": 1, "kind": "quantity", "variables": [' + '"",' * 10**6 + '""]}',
    )
    return framed(_event("tbwatch/update", random.choice(texts).encode(), b"[]"))


def many_alerts(random: Random) -> bytes:
    """A list of a hundred thousand alerts that are none, or one with a very long name."""
    alert = {"rule": "r", "diagnosis": "d", "severity": "info", "state": "raised", "message": "m"}
    alert |= {"variables": ["a"], "value": 0, "threshold": 0, "remedy": "", "wall_time": 0}
    alert |= dict.fromkeys(("step", "epoch", "first_seen", "last_seen", "samples"), 1)
    alert |= {"evidence": {}}
    long = {**alert, "variables": ["b" * 10**6], "diagnosis": "c" * 10**6}
    lists = ([{"rule": i} for i in range(10**5)], [long, *[alert] * 2000], [[]] * 10**5)
    text = json.dumps(random.choice(lists)).encode()
    return framed(_event("tbwatch/alerts", b'{"version": 1, "kind": "alerts"}', text))


def wide_message(random: Random) -> bytes:
    """A summary of a million empty values, or a tensor of a million strings."""
    values = b"\x0a\x00" * 10**6  # Summary.value, length 0
    tensor = b"\x42\x00" * 10**6  # TensorProto.string_val, length 0
    value = b"\x0a\x0etbwatch/alerts" + _field(8, b"\x08\x07" + tensor)
    summary = random.choice((values, _field(1, value)))
    return framed(_field(5, summary))


def repeated_value(random: Random) -> bytes:
    """Thousands of tiny records, each of which stands for a tensor of 50 000 equal elements."""
    names = [f"v{i}" for i in range(50_000)]
    variables = [
        {"name": n, "shape": [1], "dtype": "", "initial_rms": 0, "connected": True} for n in names
    ]
    layout = {"variables": variables}
    about = [
        {"version": 1, "kind": "update", "names": [], "layout": layout},
        {"version": 1, "kind": "quantity", "variables": names},
    ]
    tags = ("tbwatch/update", "tbwatch/update_ratio")
    first = event_pb2.Event(step=0)
    for tag, data in zip(tags, about, strict=True):
        value = first.summary.value.add(tag=tag)
        value.metadata.plugin_data.plugin_name = "tbwatch"
        value.metadata.plugin_data.content = json.dumps(data).encode()
    records = [first.SerializeToString()]
    fill = random.choice(([0.5], [0.5, 0.25]))
    for step in range(10_000):
        event = event_pb2.Event(step=step + 1)
        tensor = event.summary.value.add(tag=tags[1]).tensor
        tensor.dtype = types_pb2.DT_FLOAT
        tensor.tensor_shape.dim.add(size=len(names))
        tensor.float_val.extend(fill)
        records.append(event.SerializeToString())
    return b"".join(map(framed, records))


BOMBS = (wide_json, many_alerts, wide_message, repeated_value)


def _event(tag: str, content: bytes, text: bytes) -> bytes:
    event = event_pb2.Event(step=1)
    value = event.summary.value.add(tag=tag)
    value.metadata.plugin_data.plugin_name = "tbwatch"
    value.metadata.plugin_data.content = content
    value.tensor.dtype = types_pb2.DT_STRING
    value.tensor.string_val.append(text)
    return bytes(event.SerializeToString())


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    length, size = len(content), bytearray()
    while length >= 128:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + content
