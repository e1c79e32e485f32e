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
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import tbwatch


class Meter(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Prints what the process holds, every so many updates."""

    def __init__(self, log_dir: Path, every: int) -> None:
        super().__init__()
        self.log_dir, self.every = log_dir, every
        self.last = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: D102  Keras does
        if (batch + 1) % self.every and batch != 999:
            return
        files = [path for path in self.log_dir.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        now, since = time.perf_counter(), self.last
        self.last = now
        updates = self.every if batch >= self.every else batch + 1
        print(
            f"| {batch + 1} | {resident():.0f} | {len(os.listdir('/proc/self/fd'))} "
            f"| {len(files)} | {size / 1e6:.1f} | {1e3 * (now - since) / updates:.2f} |",
            flush=True,
        )


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--plain", action="store_true", help="the same without tbwatch")
    options = parser.parse_args(arguments)
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

    def batches():
        while True:
            yield x, x[:, :1]

    with tempfile.TemporaryDirectory() as directory:
        log_dir = Path(directory)
        callbacks: list[keras.callbacks.Callback] = [Meter(log_dir, max(options.samples // 10, 1))]
        if not options.plain:
            callbacks.insert(0, tbwatch.Watch(log_dir, update_freq=1))
        print("| updates | memory, MB | open files | files | size, MB | ms per update |")
        print("|---|---|---|---|---|---|")
        model.fit(batches(), steps_per_epoch=options.samples, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    main()
