"""The digits that the programs train on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from docs.pictures.program import Digits

COUNT = 4000  # 125 updates to the epoch, in batches of 32
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


sys.path.insert(0, str(EXAMPLES))
try:
    _data: Any = importlib.import_module("_data")
finally:
    sys.path.remove(str(EXAMPLES))
DataError = _data.DataError

__all__ = ["DataError", "digits"]


def digits(file: str | None = None) -> Digits:
    """The first 4000 of MNIST, or as many rendered ones.

    Args:
        file: an `.npz` file as `keras.datasets.mnist` stores it; None renders digits with Pillow.

    Raises:
        DataError: the file cannot be used.
    """
    if file is None:
        images, labels = _data.render_digits(COUNT, seed=0)
    else:
        (images, labels), _ = _data.load_mnist(file)
    scaled = images[:COUNT, ..., None].astype(np.float32) / 255
    return Digits(scaled, labels[:COUNT].astype(np.int64))
