"""Detectors: streaming judges of records. They see NumPy only.

A detector has a `name`, `update(record)`, which returns the findings that hold at that record, and
`reset()`, which makes it as good as new. A `VariableRule` is a detector that takes part in the
order of diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from tbwatch.alerts import Finding
from tbwatch.detectors.always_clipped import AlwaysClipped
from tbwatch.detectors.dead_relu import DeadRelu
from tbwatch.detectors.dead_update import DeadUpdate
from tbwatch.detectors.exploding_gradient import ExplodingGradient
from tbwatch.detectors.function import FunctionDetector
from tbwatch.detectors.learning_rate_vanished import LearningRateVanished
from tbwatch.detectors.loss_diverging import LossDiverging
from tbwatch.detectors.loss_oscillating import LossOscillating
from tbwatch.detectors.loss_scale import LossScale
from tbwatch.detectors.loss_stuck import TOO_LOW, LossStuck
from tbwatch.detectors.nonfinite import NonFinite
from tbwatch.detectors.order import ORDER
from tbwatch.detectors.output_mismatch import OutputMismatch
from tbwatch.detectors.rule import VariableRule
from tbwatch.detectors.saturated_activation import SaturatedActivation
from tbwatch.detectors.signal_lost import SignalLost
from tbwatch.record import Record

__all__ = [
    "DETECTORS",
    "DIAGNOSES",
    "ORDER",
    "Chosen",
    "DeadUpdate",
    "Detector",
    "NonFinite",
    "VariableRule",
    "make_detectors",
]


class Detector(Protocol):
    """What a detector has to offer: any object with these, without inheriting from it.

    `update` and `reset` are called in the training process, with one record after the other. What
    they raise is logged once, and the training goes on.

    Example:
        >>> from tbwatch.testing import make_record
        >>> class Always:
        ...     name = "always"
        ...
        ...     def update(self, record):
        ...         return [Finding("always", "always", "info", "loss", "So.", 1.0, 0.0, "")]
        ...
        ...     def reset(self):
        ...         pass
        >>> detector: Detector = Always()
        >>> [finding.message for finding in detector.update(make_record(1))]
        ['So.']
    """

    @property
    def name(self) -> str:
        """The rule's name in alerts."""

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record; returns the findings that hold now."""

    def reset(self) -> None:
        """Forget everything seen."""


#: What a user may give as a detector, which is a name, an object, or a function of a record.
Chosen: TypeAlias = str | Detector | Callable[[Record], object]

_CLASSES: tuple[Callable[..., Detector], ...] = (
    # The more important first: it has the word where two speak of one variable.
    NonFinite,
    ExplodingGradient,
    OutputMismatch,
    SignalLost,
    DeadRelu,
    SaturatedActivation,
    *ORDER,
    LearningRateVanished,
    LossDiverging,
    LossOscillating,
    LossStuck,
    LossScale,
    AlwaysClipped,
)
#: The classes of all detectors by name, in the order of diagnosis.
DETECTORS: dict[str, Callable[..., Detector]] = {
    getattr(make, "name", ""): make for make in _CLASSES
}

#: All that alerts can say; most detectors give one diagnosis, called like the detector.
DIAGNOSES: tuple[str, ...] = (*DETECTORS, TOO_LOW)


def diagnoses_of(detectors: Iterable[Detector]) -> set[str]:
    """What these may say; of a detector of somebody else that is its name, as far as known.

    Example:
        >>> sorted(diagnoses_of(make_detectors(["dead_update", "loss_stuck"])))
        ['dead_update', 'learning_rate_too_low', 'loss_stuck']
    """
    names = {getattr(detector, "name", "") for detector in detectors} - {""}
    return names | ({TOO_LOW} if LossStuck.name in names else set())


def make_detectors(chosen: Sequence[Chosen] | Chosen | None) -> list[Detector]:
    """Detectors by name, as objects or as functions, in the order given.

    Args:
        chosen: names out of `DETECTORS`, detector objects, or functions of a record; None takes
            all of `DETECTORS`, at their defaults.

    Returns:
        New objects for names; objects that were given, as they are.

    Raises:
        ValueError: for an unknown name.
        TypeError: for anything else.

    Example:
        >>> [rule.threshold for rule in make_detectors(["dead_update", DeadUpdate(1e-8)])]
        [1e-07, 1e-08]
    """
    if chosen is None:
        return [make() for make in DETECTORS.values()]
    alone = isinstance(chosen, str) or not isinstance(chosen, Sequence)
    items: Sequence[Chosen] = [chosen] if alone else chosen  # type: ignore[assignment, list-item]
    return [_made(item) for item in items]


def _made(item: Chosen) -> Detector:
    if isinstance(item, str):
        if item not in DETECTORS:
            known = ", ".join(map(repr, DETECTORS))
            raise ValueError(
                f"detectors must be names out of {known}, objects or functions; got {item!r}."
            )
        return DETECTORS[item]()
    if isinstance(item, type):
        raise TypeError(f"a detector must be an object, not a class; got {item!r}.")
    if callable(getattr(item, "update", None)) and callable(getattr(item, "reset", None)):
        return item  # type: ignore[return-value]
    if callable(item):
        return FunctionDetector(item)
    raise TypeError(
        "a detector must be a name, have update(record) and reset(), or be callable with a "
        f"record; got {item!r}."
    )
