"""Watch weights, gradients and updates of a Keras training run.

Example:
    >>> import tbwatch
    >>> model.fit(x, y, callbacks=[tbwatch.Watch("logs/run1")])  # doctest: +SKIP

Importing this package loads neither TensorFlow nor Keras: the names below are loaded on first
use, so that the command line and TensorBoard start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tbwatch._version import __version__

if TYPE_CHECKING:
    from tbwatch.alerts import Alert
    from tbwatch.callbacks import (
        ActivationHistograms,
        DeadUpdateDetector,
        GradientHistograms,
        GradientNorms,
        KernelGrid,
        UpdateHistograms,
        Watch,
        WeightHistograms,
    )
    from tbwatch.kernels import put_kernels_on_grid
    from tbwatch.loops import LoopWatch, attach
    from tbwatch.record import Record

_HOMES = {
    "ActivationHistograms": "callbacks",
    "Alert": "alerts",
    "DeadUpdateDetector": "callbacks",
    "GradientHistograms": "callbacks",
    "GradientNorms": "callbacks",
    "KernelGrid": "callbacks",
    "LoopWatch": "loops",
    "Record": "record",
    "UpdateHistograms": "callbacks",
    "Watch": "callbacks",
    "WeightHistograms": "callbacks",
    "attach": "loops",
    "put_kernels_on_grid": "kernels",
}

__all__ = [
    "ActivationHistograms",
    "Alert",
    "DeadUpdateDetector",
    "GradientHistograms",
    "GradientNorms",
    "KernelGrid",
    "LoopWatch",
    "Record",
    "UpdateHistograms",
    "Watch",
    "WeightHistograms",
    "__version__",
    "attach",
    "put_kernels_on_grid",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tbwatch' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tbwatch.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
