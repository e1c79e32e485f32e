"""Damage to the bytes of an event file, and to those of a record with right checksums."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from random import Random

from tbwatch.framing import masked_crc32c

HOSTILE_INTS = (0, -1, 1, 2**31, 2**40, -(2**62), 2**63 - 1, -(2**63))


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


def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # or it holds the time of day


def other_content(data: bytes, random: Random) -> bytes:
    """The same in another wrapping: compressed, as text, zeros, framed once more."""
    wraps = (_compressed, bytes.hex, lambda b: bytes(len(b)), framed, lambda b: b"")
    wrapped = random.choice(wraps)(data)
    return wrapped.encode() if isinstance(wrapped, str) else wrapped


# --- bytes of a record, with right checksums


def flip_in_payload(data: bytes, random: Random) -> bytes:
    """Some bits of one record, which gets a new checksum."""
    return one_record(data, random, lambda payload: flip_bits(payload, random))


def splice_payload(data: bytes, random: Random) -> bytes:
    """A piece of one record left out, doubled or replaced."""
    return one_record(data, random, lambda payload: splice(payload, random))


def shuffle_records(data: bytes, random: Random) -> bytes:
    """The records in another order, some left out, some doubled."""
    records = payloads(data)
    chosen = [random.choice(records) for _ in records]
    return b"".join(map(framed, chosen))


def one_record(data: bytes, random: Random, change: Callable[[bytes], bytes]) -> bytes:
    records = payloads(data)
    if not records:
        return data
    # The first ones hold the metadata; without them little else is looked at.
    row = random.choice((random.randrange(len(records)), random.randrange(min(3, len(records)))))
    records[row] = change(records[row])
    return b"".join(map(framed, records))
