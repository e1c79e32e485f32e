"""All programs of the project itself."""

from __future__ import annotations

from benchmarks.scoreboard_parts import (
    faulty_nets,
    faulty_numbers,
    faulty_paths,
    faulty_steps,
    healthy_hard,
    healthy_layers,
    healthy_models,
    healthy_optimizers,
    healthy_sequences,
    healthy_tasks,
)
from benchmarks.scoreboard_parts.program import Program


def own_programs() -> list[Program]:
    """Healthy ones, then faulty ones; ids are unique."""
    programs = [
        *healthy_optimizers.HEALTHY,
        *healthy_layers.HEALTHY,
        *healthy_sequences.HEALTHY,
        *healthy_models.HEALTHY,
        *healthy_tasks.HEALTHY,
        *healthy_hard.HEALTHY,
        *faulty_steps.FAULTY,
        *faulty_numbers.FAULTY,
        *faulty_nets.FAULTY,
        *faulty_paths.FAULTY,
    ]
    ids = [program.id for program in programs]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise ValueError(f"several programs are called {repeated}.")
    return programs
