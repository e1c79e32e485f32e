"""Results as JSON, with every repetition, and as Markdown tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.figures import Line, median, quartiles

FORMAT = 1
JSON_FILE, MARKDOWN_FILE = "speed.json", "speed.md"

Results = dict[str, dict[str, Any]]


def read(out: Path) -> Results:
    """The suites that a directory holds already, by name."""
    file = out / JSON_FILE
    if not file.is_file():
        return {}
    found = json.loads(file.read_text())
    return dict(found["suites"]) if found.get("format") == FORMAT else {}


def result(lines: Sequence[Line], about: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a suite: the circumstances, and its lines."""
    return {**about, "lines": [line.to_json() for line in lines]}


def write(out: Path, results: Results) -> None:
    """Both files."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, "suites": results}, indent=1, default=str)
    (out / JSON_FILE).write_text(text + "\n")
    (out / MARKDOWN_FILE).write_text(markdown(results))


def markdown(results: Results) -> str:
    """A section for each suite: where and when it ran, and its lines."""
    return "\n".join(_section(name, found) for name, found in results.items())


def _section(name: str, found: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    quick = " **A quick run: it shows that the suite works, and little more.**"
    return "\n".join(
        [
            f"### `{name}`",
            "",
            f"{found['about']} {found['date']}, {found['seconds']:.0f} s; {facts}."
            + (quick if found["quick"] else ""),
            "",
            "| what | median | beside | ratio | goal | |",
            "|---|---|---|---|---|---|",
            *[row(Line.from_json(line)) for line in found["lines"]],
            "",
        ]
    )


def row(line: Line) -> str:
    """A line of the table."""
    value = spread(line.values, line.unit) if line.values else "-"
    ratio = spread(line.ratios, "x") if line.ratios else ""
    verdict = {None: "", True: "met", False: "**not met**"}[line.is_met]
    what = f"{line.what} ({line.note})" if line.note else line.what
    cells = [what, value, line.beside, ratio, goal_text(line), verdict]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def goal_text(line: Line) -> str:
    """The goal of a line in a cell of the table."""
    if line.goal is None:
        return ""
    unit = "x" if line.goal.of == "ratio" else line.unit
    return f"{'>=' if line.goal.at_least else '<='} {_number(line.goal.limit, unit)}"


def spread(values: Sequence[float], unit: str) -> str:
    """Median and quartiles, in a unit that suits their size.

    Example:
        >>> spread([0.0012, 0.0010, 0.0014], "s")
        '1.20 ms (1.10-1.30)'
        >>> spread([1.02], "x")
        '1.02'
    """
    middle = median(values)
    factor, unit = _scale(middle, unit)
    digits = _digits(middle * factor)
    if unit == "x" and middle >= 0.1:
        digits = 2
    text = f"{middle * factor:.{digits}f}" + (f" {unit}" if unit not in ("", "x") else "")
    if len(values) > 1:
        lower, upper = quartiles(values)
        text += f" ({lower * factor:.{digits}f}-{upper * factor:.{digits}f})"
    return text


def _number(value: float, unit: str) -> str:
    factor, unit = _scale(value, unit)
    return f"{value * factor:g}" + (f" {unit}" if unit not in ("", "x") else "")


def _scale(value: float, unit: str) -> tuple[float, str]:
    size = abs(value)
    if unit == "s" and size < 1:
        return (1e3, "ms") if size >= 1e-3 else (1e6, "us")
    if unit == "bytes" and size >= 1e3:
        return (1e-6, "MB") if size >= 1e5 else (1e-3, "kB")
    return 1.0, unit


def _digits(value: float) -> int:
    """Decimals that leave three digits."""
    if not math.isfinite(value) or value == 0:
        return 0
    return max(0, 2 - math.floor(math.log10(abs(value))))
