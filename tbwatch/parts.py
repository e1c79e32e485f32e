"""What a session deals with: the parts that watch, what they want, and what they see."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import keras
import numpy as np

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.layout import Layout
from tbwatch.models import PatternError
from tbwatch.record import Record
from tbwatch.sample import Request
from tbwatch.schedule import Schedule
from tbwatch.selection import LayerSelection, Selection
from tbwatch.taps import Tap


@dataclasses.dataclass(frozen=True)
class View:
    """What a part sees of one sampled update.

    Attributes:
        record: its numbers.
        histograms: kind -> float32 `[V, 4096]` bucket counts, `[A, 4096]` for activations; empty
            if none were sampled.
    """

    record: Record
    histograms: Mapping[str, np.ndarray]


class Part(Protocol):
    """One thing that is watched: a callback, or a member of one."""

    log_dir: str
    schedule: Schedule
    selection: Selection
    histogram_kinds: frozenset[str]
    needs_updates: bool
    flight: int
    activations: LayerSelection | None

    def start(self, model: keras.Model, layout: Layout) -> None:
        """The variables are known; the first watched update has not happened yet."""

    @property
    def begins_anew(self) -> bool:
        """Whether the next record is the first one that it judges."""

    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now."""

    def judge(self, record: Record) -> list[Alert]:
        """New alerts of this record."""

    def notify(self, alert: Alert) -> None:
        """Tell the user of a new alert."""

    def values(self, view: View) -> Iterator[summaries.Value]:
        """Summary values of a record that is due for this part."""

    def count_active_alerts(self) -> int:
        """Variables with an alert that still holds."""


def watched_by_any(parts: Sequence[Part], names: Sequence[str]) -> list[bool]:
    """Which of the model's trainable variables any part watches.

    Raises:
        PatternError: if a pattern matches none of them, or leaves none.
    """
    for part in parts:
        unmatched = part.selection.unmatched(names)
        if unmatched or not any(map(part.selection, names)):
            wrong = f"{unmatched[0]!r} matches" if unmatched else "include and exclude leave"
            raise PatternError(f"{wrong} no variable; the model has: {', '.join(names)}.")
    return [any(part.selection(name) for part in parts) for name in names]


def activations_watched_by_any(parts: Sequence[Part], taps: Sequence[Tap]) -> list[bool]:
    """Which of the activations of a step any part watches.

    Raises:
        PatternError: if a pattern matches no layer that the step calls.
    """
    selections = [part.activations for part in parts if part.activations is not None]
    layers = list(dict.fromkeys(tap.activation.layer for tap in taps))
    for selection in selections:
        unmatched = selection.unmatched(layers)
        if unmatched:
            raise PatternError(
                f"{unmatched[0]!r} matches no layer that the step calls; it calls: "
                f"{', '.join(layers)}."
            )
    return [
        any(
            selection.takes(tap.activation.layer, is_main=tap.is_main, before=tap.activation.before)
            for selection in selections
        )
        for tap in taps
    ]


def wanted_by_any(parts: Sequence[Part], slots: int, histogram_slots: int) -> Request:
    """What a sample has to hold for all parts; `slots` and `histogram_slots` as in `Request`."""
    kinds = frozenset().union(*(part.histogram_kinds for part in parts))
    return Request(
        updates="updates" in kinds or any(part.needs_updates for part in parts),
        histograms=kinds,
        activations=any(part.activations is not None for part in parts),
        flight=max(part.flight for part in parts),
        slots=slots,
        histogram_slots=histogram_slots,
    )
