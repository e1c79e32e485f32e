"""What is left at the end: the causes that still hold, the gravest first, in plain text."""

from __future__ import annotations

from collections.abc import Sequence

from tbwatch.alerts import SEVERITIES, Alert
from tbwatch.format import listed, shown
from tbwatch.text_table import wrapped

_INDENT = "   "
MOST_NAMED = 4


def ranked(holding: Sequence[Alert]) -> list[Alert]:
    """Alerts that hold, the gravest first; among equals the one that came first."""
    return sorted(holding, key=lambda alert: (-SEVERITIES.index(alert.severity), alert.first_seen))


def report(
    holding: Sequence[Alert],
    alerts: Sequence[Alert],
    width: int = 100,
    notes: Sequence[str] = (),
    frozen: Sequence[str] = (),
) -> str:
    """A numbered list of what still holds, with remedies.

    Args:
        holding: one alert for each cause that holds.
        alerts: all alerts of the run.
        width: columns to wrap at; 0 for lines of any length.
        notes: what could not be judged.
        frozen: weights that `trainable=False` takes out of the training.

    Example:
        >>> print(report([], []))
        No alerts: nothing that tbwatch looks for was found.
    """
    cleared = [alert for alert in alerts if alert.state == "cleared"]
    lines: list[str] = []
    if not holding and not cleared:
        lines.append("No alerts: nothing that tbwatch looks for was found.")
    for number, alert in enumerate(ranked(holding), 1):
        names = listed(list(map(shown, alert.variables)), MOST_NAMED)
        head = f"{alert.severity} {alert.diagnosis}, since update {alert.first_seen}: {names}"
        lines += wrapped(head, f"{number}. ", _INDENT, width)
        lines += wrapped(alert.message, _INDENT, _INDENT, width)
        if alert.remedy:
            lines += wrapped(alert.remedy, _INDENT + "-> ", _INDENT + "   ", width)
    if not holding and cleared:
        lines.append("Nothing is left of what was found.")
    if cleared:
        past = ", ".join(f"{a.diagnosis} (updates {a.first_seen}-{a.last_seen})" for a in cleared)
        lines += wrapped(f"Cleared in the meantime: {past}.", "", _INDENT, width)
    if frozen:
        lines += wrapped(
            f"Not trained, by trainable=False: {listed(list(map(shown, frozen)), MOST_NAMED)}.",
            "",
            _INDENT,
            width,
        )
    for note in notes:
        lines += wrapped(f"Note: {note}.", "", _INDENT, width)
    return "\n".join(lines)


def nothing_recorded(width: int = 100) -> str:
    """What a report says before the first record: that is no good news."""
    told = (
        "Nothing was recorded: pass the watch to fit in `callbacks=`; if it was passed, the log "
        "says why."
    )
    return "\n".join(wrapped(told, "", "", width))
