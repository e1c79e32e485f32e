"""Checksum and framing: what TensorFlow's writer wrote, read by our own code."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pytest

from tbwatch.framing import crc32c, masked_crc32c, read_frames
from tests.frames import framed


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_agrees_with_the_published_values(data: bytes, expected: int) -> None:
    """RFC 3720, appendix B.4, and the catalogue's check value."""
    assert crc32c(data) == expected


@pytest.mark.parametrize(
    "size",
    [1, 31, 63, 64, 65, 67, 1023, 1024, 1025, 1027, 2048, 5000, 65535, 65536, 65537, 200_003],
)
def test_crc32c_agrees_with_tensorflow_at_every_kind_of_size(size: int, tmp_path: Path) -> None:
    """Short, whole blocks, blocks and a rest, more than one chunk: as in TensorFlow's footer."""
    data = random.Random(size).randbytes(size)
    assert masked_crc32c(data) == struct.unpack("<I", framed(data, tmp_path)[-4:])[0]


def test_frames_are_what_tensorflow_wrote(tmp_path: Path) -> None:
    """Payloads of all sizes, the empty one too, come back with their offsets."""
    payloads = [b"", b"a", bytes(64), bytes(range(256)) * 20]
    data = b"".join(framed(payload, tmp_path) for payload in payloads)
    frames = list(read_frames(io.BytesIO(data), len(data)))
    assert [frame.payload for frame in frames] == payloads
    assert [frame.offset for frame in frames] == [0, 16, 33, 113]


@pytest.mark.parametrize("length", [2**64 - 1, 2**62, 2**31, 29])
def test_a_claimed_length_beyond_the_end_is_never_read(length: int, tmp_path: Path) -> None:
    """A length with a right checksum but without the bytes costs nothing and ends the file."""
    asked = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    claimed = struct.pack("<Q", length)
    header = claimed + framed(claimed, tmp_path)[-4:]
    data = framed(b"first", tmp_path) + header + bytes(32)  # 28 bytes of payload would fit
    frames = list(read_frames(Watched(data), len(data)))
    assert [frame.payload for frame in frames] == [b"first", None]
    assert frames[1].offset == 21
    assert frames[1].damage == "last record cut off after 44 bytes, left out"
    assert max(asked) <= len(data)


def test_bytes_that_a_live_writer_adds_later_are_left_alone(tmp_path: Path) -> None:
    """Only the given size is read, as if the file ended there."""
    first = framed(b"first", tmp_path)
    frames = list(read_frames(io.BytesIO(first + framed(b"second", tmp_path)), len(first)))
    assert [frame.payload for frame in frames] == [b"first"]
