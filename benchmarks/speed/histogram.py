"""The histogram of one tensor: tbwatch's bucket counts beside what else counts buckets.

Times: all ways in turn in one process for each size. Memory: a fresh process for each way and size,
the peak during the call less what the process held before it.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.process import apart, forget_peak, peak, resident
from benchmarks.speed.figures import Goal, Line
from benchmarks.speed.machine import available_bytes
from benchmarks.speed.options import Options

ABOUT = "One histogram of N(0, 1) float32; seconds per call, quartiles over rounds."

FC6 = 37_748_736  # elements of the largest matrix of AlexNet
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, FC6, 100_000_000)
QUICK_SIZES = (1_000, 100_000)
# Below, what TensorFlow allocates once for a function hides the rest.
LEAST_FOR_MEMORY = 1_000_000
# tf.summary.histogram makes a float64 one-hot vector of its 30 buckets for each element.
SUMMARY_BYTES = 240
# What is shorter is repeated until it takes so long.
LEAST_SECONDS = 0.05
SUMMARY = "tf.summary.histogram"
FLOOR = "reduce_sum"

TITLES = {
    FLOOR: "one `tf.reduce_sum`",
    "tbwatch": "tbwatch's bucket counts",
    "tbwatch, XLA": "tbwatch's bucket counts, XLA",
    "np.histogram": "`np.histogram`, 30 bins",
    "fixed width": "`tf.histogram_fixed_width` after minimum and maximum",
    SUMMARY: "`tf.summary.histogram`",
}


def run(options: Options) -> Iterator[Line]:
    """All lines."""
    for size in QUICK_SIZES if options.quick else SIZES:
        ways = [way for way in TITLES if way != SUMMARY or _has_room(size)]
        times = apart("benchmarks.speed.histogram:times", size, ways, 3 if options.quick else 9)
        yield from _times_of(size, times)
    for size in QUICK_SIZES[-1:] if options.quick else SIZES:
        if size < LEAST_FOR_MEMORY and not options.quick:
            continue
        for way in ("tbwatch",) if options.quick else TITLES:
            if way != SUMMARY or _has_room(size):
                extra = apart("benchmarks.speed.histogram:extra_memory", size, way)
                goal = Goal(16e6, "value") if (size, way) == (FC6, "tbwatch") else None
                what = f"{_count(size)}: {TITLES[way]}, extra peak memory"
                yield Line(what, "bytes", [extra], goal=goal)


def _times_of(size: int, times: dict[str, list[float]]) -> Iterator[Line]:
    for way, title in TITLES.items():
        what = f"{_count(size)}: {title}"
        if way not in times:
            need = f"left out: needs {SUMMARY_BYTES * size / 1e9:.0f} GB"
            yield Line(what, "s", note=need)
            continue
        goal = Goal(2.5) if (size, way) == (FC6, "tbwatch") else None
        line = Line(what, "s", times[way], goal=goal)
        yield line if way == FLOOR else line.with_base("`reduce_sum`", times[FLOOR])
    if SUMMARY in times:
        goal = Goal(50, at_least=True) if size == FC6 else None
        what = f"{_count(size)}: {TITLES['tbwatch']}, times faster"
        line = Line(what, "s", times["tbwatch"], inverse=True, goal=goal)
        yield line.with_base(TITLES[SUMMARY], times[SUMMARY])


def times(size: int, ways: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, the ways in turn, in an order that is rotated."""
    x = _data(size)
    found: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        calls = {way: _call(way, folder, size) for way in ways}
        for call in calls.values():
            call(x)
        for number in range(rounds):
            for place in range(len(ways)):
                way = ways[(place + number) % len(ways)]
                found[way].append(_seconds(calls[way], x))
    return found


def _seconds(call: Callable[[Any], object], x: Any) -> float:
    """Of one call; short ones are repeated."""
    begun = time.perf_counter()
    for number in itertools.count(1):
        call(x)
        elapsed = time.perf_counter() - begun
        if elapsed >= LEAST_SECONDS:
            return elapsed / number
    raise AssertionError("the count never ends")


def extra_memory(size: int, way: str) -> float:
    """Bytes beyond what the process held before, at most, in three calls."""
    with tempfile.TemporaryDirectory() as folder:
        _call(way, folder, 100)(_data(100))  # loads libraries
        call, x = _call(way, folder, size), _data(size)
        before = resident()
        forget_peak()
        for _ in range(3):
            call(x)
        return peak() - before


def _data(size: int) -> Any:
    import numpy as np
    import tensorflow as tf

    x = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    return tf.constant(x)


def _call(way: str, folder: str, size: int) -> Callable[[Any], object]:
    """One of the ways: takes a tensor of this size, waits until its counts are there."""
    import numpy as np
    import tensorflow as tf

    from tbwatch.reductions import Blocks, Flat, is_large
    from tbwatch.statistics import bucket_counts

    def counted(x: tf.Tensor) -> tf.Tensor:
        return bucket_counts(Blocks() if is_large(size) else Flat(), x)

    vector = tf.TensorSpec([None], tf.float32)

    def function(of: Callable[[Any], Any], jit_compile: bool = False) -> Callable[[Any], object]:
        compiled = tf.function(of, input_signature=[vector], jit_compile=jit_compile)
        return lambda x: compiled(x).numpy()

    if way == FLOOR:
        return function(tf.reduce_sum)
    if way.startswith("tbwatch"):
        return function(counted, jit_compile=way.endswith("XLA"))
    if way == "np.histogram":
        return lambda x: np.histogram(x.numpy(), bins=30)
    if way == "fixed width":
        return function(
            lambda x: tf.histogram_fixed_width(x, [tf.reduce_min(x), tf.reduce_max(x)], 30)
        )
    writer = tf.summary.create_file_writer(folder)

    def summary(x: tf.Tensor) -> tf.Tensor:
        with writer.as_default(step=0):
            return tf.summary.histogram("x", x)

    return function(summary)


def _has_room(size: int) -> bool:
    return 1.3 * SUMMARY_BYTES * size < available_bytes()


def _count(size: int) -> str:
    return f"{size / 1e6:.3g} M" if size >= 1e6 else f"{size:,}"
