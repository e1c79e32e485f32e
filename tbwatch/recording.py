"""From what is known of an update to a record: sampled, told by the logs, or the end of all."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tbwatch.layout import Layout, WatchedActivation
from tbwatch.quantities import derive, derive_activations
from tbwatch.record import Record
from tbwatch.sample import Sample
from tbwatch.units import UnitStreaks


def to_record(
    sample: Sample,
    layout: Layout,
    *,
    epoch: int,
    logs: Mapping[str, float],
    judged: bool,
    is_first_sample: bool,
    streaks_of: Callable[[WatchedActivation], UnitStreaks],
) -> Record:
    """The record of a sample.

    Args:
        sample: what the step stored.
        layout: the variables and activations of its rows.
        epoch: of the update.
        logs: numbers of the batch, if they are those of this update.
        judged: whether detectors may judge it.
        is_first_sample: whether there is no sample before it.
        streaks_of: gives what the units of an activation did before; takes in this update.
    """
    values = sample.values
    loss, loss_is_known = values["loss"], bool(values["loss_is_known"])
    if not loss_is_known and "loss" in logs:
        loss, loss_is_known = logs["loss"], True
    quantities = derive(sample.table, layout)
    if is_first_sample:
        # The copy that it was compared with is empty.
        quantities["window_change"][:] = np.nan
    found, activations = sample.activations, {}
    if found is not None:
        streaks = [streaks_of(activation) for activation in layout.activations]
        activations = derive_activations(found.table, found.largest, found.saturated, streaks)
    return Record(
        step=sample.step,
        wall_time=time.time(),
        layout=layout,
        quantities=quantities,
        epoch=epoch,
        learning_rate=values["learning_rate"],
        loss=loss,
        loss_is_known=loss_is_known,
        global_gradient_norm=values["global_gradient_norm"],
        loss_scale=values["loss_scale"],
        judged=judged,
        logs=logs,
        activations=activations,
    )


def record_of_logs(step: int, layout: Layout, epoch: int, logs: Mapping[str, float]) -> Record:
    """The record of an update of which the logs are known, and nothing else."""
    return Record(
        step=step,
        wall_time=time.time(),
        layout=layout,
        quantities={},
        epoch=epoch,
        loss=logs["loss"],
        loss_is_known=True,
        logs=logs,
    )


def record_of_end(last: Record, updates_done: int) -> Record:
    """The record that ends a fit, after the last one of an update."""
    return dataclasses.replace(
        last,
        step=max(updates_done, last.step),
        wall_time=time.time(),
        quantities={},
        activations={},
        is_last=True,
    )


def numbers_of(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Those logs that are numbers, as floats."""
    numbers = {}
    for name, value in (logs or {}).items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            continue
    return numbers
