"""What the tab shows, as plain data, read through TensorBoard's data provider.

The provider knows every kind of storage and loader, and follows runs that are being written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard import errors
from tensorboard.data import provider as tb

from tbwatch import format as fmt
from tbwatch.histogram import MAGNITUDES
from tbwatch.quantities import NAMES, RUN_NAMES
from tbwatch.record import UPDATE_VALUES
from tbwatch.run_files import natural
from tbwatch.tab.answers import (
    NONFINITE_OF,
    Head,
    Series,
    head_answer,
    magnitudes_answer,
    of_run,
    run_answer,
    with_nonfinite,
)
from tbwatch.tab.tags import (
    HISTOGRAM_PREFIXES,
    alerts_in,
    held_in,
    last_update,
    layout_in,
    shown_name,
)

# More records than any loader keeps.
_ALL = 100_000


class Source:
    """Runs of one experiment.

    Args:
        provider: TensorBoard's.
        ctx: of the request.
        experiment: id of the experiment.
    """

    def __init__(self, provider: tb.DataProvider, ctx: Any, experiment: str) -> None:
        self._provider, self._ctx, self._experiment = provider, ctx, experiment

    def runs(self) -> list[dict[str, Any]]:
        """Every run that holds records, with what a list of runs shows of it."""
        found = self._list_tensors()
        texts = self._read(None, [fmt.ALERTS_TAG, fmt.HOLDING_TAG])
        heads = [
            Head(run, shown_name(run), last_update(found[run]), *alerts_in(texts.get(run, {}))[:2])
            for run in sorted(found, key=natural)
        ]
        return [head_answer(head) for head in heads]

    def run(self, run: str) -> dict[str, Any]:
        """One run: its variables, its quantities, and all alerts.

        Raises:
            NotFoundError: if there is no such run.
        """
        tags = self._tags(run)
        layout, problem = layout_in(tags)
        texts = self._read([run], [fmt.ALERTS_TAG, fmt.HOLDING_TAG]).get(run, {})
        alerts, holding, problems = alerts_in(texts)
        return run_answer(
            Head(run, shown_name(run), last_update(tags), alerts, holding),
            layout,
            held_in(tags),
            [problem] * bool(problem) + problems,
        )

    def series(self, run: str, quantity: str) -> Series:
        """A quantity over all sampled updates.

        Raises:
            NotFoundError: if there is no such run, or no such quantity in it.
        """
        tags = self._tags(run)
        held = held_in(tags)
        if quantity not in held:
            raise errors.NotFoundError(
                f"run {run!r} has no {quantity!r}; it has: {', '.join(held)}"
            )
        if quantity in RUN_NAMES:
            return self._of_run(run, quantity)
        layout, _ = layout_in(tags)
        columns = len(layout) if quantity in NAMES else len(layout.activations)
        found = self._columns(run, [quantity], columns)[0]
        if not np.isnan(found.values).any():
            return found
        counts = [name for name in NONFINITE_OF[quantity] if fmt.quantity_tag(name) in tags]
        return with_nonfinite(found, self._columns(run, counts, columns))

    def _of_run(self, run: str, name: str) -> Series:
        points = self._read([run], [fmt.UPDATE_TAG]).get(run, {}).get(fmt.UPDATE_TAG, ())
        kept = [p for p in points if _is_floats(p.numpy, len(UPDATE_VALUES))]
        rows = np.array([p.numpy for p in kept], np.float32).reshape(len(kept), len(UPDATE_VALUES))
        values = of_run({column: rows[:, at] for at, column in enumerate(UPDATE_VALUES)}, name)
        return Series([int(p.step) for p in kept], values, len(points) - len(kept))

    def _columns(self, run: str, quantities: Sequence[str], columns: int) -> list[Series]:
        tags = [fmt.quantity_tag(name) for name in quantities]
        found = self._read([run], tags).get(run, {})
        every = []
        for tag in tags:
            points = found.get(tag, ())
            kept = [p for p in points if _is_floats(p.numpy, columns)]
            values = np.array([p.numpy for p in kept], np.float32).reshape(len(kept), columns)
            every.append(Series([int(p.step) for p in kept], values, len(points) - len(kept)))
        return every

    def histograms(self, run: str, variable: str) -> dict[str, Any]:
        """All histograms of a variable: kind -> steps and rows (left, right, count).

        Raises:
            NotFoundError: if there is no such run.
        """
        self._tags(run)
        tags = [f"{prefix}/{variable}" for prefix in HISTOGRAM_PREFIXES]
        found = self._read([run], tags, plugin="histograms").get(run, {})
        return {
            tag.partition("/")[0]: {
                "steps": [int(point.step) for point in points],
                "rows": [point.numpy.tolist() for point in points],
            }
            for tag, points in found.items()
            if all(point.numpy.ndim == 2 for point in points)
        }

    def magnitudes(self, run: str, variable: str) -> dict[str, Any]:
        """Gradients of a variable by magnitude, at the updates with histograms.

        Raises:
            NotFoundError: if there is no such run.
        """
        series = self._tags(run).get(fmt.MAGNITUDES_TAG)
        if series is None:
            return magnitudes_answer([], [])
        try:
            names = fmt.decode_metadata(series.plugin_content).get("variables", [])
            row = names.index(variable)
        except (ValueError, AttributeError):
            return magnitudes_answer([], [])
        points = self._read([run], [fmt.MAGNITUDES_TAG]).get(run, {}).get(fmt.MAGNITUDES_TAG, ())
        kept = [p for p in points if p.numpy.shape == (len(names), MAGNITUDES)]
        return magnitudes_answer([int(p.step) for p in kept], [p.numpy[row] for p in kept])

    def pictures(self, run: str, layer: str) -> list[int]:
        """Updates at which the kernels of a layer were drawn."""
        return [int(point.step) for point in self._pictures(run, layer)]

    def picture(self, run: str, layer: str, step: int) -> bytes:
        """A picture as PNG.

        Raises:
            NotFoundError: if there is none.
        """
        for point in self._pictures(run, layer):
            if point.step == step and len(point.values) > 2:  # width, height, the picture
                png: bytes = self._provider.read_blob(self._ctx, blob_key=point.values[2].blob_key)
                return png
        raise errors.NotFoundError(f"run {run!r} has no picture of {layer!r} at update {step}")

    def _pictures(self, run: str, layer: str) -> Sequence[Any]:
        self._tags(run)
        tag = f"kernels/{layer}"
        found = self._provider.read_blob_sequences(
            self._ctx,
            experiment_id=self._experiment,
            plugin_name="images",
            downsample=_ALL,
            run_tag_filter=tb.RunTagFilter(runs=[run], tags=[tag]),
        )
        points: Sequence[Any] = found.get(run, {}).get(tag, ())
        return points

    def _tags(self, run: str) -> Mapping[str, Any]:
        found = self._list_tensors()
        if run not in found:
            known = ", ".join(sorted(found)) or "none"
            raise errors.NotFoundError(
                f"there is no run {run!r} with tbwatch records; runs: {known}"
            )
        return found[run]

    def _list_tensors(self) -> Mapping[str, Mapping[str, Any]]:
        found: Mapping[str, Mapping[str, Any]] = self._provider.list_tensors(
            self._ctx, experiment_id=self._experiment, plugin_name=fmt.PLUGIN_NAME
        )
        return found

    def _read(
        self, runs: list[str] | None, tags: list[str], plugin: str = fmt.PLUGIN_NAME
    ) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        found: Mapping[str, Mapping[str, Sequence[Any]]] = self._provider.read_tensors(
            self._ctx,
            experiment_id=self._experiment,
            plugin_name=plugin,
            downsample=_ALL,
            run_tag_filter=tb.RunTagFilter(runs=runs, tags=tags),
        )
        return found


def _is_floats(array: np.ndarray, columns: int) -> bool:
    return array.shape == (columns,) and array.dtype.kind == "f"
