"""What a report draws besides series: histograms, magnitudes and pictures of a run's files."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.util import tensor_util

from tbwatch import format as fmt
from tbwatch.file_reading import Notes, events_of
from tbwatch.histogram import MAGNITUDES
from tbwatch.run_files import record_files
from tbwatch.tab.answers import magnitudes_answer
from tbwatch.tab.tags import HISTOGRAM_PREFIXES
from tbwatch.tab.thinning import MOST_HISTOGRAMS, MOST_PICTURES, thinned

_PICTURES = "kernels/"

# Tag -> update -> what was written.
_Kept = dict[str, dict[int, Any]]


@dataclasses.dataclass(frozen=True)
class Drawings:
    """What is drawn of one run, as plain data.

    Attributes:
        histograms: variable -> kind -> updates and rows.
        magnitudes: variable -> what `magnitudes_answer` gives.
        pictures: layer -> update -> PNG in base64.
    """

    histograms: dict[str, dict[str, Any]]
    magnitudes: dict[str, Any]
    pictures: dict[str, dict[str, str]]


def drawings_of(path: Path, names: Collection[str]) -> Drawings:
    """The drawings of a run, thinned out.

    Args:
        path: directory of the run.
        names: the variables and activations whose distributions are wanted.
    """
    wanted = {f"{prefix}/{name}" for name in names for prefix in HISTOGRAM_PREFIXES}
    kept: _Kept = {}
    variables: list[str] = []  # of the rows of magnitudes
    latest = 0
    for step, value in _values(path):
        if step < latest:  # trained again from there on, as `read_run` has it
            _forget(kept, step)
        latest = step
        if value.tag == fmt.MAGNITUDES_TAG and value.HasField("metadata"):
            variables = _variables(value.metadata.plugin_data.content)
        content = _content(value, wanted)
        if content is not None:
            kept.setdefault(value.tag, {})[step] = content
    magnitudes = _magnitudes(kept.pop(fmt.MAGNITUDES_TAG, {}), variables)
    return Drawings(
        histograms=_histograms({tag: kept[tag] for tag in kept if tag in wanted}),
        magnitudes={name: found for name, found in magnitudes.items() if name in names},
        pictures={
            tag.removeprefix(_PICTURES): {
                str(step): base64.b64encode(by_step[step]).decode("ascii")
                for step in thinned(by_step, MOST_PICTURES)
            }
            for tag, by_step in kept.items()
            if tag.startswith(_PICTURES)
        },
    )


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    """Every value of every undamaged event of a run, with the number of its update."""
    for file in record_files(path):
        for event, _ in events_of(file, Notes()):  # `read_run` has told what is damaged
            for value in event.summary.value:
                yield event.step, value


def _content(value: Any, wanted: Collection[str]) -> Any:
    """What is drawn of a value; None for nothing."""
    if value.tag.startswith(_PICTURES) and value.HasField("image"):
        return value.image.encoded_image_string
    is_magnitudes = value.tag == fmt.MAGNITUDES_TAG
    if not (is_magnitudes or value.tag in wanted) or not value.HasField("tensor"):
        return None
    found = tensor_util.make_ndarray(value.tensor)
    return found if is_magnitudes or (found.ndim == 2 and found.shape[1] == 3) else None


def _forget(kept: _Kept, step: int) -> None:
    """What was kept from this update on is trained again."""
    for by_step in kept.values():
        for repeated in [old for old in by_step if old >= step]:
            del by_step[repeated]


def _histograms(kept: _Kept) -> dict[str, dict[str, Any]]:
    histograms: dict[str, dict[str, Any]] = {}
    for tag, by_step in kept.items():
        kind, _, name = tag.partition("/")
        steps = thinned(by_step, MOST_HISTOGRAMS)
        rows = [np.float64(by_step[step]).round(9).tolist() for step in steps]
        histograms.setdefault(name, {})[kind] = {"steps": steps, "rows": rows}
    return histograms


def _magnitudes(counts: Mapping[int, np.ndarray], variables: Sequence[str]) -> dict[str, Any]:
    """Those of updates that have the run's last variables."""
    shape = (len(variables), MAGNITUDES)
    steps = thinned((s for s in counts if counts[s].shape == shape), MOST_HISTOGRAMS)
    return {
        name: magnitudes_answer(steps, [counts[step][row] for step in steps])
        for row, name in enumerate(variables)
    }


def _variables(content: bytes) -> list[str]:
    try:
        names = fmt.decode_metadata(content).get("variables")
    except ValueError:
        return []
    return names if isinstance(names, list) else []
