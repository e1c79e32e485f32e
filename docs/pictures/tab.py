"""The pictures of TensorBoard: its charts, and the tab Training health."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.pictures.shots import CHARTS_SIZE, TAB_SIZE, Camera

# Runs in the picture of the tab: name there, and where it lies.
HEALTH = {
    "sigmoids": "vanishing_gradient/faulty",
    "relus": "vanishing_gradient/fixed",
    "normal_init": "weights_too_large/faulty",
    "glorot_init": "weights_too_large/fixed",
    "broken_image": "nonfinite/faulty",
}
# Those in the picture of the charts, with the tags and the number of cards that they have.
OVERVIEW = {"default": "weights_too_large/fixed", "normal": "weights_too_large/faulty"}
TAGS = "(update_ratio|gradient_norm|weights|kernels)/conv1($|/kernel)"
CARDS = 6


def needs(shown: Mapping[str, str]) -> list[str]:
    """The programs whose runs are shown."""
    return list(dict.fromkeys(place.partition("/")[0] for place in shown.values()))


def training_health(runs: Path, file: Path) -> None:
    """Take a picture of the tab, with the first of its runs.

    Args:
        runs: where they lie.
        file: the PNG.
    """
    with _server(runs, HEALTH) as url, Camera(*TAB_SIZE) as camera:
        camera.tab(url, next(iter(HEALTH)), file)


def overview(runs: Path, file: Path) -> None:
    """Take a picture of TensorBoard's own charts of two runs; arguments as above."""
    with _server(runs, OVERVIEW) as url, Camera(*CHARTS_SIZE) as camera:
        camera.charts(url, TAGS, CARDS, file)


@contextlib.contextmanager
def _server(runs: Path, shown: Mapping[str, str]) -> Iterator[str]:
    """The address of a TensorBoard that has read these runs."""
    from tests import board

    start: Any = board.Server
    with tempfile.TemporaryDirectory() as folder:
        for name, place in shown.items():
            shutil.copytree(runs / place, Path(folder) / name)
        server = start(folder, "false")
        try:
            path = "/data/plugin/tbwatch/runs"
            server.wait_for(
                lambda: (
                    sum(bool(run["last_update"]) for run in server.json(path)["runs"]) == len(shown)
                )
            )
            yield server.url
        finally:
            server.stop()
