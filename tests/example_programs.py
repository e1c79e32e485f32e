"""Examples run as a user runs them, on few digits."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tbwatch
from tests import program

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
TINY_ALEXNET = ["--image", "67", "--width", "0.25", "--steps", "4", "--batch-size", "8"]

sys.path.insert(0, str(EXAMPLES))


def example(name: str) -> Any:
    """The module of an example, or of what examples share."""
    return importlib.import_module(name)


def run(
    script: str,
    *options: str,
    cwd: Path,
    start: Callable[..., subprocess.CompletedProcess[str]] = program.run,
) -> subprocess.CompletedProcess[str]:
    """Runs an example in `cwd`, with the same tbwatch as the tests."""
    home = Path(tbwatch.__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, str(EXAMPLES / script), *options]
    return start(command, cwd=cwd, env={**os.environ, "PYTHONPATH": path})


def small_file(directory: Path) -> str:
    """200 + 100 rendered digits as an .npz file: they load faster than 12000 are drawn."""
    render = importlib.import_module("_data").render_digits
    (x_train, y_train), (x_test, y_test) = render(200, 0), render(100, 1)
    path = directory / "digits.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return str(path)
