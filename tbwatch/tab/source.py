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
from tbwatch.alerts import Alert
from tbwatch.decoding import alerts_from_text
from tbwatch.histogram import MAGNITUDES
from tbwatch.layout import Layout
from tbwatch.layout_json import layout_from_json
from tbwatch.quantities import ACTIVATION_NAMES, NAMES, RUN_NAMES
from tbwatch.reader import holding_of, joined
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

# More records than any loader keeps.
_ALL = 100_000
# Kinds of histograms as they stand before the name of a variable in a tag.
HISTOGRAM_PREFIXES = ("weights", "biases", "gradients", "updates", "activations")


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
            Head(run, shown_name(run), _last_update(found[run]), *_alerts(texts.get(run, {}))[:2])
            for run in sorted(found, key=natural)
        ]
        return [head_answer(head) for head in heads]

    def run(self, run: str) -> dict[str, Any]:
        """One run: its variables, its quantities, and all alerts.

        Raises:
            NotFoundError: if there is no such run.
        """
        tags = self._tags(run)
        layout, problem = _layout(tags)
        texts = self._read([run], [fmt.ALERTS_TAG, fmt.HOLDING_TAG]).get(run, {})
        alerts, holding, problems = _alerts(texts)
        return run_answer(
            Head(run, shown_name(run), _last_update(tags), alerts, holding),
            layout,
            _held(tags),
            [problem] * bool(problem) + problems,
        )

    def series(self, run: str, quantity: str) -> Series:
        """A quantity over all sampled updates.

        Raises:
            NotFoundError: if there is no such run, or no such quantity in it.
        """
        tags = self._tags(run)
        held = _held(tags)
        if quantity not in held:
            raise errors.NotFoundError(
                f"run {run!r} has no {quantity!r}; it has: {', '.join(held)}"
            )
        if quantity in RUN_NAMES:
            return self._of_run(run, quantity)
        layout, _ = _layout(tags)
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


def shown_name(run: str) -> str:
    """The log directory of a run: records are in a sub-run of it.

    Example:
        >>> shown_name("mnist/run1/tbwatch"), shown_name("tbwatch")
        ('mnist/run1', '.')
    """
    head, _, last = run.replace("\\", "/").rpartition("/")
    return (head or ".") if last == fmt.SUBRUN else run


def _held(tags: Mapping[str, Any]) -> list[str]:
    """Quantities of a run."""
    named = [name for name in (*NAMES, *ACTIVATION_NAMES) if fmt.quantity_tag(name) in tags]
    return [*named, *(RUN_NAMES if fmt.UPDATE_TAG in tags else ())]


def _last_update(tags: Mapping[str, Any]) -> int:
    return max((int(series.max_step) for series in tags.values()), default=0)


def _layout(tags: Mapping[str, Any]) -> tuple[Layout, str]:
    """The watched variables of a run, and what is wrong with them in a sentence."""
    series = tags.get(fmt.UPDATE_TAG) or tags.get(fmt.END_TAG)
    if series is None:
        return Layout(()), "no record of an update could be read yet"
    try:
        data = fmt.decode_metadata(series.plugin_content)
        return layout_from_json(data.get("layout") or {}), ""
    except ValueError as error:
        return Layout(()), str(error)


def _alerts(
    texts: Mapping[str, Sequence[Any]],
) -> tuple[list[Alert], list[Alert], list[str]]:
    """All alerts, one for each cause that holds now, and what could not be read."""
    alerts: list[Alert] = []
    held: list[Alert] | None = None
    problems: list[str] = []
    for tag in (fmt.ALERTS_TAG, fmt.HOLDING_TAG):
        for point in texts.get(tag, ()):
            try:
                found, wrong = alerts_from_text(point.numpy.item())
            except (ValueError, AttributeError) as error:
                problems.append(str(error))
                continue
            problems += wrong
            if tag == fmt.ALERTS_TAG:
                alerts = joined(alerts, found)
            else:
                held = found
    if held is None:
        held = list(holding_of(alerts).values())
    return alerts, held, list(dict.fromkeys(problems))


def _is_floats(array: np.ndarray, columns: int) -> bool:
    return array.shape == (columns,) and array.dtype.kind == "f"
