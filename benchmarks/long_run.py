"""A long run, sampled at every update: does anything grow with the number of samples?

    python -m benchmarks.long_run --samples 100000

Prints, ten times on the way, the memory of the process, its open files, the files of the run and
their size, and the time per update. A net of two dense layers, so the samples are nearly all of it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

import tbwatch
from benchmarks.process import resident

Row = dict[str, float]


class Meter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Tells what the process holds, after some of the updates.

    Args:
        log_dir: of the run.
        marks: numbers of these updates.
        tell: gets a row for each.
    """

    def __init__(self, log_dir: Path, marks: Collection[int], tell: Callable[[Row], None]) -> None:
        super().__init__()
        self.log_dir, self.marks, self.tell = log_dir, frozenset(marks), tell
        self.last, self.told = time.perf_counter(), 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: D102  Keras does
        if batch + 1 not in self.marks:
            return
        files = [path for path in self.log_dir.rglob("*") if path.is_file()]
        now = time.perf_counter()
        row = {
            "updates": batch + 1,
            "memory": resident(),
            "open files": len(os.listdir("/proc/self/fd")),
            "files": len(files),
            "size": sum(path.stat().st_size for path in files),
            "seconds per update": (now - self.last) / (batch + 1 - self.told),
        }
        self.last, self.told = now, batch + 1
        self.tell(row)


def train(marks: Collection[int], tell: Callable[[Row], None], plain: bool = False) -> None:
    """Train up to the last of the marks, with a sample of every update unless `plain`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(8, activation="relu", name="a"),
            keras.layers.Dense(1, name="b"),
        ]
    )
    model.compile("sgd", "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            yield x, x[:, :1]

    with tempfile.TemporaryDirectory() as directory:
        log_dir = Path(directory)
        callbacks: list[keras.callbacks.Callback] = [Meter(log_dir, marks, tell)]
        if not plain:
            callbacks.insert(0, tbwatch.Watch(log_dir, update_freq=1))
        model.fit(
            batches(), steps_per_epoch=max(marks), shuffle=False, verbose=0, callbacks=callbacks
        )


def rows(marks: Sequence[int]) -> list[Row]:
    """What `train` tells at these updates."""
    found: list[Row] = []
    train(marks, found.append)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--plain", action="store_true", help="the same without tbwatch")
    options = parser.parse_args(arguments)
    every = max(options.samples // 10, 1)
    marks = {*range(every, options.samples + 1, every), min(1000, options.samples)}
    print("| updates | memory, MB | open files | files | size, MB | ms per update |")
    print("|---|---|---|---|---|---|")
    train(marks, _print, options.plain)


def _print(row: Row) -> None:
    print(
        f"| {row['updates']} | {row['memory'] / 1e6:.0f} | {row['open files']} | {row['files']} "
        f"| {row['size'] / 1e6:.1f} | {1e3 * row['seconds per update']:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
