"""Detectors: streaming judges of records. They see NumPy only.

A detector has a `name`, `update(record)`, which returns the findings that hold at that record, and
`reset()`, which makes it as good as new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tbwatch.alerts import Finding
from tbwatch.detectors.dead_update import DeadUpdate
from tbwatch.detectors.nonfinite import NonFinite
from tbwatch.record import Record

__all__ = ["DETECTORS", "DeadUpdate", "Detector", "NonFinite", "make_detectors"]


class Detector(Protocol):
    """What a detector has to offer."""

    @property
    def name(self) -> str:
        """The rule's name in alerts."""

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record; returns the findings that hold now."""

    def reset(self) -> None:
        """Forget everything seen."""


# In the order of diagnosis: the first detector with a finding for a variable has the word.
DETECTORS: dict[str, Callable[[], Detector]] = {"nonfinite": NonFinite, "dead_update": DeadUpdate}


def make_detectors(chosen: Sequence[str | Detector] | str | None) -> list[Detector]:
    """Detectors by name or as objects, in the order given.

    Args:
        chosen: names out of `DETECTORS` or detector objects; None takes all of `DETECTORS`.

    Raises:
        ValueError: for an unknown name.
        TypeError: for an object that is no detector.
    """
    if chosen is None:
        return [make() for make in DETECTORS.values()]
    detectors: list[Detector] = []
    for item in [chosen] if isinstance(chosen, str) else chosen:
        if isinstance(item, str):
            if item not in DETECTORS:
                known = ", ".join(map(repr, DETECTORS))
                raise ValueError(
                    f"detectors must be names out of {known}, or objects; got {item!r}."
                )
            detectors.append(DETECTORS[item]())
        elif callable(getattr(item, "update", None)) and callable(getattr(item, "reset", None)):
            detectors.append(item)
        else:
            raise TypeError(
                f"a detector must have update(record) and reset(), or be a name; got {item!r}."
            )
    return detectors
