"""Hold the alerts of a recorded run against its program's truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.scoreboard_parts.labels import LABELS_OF, labels_of
from benchmarks.scoreboard_parts.peer_common import Fired
from benchmarks.scoreboard_parts.peers import PEERS
from benchmarks.scoreboard_parts.program import Program
from benchmarks.scoreboard_parts.recording import measured
from tbwatch.alerts import Alert
from tbwatch.reader import ReadError, Run, read_run


@dataclasses.dataclass(frozen=True)
class Said:
    """One thing that a tool said of a run: `name` of what, first at update `step`."""

    name: str
    labels: tuple[str, ...]
    step: int
    variables: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Score:
    """What a tool said of one program, held against the truth.

    Attributes:
        said: all of it.
        right: those that name a symptom of the truth.
        wrong: those that name neither a symptom nor something that is also true of the run.
        at_layer: whether a right one names a layer that carries the symptom; None where the truth
            names none.
        main: whether the main symptom is named.
    """

    said: tuple[Said, ...]
    right: tuple[Said, ...]
    wrong: tuple[Said, ...]
    at_layer: bool | None
    main: bool = False


@dataclasses.dataclass(frozen=True)
class Judged:
    """A program, what was measured of it, and the scores of the tools."""

    program: Program
    problem: str  # why it does not count; "" if it does
    ours: Score | None = None
    peers: dict[str, Score] = dataclasses.field(default_factory=dict)
    measured: dict[str, Any] = dataclasses.field(default_factory=dict)


def judge(program: Program, folder: Path) -> Judged:
    """Read a run's event files and judge them anew.

    Args:
        program: with its truth.
        folder: the run's log directory.
    """
    facts = measured(folder)
    try:
        run = read_run(folder)
    except ReadError:
        return Judged(program, "not recorded", measured=facts)
    problem = str(facts.get("not_as_intended") or "")
    if not problem and not program.scored:
        problem = "its symptom is too weak to ask for"
    ours = score(program, [_of_alert(alert) for alert in alerts(run)])
    peers = {
        name: score(program, [_of_fired(fired) for fired in rules(run.records)])
        for name, rules in PEERS.items()
    }
    return Judged(program, problem, ours, peers, facts)


def alerts(run: Run) -> list[Alert]:
    """Warnings and critical alerts that today's rules raise on the run's records."""
    from tbwatch.judging import Panel

    panel = Panel()
    for record in run.records:
        panel.update(record)
    return [
        alert for alert in panel.alerts if alert.state != "cleared" and alert.severity != "info"
    ]


def score(program: Program, said: Sequence[Said]) -> Score:
    """Hold what was said against the truth."""
    true = {*program.labels, *program.acceptable}
    right = tuple(one for one in said if set(one.labels) & set(program.labels))
    wrong = tuple(one for one in said if not set(one.labels) & true)
    at_layer = None
    if program.where:
        named = {part for one in right for name in one.variables for part in name.split("/")}
        at_layer = bool(named & set(program.where))
    main = any(one.labels and program.labels[0] in one.labels for one in right)
    return Score(tuple(said), right, wrong, at_layer, main)


def unmapped(results: Sequence[Judged]) -> list[str]:
    """Diagnoses that were raised and that no label stands for."""
    names = {one.name for result in results if result.ours for one in result.ours.said}
    return sorted(names - set(LABELS_OF))


def _of_alert(alert: Alert) -> Said:
    return Said(alert.diagnosis, labels_of(alert.diagnosis), alert.step, alert.variables)


def _of_fired(fired: Fired) -> Said:
    return Said(fired.rule, fired.labels, fired.step, (fired.variable,))
