"""The tables: one line for each program, and the totals."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.scoreboard_parts.judged import Judged, Score, judge, unmapped
from benchmarks.scoreboard_parts.peers import PEERS
from benchmarks.scoreboard_parts.program import Program

OURS = "tbwatch"


@dataclasses.dataclass(frozen=True)
class Totals:
    """Counts of one tool over a set of programs."""

    faulty: int
    flagged: int
    right: int
    main: int
    at_layer: int
    with_layer: int
    with_wrong: int
    healthy: int
    alarmed: int


def report(programs: Sequence[Program], out: Path, json_file: Path | None = None) -> str:
    """Judge the recorded programs; returns the tables as Markdown.

    Args:
        programs: with their truth.
        out: the directory that they were recorded into.
        json_file: also gets everything as JSON.
    """
    results = [judge(program, out / program.id) for program in programs]
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(results), indent=1) + "\n")
    return tables(results)


def tables(results: Sequence[Judged]) -> str:
    """Totals, then the programs, then what does not count."""
    counted = [result for result in results if not result.problem]
    lines = ["# Scoreboard", "", *_totals_table(counted, "all programs"), ""]
    for origin in sorted({result.program.origin for result in counted}):
        chosen = [result for result in counted if result.program.origin == origin]
        lines += [*_totals_table(chosen, f"{origin} programs"), ""]
    for healthy, title in ((False, "Faulty programs"), (True, "Healthy programs")):
        lines += [f"## {title}", "", *_program_table(counted, healthy), ""]
    left_out = [result for result in results if result.problem]
    if left_out:
        lines += ["## Left out", "", *_left_out_table(left_out), ""]
    if names := unmapped(results):
        lines += [f"Diagnoses without a label: {', '.join(names)}", ""]
    return "\n".join(lines)


def totals(results: Sequence[Judged], tool: str) -> Totals:
    """Counts of one tool."""
    faulty = [score for r in results if not r.program.healthy and (score := _score(r, tool))]
    healthy = [score for r in results if r.program.healthy and (score := _score(r, tool))]
    layers = [score.at_layer for score in faulty if score.at_layer is not None]
    return Totals(
        faulty=len(faulty),
        flagged=sum(bool(score.said) for score in faulty),
        right=sum(bool(score.right) for score in faulty),
        main=sum(score.main for score in faulty),
        at_layer=sum(layers),
        with_layer=len(layers),
        with_wrong=sum(bool(score.wrong) for score in faulty),
        healthy=len(healthy),
        alarmed=sum(bool(score.wrong) for score in healthy),
    )


def _score(result: Judged, tool: str) -> Score | None:
    return result.ours if tool == OURS else result.peers.get(tool)


def _totals_table(results: Sequence[Judged], title: str) -> list[str]:
    lines = [
        f"| {title} | faulty flagged | right diagnosis | the main one | right layer "
        "| also a wrong one | healthy alarmed |",
        "|---|---|---|---|---|---|---|",
    ]
    for tool in (OURS, *PEERS):
        t = totals(results, tool)
        cells = (
            (t.flagged, t.faulty),
            (t.right, t.faulty),
            (t.main, t.faulty),
            (t.at_layer, t.with_layer),
            (t.with_wrong, t.faulty),
            (t.alarmed, t.healthy),
        )
        lines.append(f"| {tool} | {' | '.join(_share(*cell) for cell in cells)} |")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "-"


def _program_table(results: Sequence[Judged], healthy: bool) -> list[str]:
    head = ["program", "truth", OURS, *PEERS]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for result in results:
        if result.program.healthy != healthy or result.ours is None:
            continue
        truth = ", ".join(result.program.labels) or "healthy"
        if result.program.acceptable:
            truth += f" ({', '.join(result.program.acceptable)})"
        cells = [_said(score, healthy) for score in (result.ours, *result.peers.values())]
        lines.append(f"| {result.program.id} | {truth} | {' | '.join(cells)} |")
    return lines


def _said(score: Score, healthy: bool) -> str:
    """Everything that was said, marked: + right, ! wrong, ~ true but not asked for."""
    if not score.said:
        return "-" if healthy else "missed"
    shown = []
    for one in score.said:
        mark = "+" if one in score.right else "!" if one in score.wrong else "~"
        more = f" and {len(one.variables) - 1} more" if len(one.variables) > 1 else ""
        shown.append(f"{mark}{one.name} at {one.step}: {one.variables[0]}{more}")
    return "; ".join(shown)


def _left_out_table(results: Sequence[Judged]) -> list[str]:
    lines = ["| program | why | tbwatch |", "|---|---|---|"]
    for result in results:
        said = _said(result.ours, result.program.healthy) if result.ours else ""
        lines.append(f"| {result.program.id} | {result.problem} | {said} |")
    return lines


def as_json(results: Sequence[Judged]) -> dict[str, Any]:
    """Everything as plain data."""
    counted = [result for result in results if not result.problem]
    return {
        "totals": {tool: dataclasses.asdict(totals(counted, tool)) for tool in (OURS, *PEERS)},
        "programs": [_plain(result) for result in results],
    }


def _plain(result: Judged) -> dict[str, Any]:
    program = result.program
    scores = {OURS: result.ours, **result.peers}
    return {
        "id": program.id,
        "origin": program.origin,
        "healthy": program.healthy,
        "labels": program.labels,
        "acceptable": program.acceptable,
        "where": program.where,
        "left_out": result.problem,
        "measured": result.measured,
        "tools": {name: dataclasses.asdict(score) for name, score in scores.items() if score},
    }
