"""What a run and its tags say, as TensorBoard's data provider gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tbwatch import format as fmt
from tbwatch.alerts import Alert
from tbwatch.decoding import alerts_from_text
from tbwatch.layout import Layout
from tbwatch.layout_json import layout_from_json
from tbwatch.quantities import ACTIVATION_NAMES, NAMES, RUN_NAMES
from tbwatch.reader import holding_of, joined

# Kinds of histograms as they stand before the name of a variable in a tag.
HISTOGRAM_PREFIXES = ("weights", "biases", "gradients", "updates", "activations")


def shown_name(run: str) -> str:
    """The log directory of a run: records are in a sub-run of it.

    Example:
        >>> shown_name("mnist/run1/tbwatch"), shown_name("tbwatch")
        ('mnist/run1', '.')
    """
    head, _, last = run.replace("\\", "/").rpartition("/")
    return (head or ".") if last == fmt.SUBRUN else run


def held_in(tags: Mapping[str, Any]) -> list[str]:
    """Quantities of a run."""
    named = [name for name in (*NAMES, *ACTIVATION_NAMES) if fmt.quantity_tag(name) in tags]
    return [*named, *(RUN_NAMES if fmt.UPDATE_TAG in tags else ())]


def last_update(tags: Mapping[str, Any]) -> int:
    """The last update that any of them has."""
    return max((int(series.max_step) for series in tags.values()), default=0)


def layout_in(tags: Mapping[str, Any]) -> tuple[Layout, str]:
    """The watched variables of a run, and what is wrong with them in a sentence."""
    series = tags.get(fmt.UPDATE_TAG) or tags.get(fmt.END_TAG)
    if series is None:
        return Layout(()), "no record of an update could be read yet"
    try:
        data = fmt.decode_metadata(series.plugin_content)
        return layout_from_json(data.get("layout") or {}), ""
    except ValueError as error:
        return Layout(()), str(error)


def alerts_in(texts: Mapping[str, Sequence[Any]]) -> tuple[list[Alert], list[Alert], list[str]]:
    """All alerts, one for each cause that holds now, and what could not be read."""
    alerts: list[Alert] = []
    held: list[Alert] | None = None
    problems: list[str] = []
    for tag in (fmt.ALERTS_TAG, fmt.HOLDING_TAG):
        for point in texts.get(tag, ()):
            try:
                found, wrong = alerts_from_text(point.numpy.item())
            except (ValueError, AttributeError) as error:
                problems.append(str(error))
                continue
            problems += wrong
            if tag == fmt.ALERTS_TAG:
                alerts = joined(alerts, found)
            else:
                held = found
    if held is None:
        held = list(holding_of(alerts).values())
    return alerts, held, list(dict.fromkeys(problems))
