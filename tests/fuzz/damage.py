"""Damaged event files, from undamaged ones: the same number gives the same damage."""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from tensorboard.compat.proto import event_pb2, types_pb2

from tbwatch.framing import masked_crc32c

HOSTILE_INTS = (0, -1, 1, 2**31, 2**40, -(2**62), 2**63 - 1, -(2**63))
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


def damaged(files: list[bytes], random: Random) -> bytes:
    """One of the files, damaged in one to three ways."""
    data = random.choice(files)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(WAYS)(data, random)
    return data


def framed(payload: bytes) -> bytes:
    """A payload as a record, with the checksums that belong to it."""
    length = struct.pack("<Q", len(payload))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, payload)]
    return length + checks[0] + payload + checks[1]


def payloads(data: bytes) -> list[bytes]:
    """The payloads of a file as far as its lengths lead, checksums not looked at."""
    found, offset = [], 0
    while offset + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, offset)
        found.append(data[offset + 12 : offset + 12 + length])
        offset += 16 + length
    return found


# --- bytes of the file


def flip_bits(data: bytes, random: Random) -> bytes:
    """A few bits of the file."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 20))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """The file up to some byte."""
    return data[: random.randrange(len(data) + 1)]


def splice(data: bytes, random: Random) -> bytes:
    """A piece left out, doubled, or replaced by random bytes."""
    a, b = sorted(random.randrange(len(data) + 1) for _ in range(2))
    piece = random.choice((b"", data[a:b] * 2, random.randbytes(b - a), bytes(b - a)))
    return data[:a] + piece + data[b:]


def claim(data: bytes, random: Random) -> bytes:
    """A record with a right checksum that claims a length of its own choice."""
    length = struct.pack("<Q", random.choice(HOSTILE_INTS) % 2**64)
    header = length + struct.pack("<I", masked_crc32c(length))
    cut = random.randrange(len(data) + 1)
    return data[:cut] + header + data[cut:]


def other_content(data: bytes, random: Random) -> bytes:
    """The same in another wrapping: compressed, as text, zeros, framed once more."""
    wraps = (gzip.compress, bytes.hex, lambda b: bytes(len(b)), framed, lambda b: b"")
    wrapped = random.choice(wraps)(data)
    return wrapped.encode() if isinstance(wrapped, str) else wrapped


# --- bytes of a record, with right checksums


def flip_in_payload(data: bytes, random: Random) -> bytes:
    """Some bits of one record, which gets a new checksum."""
    return _one_record(data, random, lambda payload: flip_bits(payload, random))


def splice_payload(data: bytes, random: Random) -> bytes:
    """A piece of one record left out, doubled or replaced."""
    return _one_record(data, random, lambda payload: splice(payload, random))


def shuffle_records(data: bytes, random: Random) -> bytes:
    """The records in another order, some left out, some doubled."""
    records = payloads(data)
    chosen = [random.choice(records) for _ in records]
    return b"".join(map(framed, chosen))


# --- fields of an event


def change_event(data: bytes, random: Random) -> bytes:
    """Some fields of one event, which stays an event."""

    def change(payload: bytes) -> bytes:
        event = _parsed(payload)
        for _ in range(random.choice((1, 1, 3))):
            random.choice(EVENT_CHANGES)(event, random)
        return bytes(event.SerializeToString())

    return _one_record(data, random, change)


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


# --- bombs: little to write, much to hold


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
WAYS = (
    flip_bits,
    truncate,
    splice,
    claim,
    other_content,
    flip_in_payload,
    flip_in_payload,
    splice_payload,
    shuffle_records,
    *([change_event] * 9),
)


# --- parts


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


def _one_record(data: bytes, random: Random, change: Callable[[bytes], bytes]) -> bytes:
    records = payloads(data)
    if not records:
        return data
    # The first ones hold the metadata; without them little else is looked at.
    row = random.choice((random.randrange(len(records)), random.randrange(min(3, len(records)))))
    records[row] = change(records[row])
    return b"".join(map(framed, records))


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
