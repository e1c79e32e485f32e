"""Where alerts go, besides the event file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from tbwatch.alerts import SEVERITIES, Alert
from tbwatch.telling import tell

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}


def log(alert: Alert, beside_progress_bar: bool = False) -> None:
    """One log line; `warning` and `critical` alerts show without any logging set-up.

    Args:
        alert: the alert.
        beside_progress_bar: begin a new line first, so that it does not continue Keras' bar.
    """
    level = logging.INFO if alert.state == "cleared" else _LEVELS[alert.severity]
    tell(level, "%stbwatch: %s", "\n" if beside_progress_bar else "", alert)


def check_on_alert(on_alert: Callable[[Alert], object] | None) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: says what was given.
    """
    if on_alert is not None and not callable(on_alert):
        raise TypeError(f"on_alert must be callable with an alert, or None; got {on_alert!r}.")


def check_stop_on(stop_on: Collection[str], diagnoses: Collection[str]) -> frozenset[str]:
    """The names at which training stops.

    Args:
        stop_on: diagnoses, rules or severities.
        diagnoses: the names that the detectors at work may say, besides the severities.

    Raises:
        ValueError: for an unknown name.
        TypeError: if it is no collection of names.
    """
    names = [stop_on] if isinstance(stop_on, str) else stop_on
    try:
        chosen = frozenset(names)
    except TypeError as error:
        raise TypeError(f"stop_on must be a set of names; got {stop_on!r}.") from error
    allowed = sorted({*SEVERITIES, *diagnoses})
    for name in chosen:
        if name not in allowed:
            raise ValueError(
                "stop_on must hold severities, or names of the detectors at work: "
                f"{', '.join(allowed)}; got {name!r}."
            )
    return chosen


def stops(alert: Alert, stop_on: frozenset[str]) -> bool:
    """Whether this alert ends the training: a severity stands for graver ones too."""
    lighter = SEVERITIES[: SEVERITIES.index(alert.severity) + 1]
    return alert.state != "cleared" and bool({alert.rule, alert.diagnosis, *lighter} & stop_on)
