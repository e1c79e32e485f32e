"""The part of a page that comes from a run: written by the tool, compared by the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.pictures.program import Program

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "alerts"
IMAGES = ROOT / "docs" / "images" / "alerts"
NUMBERS = IMAGES / "alerts.json"
BEGIN = "<!-- From alerts.json; written by python -m docs.pictures. -->"
END = "<!-- End of what is written. -->"


def load() -> dict[str, Any]:
    """What the runs gave, by diagnosis; empty at first."""
    return json.loads(NUMBERS.read_text("utf-8")) if NUMBERS.exists() else {}


def store(entries: Mapping[str, Any]) -> None:
    """Write them in a fixed order, so that a change of one is a change of its lines."""
    NUMBERS.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(sorted(entries.items())), indent=1, allow_nan=False)
    NUMBERS.write_text(text + "\n", "utf-8")


def section(program: Program, entry: Mapping[str, Any]) -> str:
    """The alert and its numbers as Markdown.

    Args:
        program: that was trained.
        entry: of `training.entry`.
    """
    faulty, fixed = entry["runs"]["faulty"], entry["runs"]["fixed"]
    file = program.build.__module__.rpartition(".")[2] + ".py"
    what = (program.build.__doc__ or "").split("\n")[0]
    at = (faulty["at"], fixed["at"])
    when = f"at update {at[0]}" if at[0] == at[1] else f"at update {at[0]} and {at[1]}"
    rows = [
        (f"`{entry['quantity']}` of `{entry['of']}` {when}", "number"),
        *([(f"{program.also.replace('_', ' ')} {when}", "also")] if program.also else []),
        ("loss of the first update", "first_loss"),
        ("mean of the last ten sampled losses", "last_loss"),
    ]
    lines = [
        BEGIN,
        f"The program: {what} It is `{program.diagnosis}` in",
        f"[{file}](../pictures/{file}), trained on {entry['data']}, seed 0.",
        "",
        "```text",
        entry["text"],
        "```",
        "",
        *([f"Later it {' and '.join(entry['changes'])}.", ""] if entry["changes"] else []),
        "| | with the fault | without |",
        "|---|---|---|",
        *(f"| {says} | {shown(faulty[key])} | {shown(fixed[key])} |" for says, key in rows),
        f"| updates | {faulty['updates']} | {fixed['updates']} |",
        f"| alerts | {_listed(faulty['alerts'])} | {_listed(fixed['alerts'])} |",
        END,
    ]
    return "\n".join(lines)


def shown(value: float | str) -> str:
    """A number of three digits, or its name."""
    return value if isinstance(value, str) else f"{value:.3g}"


def _listed(diagnoses: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(diagnoses)) or "none"


def written(page: str) -> str:
    """The part of a page between the two marks, marks included; empty if there is none."""
    _, begin, rest = page.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return begin + inside + end if end else ""


def rewrite(program: Program, entry: Mapping[str, Any]) -> None:
    """Put the section into the page of the diagnosis, if the page has a place for it."""
    page = PAGES / f"{program.diagnosis}.md"
    if not page.exists():
        return
    text = page.read_text("utf-8")
    old = written(text)
    if old:
        page.write_text(text.replace(old, section(program, entry)), "utf-8")
