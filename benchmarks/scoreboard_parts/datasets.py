"""Data for the programs, made with NumPy: nothing is downloaded."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.scoreboard_parts.program import Array, Data

# An .npz file as keras.datasets.mnist stores it; without it digits are rendered.
MNIST_VARIABLE = "SCOREBOARD_MNIST"
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@functools.cache
def _all_digits() -> tuple[Array, Array]:
    path = os.environ.get(MNIST_VARIABLE)
    if path:
        with np.load(path) as file:
            return file["x_train"][:6000], file["y_train"][:6000]
    sys.path.insert(0, str(_EXAMPLES))
    try:
        examples_data = importlib.import_module("_data")
    finally:
        sys.path.remove(str(_EXAMPLES))
    images, labels = examples_data.render_digits(6000, seed=0)
    return images, labels


@functools.cache
def _digits(count: int, size: int, start: int) -> tuple[Array, Array]:
    images, labels = _all_digits()
    x = images[start : start + count].astype(np.float32) / 255.0
    if size != 28:
        by = 28 // size
        x = x.reshape(len(x), size, by, size, by).mean(axis=(2, 4))
    return x, labels[start : start + count].astype(np.int64)


def digits(
    count: int = 2000,
    size: int = 14,
    flat: bool = True,
    onehot: bool = False,
    scale: float = 1.0,
    start: int = 0,
) -> Callable[[], Data]:
    """Digits `[N, size * size]` or `[N, size, size, 1]`, 0 to `scale`; labels 0 to 9."""

    def load() -> Data:
        x, y = _digits(count, size, start)
        x = (x.reshape(len(x), -1) if flat else x[..., None]) * np.float32(scale)
        return x, np.eye(10, dtype=np.float32)[y] if onehot else y

    return load


def clusters(count: int = 1500, features: int = 8, classes: int = 4, seed: int = 0) -> Data:
    """Gaussian clusters that overlap a little: x `[N, features]`, y integers."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 2.0, (classes, features))
    y = rng.integers(0, classes, count)
    x = centers[y] + rng.normal(0, 1.0, (count, features))
    return x.astype(np.float32), y


def spirals(count: int = 1500, seed: int = 0) -> Data:
    """Two spirals in the plane, one for each class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    t = np.sqrt(rng.uniform(0.05, 1, count)) * 2.5 * np.pi
    x = np.stack([np.cos(t + np.pi * y), np.sin(t + np.pi * y)], 1) * t[:, None] / 3
    return (x + rng.normal(0, 0.1, x.shape)).astype(np.float32), y[:, None].astype(np.float32)


def waves(count: int = 1500, noise: float = 0.1, seed: int = 0) -> Data:
    """Y = sin(3 x0) + x1 x2 + noise, x uniform in -1..1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (count, 3))
    y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + rng.normal(0, noise, (count, 1))
    return x.astype(np.float32), y.astype(np.float32)


def plane(count: int = 1000, features: int = 6, scale: float = 1.0, seed: int = 0) -> Data:
    """A linear target with 10 % noise, multiplied with `scale`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, features))
    y = x @ rng.normal(0, 1, (features, 1)) + rng.normal(0, 0.1, (count, 1))
    return x.astype(np.float32), (scale * y).astype(np.float32)


def series(count: int = 1200, length: int = 20, seed: int = 0) -> Data:
    """Noisy sines of random period; the target is the next value."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 6, (count, 1)) + np.arange(length + 1) * rng.uniform(0.2, 0.5, (count, 1))
    s = np.sin(t) + rng.normal(0, 0.05, t.shape)
    return s[:, :length, None].astype(np.float32), s[:, length:].astype(np.float32)


def sentences(count: int = 2000, words: int = 1000, length: int = 12, seed: int = 0) -> Data:
    """Word numbers with Zipf's frequencies; the class is the sign of the words' summed score."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, words + 1)
    x = rng.choice(words, (count, length), p=share / share.sum())
    score = rng.normal(size=words)[x].sum(1)
    return x.astype(np.int32), (score > np.median(score)).astype(np.float32)[:, None]


def sums(count: int = 1500, length: int = 10, seed: int = 0) -> Data:
    """Sequences whose class is whether their sum is positive."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, length, 1))
    return x.astype(np.float32), (x.sum(1) > 0).astype(np.float32)
