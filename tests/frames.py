"""Bytes of event files: framed by TensorFlow's writer, and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import tensorflow as tf

from tbwatch.reader import read_run


def framed(payload: bytes, folder: Path) -> bytes:
    """A payload as TensorFlow frames it."""
    path = str(folder / "one_record")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(payload)
    return Path(path).read_bytes()


def frame_starts(data: bytes) -> list[int]:
    """Where the records of an undamaged file begin, and where the last one ends."""
    starts = [0]
    while starts[-1] < len(data):
        starts.append(starts[-1] + 16 + struct.unpack_from("<Q", data, starts[-1])[0])
    return starts


def flipped(data: bytes, offset: int, bit: int = 0) -> bytes:
    """The same bytes with one bit changed."""
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def steps_of(run: Path) -> list[int]:
    """Steps of a run's records."""
    return [record.step for record in read_run(run).records]
