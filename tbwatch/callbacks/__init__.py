"""Keras callbacks: `Watch`, and its parts one by one, to be combined freely."""

from tbwatch.callbacks.histograms import (
    ActivationHistograms,
    GradientHistograms,
    UpdateHistograms,
    WeightHistograms,
)
from tbwatch.callbacks.judge import DeadUpdateDetector
from tbwatch.callbacks.kernel_grid import KernelGrid
from tbwatch.callbacks.norms import GradientNorms
from tbwatch.callbacks.watch import Watch

__all__ = [
    "ActivationHistograms",
    "DeadUpdateDetector",
    "GradientHistograms",
    "GradientNorms",
    "KernelGrid",
    "UpdateHistograms",
    "Watch",
    "WeightHistograms",
]
