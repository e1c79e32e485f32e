"""Reads one event file: what its undamaged events hold, when it was written, what was left out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from tbwatch.decoding import Decoded, EventDecoder
from tbwatch.format import FILE_SUFFIX
from tbwatch.framing import read_frames

_LONGEST_NOTE = 300  # characters
_MOST_NOTES = 20  # different ones for a file; a file of garbage may hold one per record


class Span:
    """When a file was written, and by whom: the part of its name behind the time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        found = re.search(r"tfevents\.[0-9.]*?\.(.+)\.[0-9]+" + re.escape(FILE_SUFFIX), file.name)
        self._writer = found[1] if found else ""
        self.begin = self.end = 0.0

    def extend(self, wall_time: float) -> None:
        """Something was written at this time, in seconds since the epoch of the clock."""
        if not math.isfinite(wall_time):
            return
        self.begin = self.begin or wall_time
        self.end = max(self.end, wall_time)

    def overlaps(self, later: Span) -> bool:
        """Whether another process began its file while this one was still written."""
        return self._writer != later._writer and self.begin <= later.begin < self.end


def read_file(file: Path, notes: Notes, span: Span) -> Iterator[Decoded]:
    """What the undamaged events hold for us; only one of them is in memory at a time."""
    decoder = EventDecoder()
    for event, offset in events_of(file, notes):
        span.extend(event.wall_time)
        decoded = decoder.decode(event)
        for problem in decoded.problems:
            notes.add(problem, offset)
        if any(part is not None for part in (decoded.record, decoded.alerts)):
            yield decoded


def events_of(file: Path, notes: Notes) -> Iterator[tuple[event_pb2.Event, int]]:
    """The undamaged events of a file, and the byte at which each begins; the rest is noted."""
    try:
        with file.open("rb") as stream:
            for frame in read_frames(stream, os.fstat(stream.fileno()).st_size):
                if frame.payload is None:
                    notes.add(frame.damage, frame.offset)
                    continue
                try:
                    event = event_pb2.Event.FromString(frame.payload)
                except DecodeError:
                    notes.add("record left out: not a TensorBoard event", frame.offset)
                    continue
                yield event, frame.offset
    except OSError as error:
        notes.add(f"cannot be read: {error.strerror or error}", 0)


class Notes:
    """What was left out of one file; equal messages are counted instead of repeated."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def add(self, message: str, offset: int) -> None:
        """Something at this byte was left out."""
        if len(message) > _LONGEST_NOTE:  # a name in it may have any length
            message = message[:_LONGEST_NOTE] + "..."
        if message not in self._seen and len(self._seen) >= _MOST_NOTES:
            message = "further problems"
        first, count = self._seen.get(message, (offset, 0))
        self._seen[message] = (first, count + 1)

    def sentences(self) -> list[str]:
        """One for each message, with its first place and how often it came."""
        return [
            f"{message} (at byte {first})"
            if count == 1
            else f"{message} ({count} times, first at byte {first})"
            for message, (first, count) in self._seen.items()
        ]
