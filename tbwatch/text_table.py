"""Tables and paragraphs of plain text, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from tbwatch.format import plain

WIDEST = 200  # a longer name is printed, but does not widen the column of all the others


def aligned(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), *, pad: bool = False
) -> list[str]:
    """Columns two blanks apart; those numbered in `right` end together, the others begin so."""
    rows = [[plain(cell) for cell in row] for row in rows]
    widths = [
        max(len(cell) for cell in column if len(cell) <= WIDEST)
        for column in zip(*rows, strict=True)
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return lines if pad else [line.rstrip() for line in lines]


def wrapped(text: str, first: str, following: str, width: int) -> list[str]:
    """A text in lines of so many columns, 0 for one line; what the first and the others begin with.

    Example:
        >>> wrapped("A rate that is too low.", "-> ", "   ", 18)
        ['-> A rate that is', '   too low.']
    """
    if not width:
        return [first + plain(text)]
    return textwrap.wrap(
        plain(text),
        width,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
