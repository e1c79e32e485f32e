"""Damage to the fields of an event, which stays an event: its JSON too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

from tensorboard.compat.proto import event_pb2, types_pb2

from tests.fuzz.byte_damage import HOSTILE_INTS, flip_bits, one_record, splice, truncate

HOSTILE_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e308, -1e308, 5e-324)
# What may stand in the place of any value of a JSON text, as text: not all of it is JSON.
HOSTILE_JSON = (
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "0",
    "-1",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "1e308",
    '"\\ud800"',
    '"\\u0000"',
    '"\\u001b[2J"',
    '"nan"',
    '"-inf"',
    '"a\\nb"',
    "0.5",
    '"9"',
    "1e18",
    '{"a": [1]}',
    "[null]",
    "[[1, 2], [3]]",
    "9" * 30,
    "9" * 400,
    "-" + "9" * 4300,
    "9" * 5000,
    "[" * 950 + "]" * 950,
    "[" * 600 + "]" * 600,
    '{"a":' * 600 + "1" + "}" * 600,
    "[" * 100000,
    '"' + "x" * 5000,
    '"' + "y" * 5000 + '"',
    '"' + "9" * 5000 + '"',
    "[" + "2," * 2000 + "2]",
    "1e-400",
)
SLOT = "\ue000slot\ue000"


def change_event(data: bytes, random: Random) -> bytes:
    """Some fields of one event, which stays an event."""

    def change(payload: bytes) -> bytes:
        event = _parsed(payload)
        for _ in range(random.choice((1, 1, 3))):
            random.choice(EVENT_CHANGES)(event, random)
        return bytes(event.SerializeToString())

    return one_record(data, random, change)


def _steps(event: Any, random: Random) -> None:
    event.step = random.choice((*HOSTILE_INTS, random.randrange(-100, 100)))


def _times(event: Any, random: Random) -> None:
    event.wall_time = random.choice(HOSTILE_FLOATS)


def _tag(event: Any, random: Random) -> None:
    value = _value(event, random)
    names = ("alerts", "holding", "flight", "update", "update_ratio", "\x1b", "", "z" * 5000)
    value.tag = random.choice(("tbwatch/", "")) + random.choice(names)


def _plugin(event: Any, random: Random) -> None:
    metadata = _value(event, random).metadata
    metadata.plugin_data.plugin_name = random.choice(("scalars", "", "tbwatch", "\x1b[2J" * 500))


def _metadata(event: Any, random: Random) -> None:
    value = _value(event, random)
    if random.random() < 0.2:
        value.ClearField("metadata")
    else:
        plugin = value.metadata.plugin_data
        plugin.content = _changed_json(plugin.content, random)


def _swap_metadata(event: Any, random: Random) -> None:
    first, second = _value(event, random), _value(event, random)
    kept = type(first.metadata).FromString(first.metadata.SerializeToString())
    first.metadata.CopyFrom(second.metadata)
    second.metadata.CopyFrom(kept)


def _double(event: Any, random: Random) -> None:
    value = _value(event, random)
    event.summary.value.extend([value] * random.choice((1, 30)))


def _shape(event: Any, random: Random) -> None:
    dims = _value(event, random).tensor.tensor_shape.dim
    if random.random() < 0.5 and len(dims):
        random.choice(dims).size = random.choice((2**40, *HOSTILE_INTS))
    else:
        dims.add(size=random.choice((0, 1, 2, 2**40)))


def _dtype(event: Any, random: Random) -> None:
    _value(event, random).tensor.dtype = random.randrange(-1, 30)


def _content(event: Any, random: Random) -> None:
    tensor = _value(event, random).tensor
    patterns = (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x80")
    content = bytearray(tensor.tensor_content)
    for _ in range(random.choice((1, 3, 20))):
        if len(content) >= 4:
            at = 4 * random.randrange(len(content) // 4)
            content[at : at + 4] = random.choice((*patterns, random.randbytes(4)))
    tensor.tensor_content = bytes(random.choice((content, content, content[:-1], b"")))


def _float_val(event: Any, random: Random) -> None:
    tensor = _value(event, random).tensor
    tensor.tensor_content = b""
    tensor.float_val.extend([random.random()] * random.choice((0, 1, 2, 5, 100_000)))


def _string_val(event: Any, random: Random) -> None:
    tensor = _value(event, random).tensor
    tensor.dtype = types_pb2.DT_STRING
    texts = list(tensor.string_val) or [b"[]"]
    texts[0] = _changed_json(texts[0], random)
    del tensor.string_val[:]
    tensor.string_val.extend(texts * random.choice((1, 1, 1, 2)))


EVENT_CHANGES: tuple[Callable[[Any, Random], None], ...] = (
    _steps,
    _times,
    _tag,
    _plugin,
    _swap_metadata,
    _double,
    _shape,
    _dtype,
    _content,
    _float_val,
    _content,
    _metadata,
    _metadata,
    _metadata,
    _string_val,
    _string_val,
)


def _changed_json(text: bytes, random: Random) -> bytes:
    """A JSON text with some of its values replaced; or no JSON at all."""
    if random.random() < 0.1:
        return random.choice((flip_bits, truncate, splice))(text, random)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = {}
    put: list[str] = []
    for _ in range(random.choice((1, 1, 2, 4))):
        data = _with_slot(data, random)
        put.append(random.choice(HOSTILE_JSON))
    changed = json.dumps(data)
    for value in put:
        changed = changed.replace(json.dumps(SLOT), value, 1)
    return changed.encode()


def _with_slot(data: Any, random: Random) -> Any:
    """The data with a placeholder in one place, often a deep one."""
    if not isinstance(data, (dict, list)) or not data or random.random() < 0.1:
        return SLOT
    keys = list(data) if isinstance(data, dict) else range(len(data))
    key = random.choice(keys)
    if isinstance(data, dict) and random.random() < 0.1:
        return {k: v for k, v in data.items() if k != key}
    if isinstance(data, list) and random.random() < 0.1:
        return data * 2
    data[key] = _with_slot(data[key], random)
    return data


def _parsed(payload: bytes) -> Any:
    try:
        return event_pb2.Event.FromString(payload)
    except Exception:  # was damaged before
        return event_pb2.Event()


def _value(event: Any, random: Random) -> Any:
    """One value of the event, rather one of ours; a new one if there is none."""
    values = list(event.summary.value)
    ours = [value for value in values if value.tag.startswith("tbwatch/")]
    return (
        random.choice(ours or values) if values else event.summary.value.add(tag="tbwatch/alerts")
    )
