"""How the cost of a sample grows: with variables, with parameters, and with earlier samples.

A sample's time is that of a sampled update less that of the unsampled one before it, in one fit
that samples every other update. The slope of a straight line through the logarithms tells the
kind of growth: 1 is linear, 0 is none, and small sizes are held down by what a sample always costs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.process import Failed, apart
from benchmarks.speed.figures import Line, log_slope, median
from benchmarks.speed.machine import available_bytes
from benchmarks.speed.options import Options

ABOUT = "What one more sample costs; quartiles over the samples of a fit."

VARIABLES = (10, 30, 100, 300, 1000, 2000)
PARAMETERS = (10_000, 100_000, 10**6, 10**7, 10**8, 3 * 10**8, 10**9)
SAMPLES = (100, 1_000, 10_000, 100_000)
# Weights, what their initializer makes beside them, the copy of tbwatch, and some room.
COPIES = 5
WARMUP = 4
WAYS: dict[str, dict[str, Any]] = {
    "norms": {"update_freq": 2, "histogram_freq": 0, "activations": False},
    "norms and histograms": {
        "update_freq": 2,
        "histogram_update_freq": 2,
        "activations": False,
        "kernels": False,
    },
}


def run(options: Options) -> Iterator[Line]:
    """All lines."""
    quick = options.quick
    pairs = 4 if quick else 12
    ways = tuple(WAYS)[-1:] if quick else tuple(WAYS)
    yield from _along("variables", VARIABLES[:2] if quick else VARIABLES, ways, pairs)
    yield from _along("parameters", PARAMETERS[:2] if quick else PARAMETERS, ways, pairs)
    yield from _samples(SAMPLES[:2] if quick else SAMPLES)


def _along(axis: str, counts: Sequence[int], ways: Sequence[str], pairs: int) -> Iterator[Line]:
    plain: dict[int, float] = {}  # peak memory
    for way in ways:
        reached: list[int] = []
        found: list[dict[str, Any]] = []
        for count in counts:
            what = f"{count:,} {axis}: a sample, {way}"
            need = 4 * COPIES * count
            if axis == "parameters" and available_bytes() < need:
                yield Line(what, "s", note=f"left out: needs {need / 1e9:.0f} GB")
                continue
            try:
                one = apart("benchmarks.speed.growth:fit", axis, count, way, pairs)
            except Failed as error:  # killed, where memory is short
                yield Line(what, "s", note=f"stopped: {error}".splitlines()[0])
                break
            reached.append(count)
            found.append(one)
            yield Line(what, "s", one["samples"])
            if axis == "parameters" and count >= 10**6:
                if count not in plain:
                    alone = apart("benchmarks.speed.growth:fit", axis, count, "plain", pairs)
                    plain[count] = alone["peak"]
                more = one["peak"] - plain[count]
                yield Line(
                    f"{count:,} {axis}: peak memory beyond plain, {way}",
                    "bytes",
                    [more],
                    note=f"{more / count:.1f} bytes for each parameter",
                )
        times = [median(one["samples"]) for one in found]
        yield _slope(f"slope of a sample's time along {axis}, {way}", reached, times)
        upper = len(reached) // 2
        if len(reached) - upper > 1:
            what = f"the same, from {reached[upper]:,} {axis}"
            yield _slope(what, reached[upper:], times[upper:])
        if axis == "variables":
            first = [one["first_step"] for one in found]
            yield Line(f"{reached[-1]:,} {axis}: first step, {way}", "s", first[-1:])
            yield _slope(f"slope of the first step along {axis}, {way}", reached, first)


def _samples(marks: Sequence[int]) -> Iterator[Line]:
    rows = apart("benchmarks.long_run:rows", list(marks))
    since = 0
    for row in rows:
        title = f"samples {since + 1:,} to {row['updates']:,} of a run"
        since = row["updates"]
        yield Line(f"{title}: an update", "s", [row["seconds per update"]])
        yield Line(f"{title}: memory of the process then", "bytes", [row["memory"]])
    updates = [row["updates"] for row in rows]
    # The first stretch holds tracing.
    for what, key in (("time per update", "seconds per update"), ("memory", "memory")):
        values = [row[key] for row in rows]
        yield _slope(f"slope of the {what} along samples", updates[1:], values[1:])
    sizes = [row["size"] for row in rows]
    yield _slope("slope of the run directory's size along samples", updates[1:], sizes[1:])


def _slope(what: str, x: Sequence[float], y: Sequence[float]) -> Line:
    if len(x) < 2:
        return Line(what, "", note="too few points")
    return Line(what, "", [log_slope(x, y)], note="1 is linear, 0 is none")


def fit(axis: str, count: int, way: str, pairs: int) -> dict[str, Any]:
    """Train in this process: seconds of each sample, of the first step, and bytes at most."""
    import keras
    import tensorflow as tf

    import tbwatch
    from benchmarks.clock import Clock
    from benchmarks.process import forget_peak, peak, resident

    x = tf.ones([8, 16])
    layer = _many(count) if axis == "variables" else _large(count)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((16,)), layer])
    model.compile(keras.optimizers.SGD(1e-6), "mse", jit_compile=False)
    data = tf.data.Dataset.from_tensors((x, x)).repeat()
    clock = Clock()
    before = resident()
    forget_peak()
    with tempfile.TemporaryDirectory() as folder:
        watched = [] if way == "plain" else [tbwatch.Watch(folder, **WAYS[way])]
        steps = WARMUP + 2 * pairs + 1  # the last one only ends the one before
        model.fit(
            data, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock, *watched]
        )
    updates = clock.updates[WARMUP:]
    # Updates count from 1: of each pair the second is sampled.
    samples = [second - first for first, second in zip(updates[::2], updates[1::2], strict=True)]
    return {"samples": samples, "first_step": clock.first_step, "peak": peak() - before}


def _many(variables: int) -> Any:
    """A layer of so many matrices of 16 x 16."""
    import keras
    import tensorflow as tf

    class Many(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, shape: object) -> None:
            self.matrices = [
                self.add_weight((16, 16), "glorot_uniform", name=f"w{number}")
                for number in range(variables)
            ]

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return tf.add_n([x @ matrix for matrix in self.matrices])

    return Many()


def _large(parameters: int) -> Any:
    """A layer of one vector, whose forward and backward pass are a single pass over it."""
    import keras
    import tensorflow as tf

    class Large(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, shape: object) -> None:
            self.vector = self.add_weight((parameters,), "random_normal", name="vector")

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return x + 1e-3 * tf.reduce_sum(self.vector)

    return Large()
