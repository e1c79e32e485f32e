"""How much of a run a report carries along: evenly thinned, with the first and the last."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# What one quantity of a run may take: 200 000 numbers are 1 MB in a page.
MOST_NUMBERS = 200_000
MOST_HISTOGRAMS = 40  # over the updates of a run, for each variable and kind
MOST_WITH_HISTOGRAMS = 60  # variables; those with alerts first
MOST_PICTURES = 12  # over the updates of a run, for each layer


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers from 0, evenly, with the first and the last one.

    Example:
        >>> evenly(10, 4), evenly(2, 4)
        ([0, 3, 6, 9], [0, 1])
    """
    if count <= most:
        return list(range(count))
    return np.unique(np.linspace(0, count - 1, most).round().astype(int)).tolist()


def thinned(steps: Iterable[int], most: int) -> list[int]:
    """At most so many of these updates, ascending."""
    every = sorted(steps)
    return [every[at] for at in evenly(len(every), most)]
