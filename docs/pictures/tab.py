"""The picture of the tab Training health, inside TensorBoard."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from docs.pictures.shots import TAB_SIZE, Camera

# Runs in the picture: name there, and where it lies.
RUNS = {
    "sigmoids": "vanishing_gradient/faulty",
    "relus": "vanishing_gradient/fixed",
    "normal_init": "weights_too_large/faulty",
    "glorot_init": "weights_too_large/fixed",
    "broken_image": "nonfinite/faulty",
}
NEEDS = list(dict.fromkeys(place.partition("/")[0] for place in RUNS.values()))


def take(runs: Path, file: Path) -> None:
    """Start a TensorBoard on some of the runs and take a picture of the first one.

    Args:
        runs: where they lie.
        file: the PNG.
    """
    from tests import board

    start: Any = board.Server
    with tempfile.TemporaryDirectory() as folder:
        for name, place in RUNS.items():
            shutil.copytree(runs / place, Path(folder) / name)
        server = start(folder, "false")
        try:
            path = "/data/plugin/tbwatch/runs"
            server.wait_for(
                lambda: (
                    sum(bool(run["last_update"]) for run in server.json(path)["runs"]) == len(RUNS)
                )
            )
            with Camera(*TAB_SIZE) as camera:
                camera.tab(server.url, next(iter(RUNS)), file)
        finally:
            server.stop()
