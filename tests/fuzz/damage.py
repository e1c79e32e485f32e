"""Damaged event files, from undamaged ones: the same number gives the same damage."""

from __future__ import annotations

from random import Random

from tests.fuzz.byte_damage import (
    claim,
    flip_bits,
    flip_in_payload,
    other_content,
    shuffle_records,
    splice,
    splice_payload,
    truncate,
)
from tests.fuzz.event_damage import change_event


def damaged(files: list[bytes], random: Random) -> bytes:
    """One of the files, damaged in one to three ways."""
    data = random.choice(files)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(WAYS)(data, random)
    return data


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
