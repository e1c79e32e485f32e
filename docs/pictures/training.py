"""Trains a program twice, with its fault and without, and tells what tbwatch said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tbwatch
from docs.pictures.program import Digits, Program
from tbwatch.alerts import Alert
from tbwatch.reader import read_run
from tbwatch.record import Record

RUNS = {"faulty": True, "fixed": False}
CHANGES = {"raised": "was raised again", "worsened": "grew worse", "cleared": "was cleared"}
LAST = 10  # losses behind the last one that is told


def train(program: Program, faulty: bool, digits: Digits, log_dir: Path) -> list[Alert]:
    """Train under `Watch`; returns the alerts.

    Args:
        program: what to train.
        faulty: with its fault, or without.
        digits: data.
        log_dir: the run's directory.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    training = program.build(faulty, digits)
    watch = tbwatch.Watch(log_dir, **training.watch)
    training.model.fit(
        training.x,
        training.y,
        batch_size=training.batch_size,
        epochs=training.epochs,
        verbose=0,
        callbacks=[watch],
    )
    return list(watch.alerts)


def entry(program: Program, log_dir: Path, data: str) -> dict[str, Any]:
    """What the page of a diagnosis tells of the two runs, as plain data.

    Args:
        program: what was trained.
        log_dir: holds a run `faulty` and a run `fixed`.
        data: which digits, in words.

    Raises:
        ValueError: if the alert was not raised, or was raised without the fault too.
    """
    runs = {name: read_run(log_dir / name) for name in RUNS}
    alert = _alert(program.diagnosis, runs["faulty"].alerts)
    if alert is None:
        said = ", ".join(one.diagnosis for one in runs["faulty"].alerts) or "nothing"
        raise ValueError(f"{program.diagnosis}: no such alert; tbwatch said {said}.")
    if _alert(program.diagnosis, runs["fixed"].alerts) is not None:
        raise ValueError(f"{program.diagnosis}: it is raised without the fault, too.")
    row = program.of or alert.variable
    told = [a for a in runs["faulty"].alerts if a.diagnosis == program.diagnosis]
    return {
        "text": str(alert),
        "severity": alert.severity,
        "update": alert.step,
        "changes": [f"{CHANGES[a.state]} at update {a.step}" for a in told[1:]],
        "value": _plain(alert.value),
        "threshold": _plain(alert.threshold),
        "variables": list(alert.variables),
        "data": data,
        "quantity": program.quantity,
        "of": row,
        "runs": {
            name: _numbers(program, row, alert.step, run.records, run.alerts)
            for name, run in runs.items()
        },
    }


def _alert(diagnosis: str, alerts: Sequence[Alert]) -> Alert | None:
    return next((a for a in alerts if a.diagnosis == diagnosis and a.state == "raised"), None)


def _numbers(
    program: Program, row: str, step: int, records: Sequence[Record], alerts: Sequence[Alert]
) -> dict[str, Any]:
    sampled = [record for record in records if record.quantities]
    at = max((r for r in sampled if r.step <= step), key=lambda r: r.step)
    losses = [record.loss for record in sampled]
    also = {"also": _plain(getattr(at, program.also))} if program.also else {}
    return {
        "at": at.step,
        "number": _plain(_value(at, program.quantity, row)),
        **also,
        "updates": records[-1].step,
        "first_loss": _plain(losses[0]),
        "last_loss": _plain(float(np.mean(losses[-LAST:]))),
        "alerts": [a.diagnosis for a in alerts if a.state == "raised"],
    }


def _value(record: Record, quantity: str, row: str) -> float:
    if quantity in record.quantities:
        return float(record.quantity(quantity)[record.layout.names.index(row)])
    labels = [activation.label for activation in record.layout.activations]
    return float(record.activation(quantity)[labels.index(row)])


def _plain(value: float) -> float | str:
    """Four digits; JSON has no NaN and no infinity."""
    return float(f"{value:.4g}") if math.isfinite(value) else str(value)
