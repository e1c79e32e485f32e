"""What the flight recorder costs at every update, beside plain `fit`, in one run.

    python -m benchmarks.flight_recorder [--repeats 5] [--updates 60]

Each repetition trains plain, watched without sampling anything, and watched with the flight
recorder, in turn; a ratio compares neighbours of the same repetition. Prints medians and ranges.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tbwatch

L = keras.layers
NEVER = 10**9


def convnet() -> tuple[keras.Model, tuple[int, ...], int]:
    """The MNIST ConvNet, and its batch size."""
    layers = [
        L.Input((28, 28, 1)),
        L.Conv2D(32, 5, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(64, 5, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(1024, activation="relu"),
        L.Dense(10),
    ]
    return keras.Sequential(layers), (28, 28, 1), 128


def mlp() -> tuple[keras.Model, tuple[int, ...], int]:
    """Four wide layers and tiny batches: the worst case, since a step is short."""
    hidden = [L.Dense(512, activation="relu") for _ in range(4)]
    return keras.Sequential([L.Input((784,)), *hidden, L.Dense(10)]), (784,), 32


class Clock(keras.callbacks.Callback):
    """Seconds between the beginnings of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def step_time(
    make: Callable[[], tuple[keras.Model, tuple[int, ...], int]], updates: int, flight: int | None
) -> float:
    """Median seconds of an update, the first third left out; plain if `flight` is None."""
    keras.utils.set_random_seed(0)
    model, shape, batch = make()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * updates, *shape)).astype("float32")
    y = rng.integers(0, 10, batch * updates)
    clock = Clock()
    callbacks: list[keras.callbacks.Callback] = [clock]
    with tempfile.TemporaryDirectory() as folder:
        if flight is not None:
            callbacks.append(
                tbwatch.Watch(folder, update_freq=NEVER, histogram_freq=0, flight_recorder=flight)
            )
        model.fit(x, y, batch_size=batch, verbose=0, shuffle=False, callbacks=callbacks)
    steps = np.diff(clock.times)[updates // 3 :]
    return float(np.median(steps))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=60)
    arguments = parser.parse_args()
    print(
        "| net | plain, ms | never sampled / plain | flight recorder / plain |\n|---|---|---|---|"
    )
    for name, make in (("ConvNet, batch 128", convnet), ("MLP 784-512x4-10, batch 32", mlp)):
        rows = [
            [step_time(make, arguments.updates, flight) for flight in (None, 0, 100)]
            for _ in range(arguments.repeats)
        ]
        plain = statistics.median(row[0] for row in rows) * 1e3
        cells = []
        for column in (1, 2):
            ratios = [row[column] / row[0] for row in rows]
            middle = statistics.median(ratios)
            cells.append(f"{middle:.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {name} | {plain:.1f} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
