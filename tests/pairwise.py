"""Rows that try every pair of values of any two factors, in place of the full product."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

Row = tuple[str, ...]
Part = frozenset[tuple[str, str]]  # some of a row, as {(factor, value), ...}
Pair = Part  # of two factors


def _holds(names: Iterable[str], row: Row, parts: Collection[Part]) -> bool:
    whole = set(zip(names, row, strict=True))
    return any(part <= whole for part in parts)


def pairs_of(names: Sequence[str], row: Row) -> set[Pair]:
    """The pairs that one row tries."""
    return {frozenset(pair) for pair in itertools.combinations(zip(names, row, strict=True), 2)}


def possible_pairs(
    factors: Mapping[str, Sequence[str]], impossible: Collection[Part] = ()
) -> set[Pair]:
    """Every pair of values of two different factors that can be tried."""
    rows = itertools.product(*factors.values())
    return set().union(
        *(pairs_of(list(factors), row) for row in rows if not _holds(factors, row, impossible))
    )


def cover(
    factors: Mapping[str, Sequence[str]],
    impossible: Collection[Part] = (),
    cost: Mapping[str, float] | None = None,
) -> list[Row]:
    """Rows that try every possible pair, the same ones each time.

    Greedy: of all possible rows always the one with the most pairs that are new, less what its
    values cost.

    Args:
        factors: name -> values; values of different factors differ.
        impossible: values that no row may hold together.
        cost: value -> how many new pairs it must bring to be worth its time; 0 by default.
    """
    names, cost = list(factors), cost or {}
    left = possible_pairs(factors, impossible)
    rows = [
        (row, pairs_of(names, row), sum(cost.get(value, 0.0) for value in row))
        for row in itertools.product(*factors.values())
        if not _holds(names, row, impossible)
    ]
    chosen: list[Row] = []
    while left:
        useful = [entry for entry in rows if entry[1] & left]
        row, pairs, _ = max(useful, key=lambda entry: len(entry[1] & left) - entry[2])
        chosen.append(row)
        left -= pairs
    return chosen
