"""Where samples lie on the device until the host collects them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tbwatch.activations import ActivationStore
from tbwatch.device_plan import DevicePlan
from tbwatch.groups import state
from tbwatch.histogram_store import HistogramStore
from tbwatch.quantities import COLUMNS
from tbwatch.sample import HISTOGRAM_KINDS, STEP_VALUES, Request, Sample


class SampleStore:
    """The samples of planned updates, each in the slot that the plan has for it.

    Args:
        variables: how many are watched.
        request: what a sample has to hold.
        plan: which updates are sampled.

    Attributes:
        activations: statistics of activations; None if nobody wants any.
        histograms: bucket counts of variables; None if nobody wants any.
        counts_activations: whether there are bucket counts of activations too.
    """

    def __init__(self, variables: int, request: Request, plan: DevicePlan) -> None:
        self._rows = variables
        self._plan = plan
        self._steps = state([plan.slots], tf.int64)
        self._values = state([plan.slots, variables * len(COLUMNS) + len(STEP_VALUES)])
        self._histogram_steps = state([request.histogram_slots], tf.int64)
        unknown = set() if request.updates else {"updates"}
        kinds = [kind for kind in HISTOGRAM_KINDS if kind in request.histograms - unknown]
        room = kinds, variables, request.histogram_slots
        self.histograms = HistogramStore(*room) if kinds else None
        self.counts_activations = "activations" in request.histograms
        room_of_counts = request.histogram_slots * self.counts_activations
        self.activations = (
            ActivationStore(plan.slots, room_of_counts) if request.activations else None
        )

    # -------------------------------------------------------------------- inside the training step

    def store(self, step: tf.Tensor, table: tf.Tensor, values: tf.Tensor) -> None:
        """Store `[variables, len(COLUMNS)]` and the `STEP_VALUES` of an update."""
        slot = self._plan.slot(step)
        row = tf.concat([tf.reshape(table, [-1]), values], axis=0)
        self._values.scatter_nd_update([[slot]], [row])
        self._steps.scatter_nd_update([[slot]], [step])

    def note_histograms(self, step: tf.Tensor, slot: tf.Tensor) -> None:
        """Note that this slot holds the histograms of an update."""
        self._histogram_steps.scatter_nd_update([[slot]], [step])

    # ----------------------------------------------------------------------------------- the host

    def collect(self) -> list[Sample]:
        """Copy what was sampled since the last call, oldest first, and make room."""
        steps = self._steps.numpy()
        if not steps.any():
            return []
        values = self._values.numpy()
        store = self.activations
        by_slot = store.read() if store is not None and store.has_room else None
        histograms = self._collected_histograms(steps)
        samples = []
        for slot in np.flatnonzero(steps):
            table, rest = np.split(values[slot], [self._rows * len(COLUMNS)])
            samples.append(
                Sample(
                    step=int(steps[slot]),
                    table=table.reshape(self._rows, len(COLUMNS)),
                    values=dict(zip(STEP_VALUES, map(float, rest), strict=True)),
                    histograms=histograms.get(int(steps[slot]), {}),
                    activations=by_slot[slot] if by_slot else None,
                    planned=not self._plan.is_spare(int(slot)),
                )
            )
        self._steps.assign(np.zeros_like(steps))
        samples.sort(key=lambda sample: sample.step)
        return samples

    def _collected_histograms(self, steps: Sequence[int]) -> dict[int, dict[str, np.ndarray]]:
        """Bucket counts by update and kind, of those of these updates that have any."""
        if not self._plan.may_have_histograms(map(int, steps)):
            return {}
        taken = self._histogram_steps.numpy()
        by_kind = {} if self.histograms is None else self.histograms.read()
        if self.counts_activations and self.activations and self.activations.has_room:
            by_kind["activations"] = self.activations.read_counts()
        self._histogram_steps.assign(np.zeros_like(taken))
        return {
            int(step): {kind: counts[at] for kind, counts in by_kind.items()}
            for at, step in enumerate(taken)
            if step
        }
