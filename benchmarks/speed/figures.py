"""From repetitions to figures: medians, quartiles, paired ratios, slopes and goals."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Goal:
    """A limit for the median of a line.

    Attributes:
        limit: the bound.
        of: `"ratio"` to what the line is paired with, or its own `"value"`.
        at_least: whether more is better.
    """

    limit: float
    of: str = "ratio"
    at_least: bool = False

    def is_met_by(self, value: float) -> bool:
        """Whether a median is within the limit; NaN is not."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: what was measured.
        unit: of the values.
        values: one for each repetition; empty if `note` says why nothing was measured.
        beside: what it is paired with; "" for nothing.
        base: the values of that, from the same repetitions.
        inverse: the ratio is base / value: how many times faster.
        goal: None for a line without one.
        note: what else has to be known.
    """

    what: str
    unit: str
    values: Sequence[float] = ()
    beside: str = ""
    base: Sequence[float] = ()
    inverse: bool = False
    goal: Goal | None = None
    note: str = ""

    def with_base(self, beside: str, base: Sequence[float]) -> Line:
        """The same line, paired."""
        return dataclasses.replace(self, beside=beside, base=base)

    @property
    def ratios(self) -> list[float]:
        """Value / base of each repetition, or base / value."""
        if not self.base:
            return []
        by_round = ratios(self.values, self.base)
        return (
            [1 / ratio if ratio else math.inf for ratio in by_round] if self.inverse else by_round
        )

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a measurement."""
        judged = self.ratios if self.goal and self.goal.of == "ratio" else self.values
        return None if self.goal is None or not judged else self.goal.is_met_by(median(judged))

    def to_json(self) -> dict[str, Any]:
        """Everything, and the medians."""
        fields = dataclasses.asdict(self)
        return {
            **fields,
            "median": median(self.values) if self.values else None,
            "ratios": self.ratios,
            "median_ratio": median(self.ratios) if self.ratios else None,
            "is_met": self.is_met,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Line:
        """The inverse of `to_json`."""
        names = [field.name for field in dataclasses.fields(cls)]
        given = {name: data[name] for name in names}
        given["goal"] = Goal(**given["goal"]) if given["goal"] else None
        return cls(**given)


def median(values: Sequence[float]) -> float:
    """The middle value.

    Example:
        >>> median([3.0, 1.0, 2.0])
        2.0
    """
    return float(statistics.median(values))


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Lower and upper quartile, interpolated between the values.

    Example:
        >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
        (2.0, 4.0)
    """
    if len(values) < 2:
        return float(values[0]), float(values[0])
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Each value over the base of the same repetition.

    Raises:
        ValueError: if there are not as many of one as of the other.
    """
    return [value / of for value, of in zip(values, base, strict=True)]


def log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent b of the power law y = a * x**b that fits best: 1 is linear, 0 is constant.

    Least squares between the logarithms. Points that are not positive tell nothing and are left
    out; NaN if fewer than two are left.

    Example:
        >>> round(log_slope([1.0, 10.0, 100.0], [2.0, 200.0, 20000.0]), 6)
        2.0
    """
    points = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True) if a > 0 and b > 0]
    if len({a for a, _ in points}) < 2:
        return math.nan
    return float(statistics.linear_regression(*zip(*points, strict=True)).slope)


def scaled(ratio: float, share: float) -> float:
    """The ratio to plain if what is beyond 1 occurs only in a share of the cases.

    Example:
        >>> scaled(1.5, 0.1)
        1.05
    """
    return 1 + (ratio - 1) * share
