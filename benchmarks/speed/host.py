"""What happens to a record on the host: judged, written, read again."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.process import apart
from benchmarks.speed.figures import Goal, Line
from benchmarks.speed.options import Options

ABOUT = "Host side: quartiles over records, or over repetitions of a loop."

LAYERS, DEEPEST = (20, 100), 1000  # two variables each
VARIABLES = (20, 200, 2000)
WATCHES: dict[str, dict[str, Any]] = {
    "norms, activations": {"update_freq": 1, "histogram_freq": 0},
    "and all histograms": {"update_freq": 1, "histogram_update_freq": 1, "kernels": False},
}


def run(options: Options) -> Iterator[Line]:
    """All lines."""
    quick = options.quick
    for layers in LAYERS[:1] if quick else LAYERS:
        yield from _record_lines(layers, quick)
    for variables in VARIABLES[:2] if quick else VARIABLES:
        times = apart("benchmarks.speed.host:judging_times", variables, 20 if quick else 200)
        yield Line(f"all detectors, a record of {variables} variables", "s", times)
    yield from _writer_lines(3 if quick else 9, 20 if quick else 200)
    yield from _run_lines(200 if quick else 10_000, 2 if quick else 9)
    yield from _summary_lines(5 if quick else 100, 1 if quick else 5)
    if not quick:  # last, because tracing it takes minutes
        yield from _record_lines(DEEPEST, quick)


def _record_lines(layers: int, quick: bool) -> Iterator[Line]:
    for title, watch in list(WATCHES.items())[-1 if quick else 0 :]:
        times = apart("benchmarks.speed.host:callback_times", layers, watch, 10 if quick else 40)
        what = f"a record of {2 * layers} variables in a fit, from device to file: {title}"
        yield Line(what, "s", times)


def _writer_lines(repeats: int, events: int) -> Iterator[Line]:
    found = apart("benchmarks.speed.host:writer_costs", repeats, events)
    ours, theirs = found["tbwatch"], found["tf.summary"]
    beside = "`tf.summary.scalar`"
    what = f"a scalar, {SCALARS} of them in a record"
    for key, unit, limit in (("seconds", "s", 2e-6), ("bytes", "bytes", 60)):
        line = Line(f"{what}: {key}", unit, ours[key], goal=Goal(limit, "value"))
        yield line.with_base(beside, theirs[key])


def _run_lines(updates: int, repeats: int) -> Iterator[Line]:
    found = apart("benchmarks.speed.host:run_costs", updates, repeats)
    run = f"{updates:,} updates of 20 layers at defaults"
    goal = Goal(20e6, "value") if updates == 10_000 else None
    records = f"{found['records']} records, {found['histograms']} of them with histograms"
    yield Line(f"{run}: run directory", "bytes", [found["bytes"]], goal=goal, note=records)
    yield Line(f"{run}: size of a record", "bytes", [found["bytes"] / found["records"]])
    rates = [found["records"] / seconds for seconds in found["reading"]]
    yield Line(f"{run}: reading", "records/s", rates)


def _summary_lines(runs: int, repeats: int) -> Iterator[Line]:
    found = apart("benchmarks.speed.host:summary_times", runs, repeats)
    yield Line(f"`tbwatch summary` of {runs} runs", "s", found["all"], "one run", found["one"])


def callback_times(layers: int, watch: dict[str, Any], records: int) -> list[float]:
    """Seconds that `Watch` takes at the end of a batch that was sampled: all but the device's."""
    import keras

    import tbwatch
    from benchmarks.nets import deep

    class Stamp(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.times.append(time.perf_counter())

    net, before, after = deep(layers), Stamp(), Stamp()
    warmup = 3
    with tempfile.TemporaryDirectory() as folder, _quiet():
        callbacks = [before, tbwatch.Watch(folder, **watch), after]
        steps = records + warmup
        net.compiled().fit(
            net.batches(), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=callbacks
        )
    pairs = zip(before.times, after.times, strict=True)
    return [end - begin for begin, end in pairs][warmup:]


def judging_times(variables: int, records: int) -> list[float]:
    """Seconds of all detectors for each record of a run that changes a little all the time."""
    import numpy as np

    from tbwatch.judging import Panel
    from tbwatch.layout import WatchedActivation
    from tbwatch.testing import make_layout, make_record

    names = [f"dense_{n}/{kind}" for n in range(variables // 2) for kind in ("kernel", "bias")]
    layers = dict.fromkeys(name.partition("/")[0] for name in names)
    activations = [WatchedActivation(n, n, function="relu", units=64) for n in layers]
    layout, panel = make_layout(*names, activations=activations), Panel()
    rng = np.random.default_rng(0)
    times = []
    for step in range(1, records + 1):
        noise = np.exp(0.1 * rng.normal(size=len(names)))
        changes = {"gradient_norm": 0.1 * noise, "update_ratio": 1e-3 * noise}
        record = make_record(step, layout, loss=1.0 / step, **changes)
        begun = time.perf_counter()
        panel.update(record)
        times.append(time.perf_counter() - begun)
    return times


# Scalars in one Event: what `Watch` writes for 50 variables.
SCALARS = 200


def writer_costs(repeats: int, events: int) -> dict[str, dict[str, list[float]]]:
    """Seconds and bytes of a scalar, ours and TensorFlow's in turn."""
    import tensorflow as tf

    from tbwatch import summaries
    from tbwatch.events import EventWriter

    quantities = ("weight_norm", "gradient_norm", "update_norm", "update_ratio")
    layers = SCALARS // len(quantities) // 2
    names = [f"dense_{n}/{kind}" for n in range(layers) for kind in ("kernel", "bias")]
    tags = [f"{quantity}/{name}" for quantity in quantities for name in names]

    def ours(folder: str) -> None:
        writer = EventWriter(folder)
        for step in range(events):
            values = [summaries.scalar(tag, 0.1 + step) for tag in tags]
            writer.write(step, time.time(), values)
        writer.close()

    def theirs(folder: str) -> None:
        writer = tf.summary.create_file_writer(folder)
        with writer.as_default():
            for step in range(events):
                for tag in tags:
                    tf.summary.scalar(tag, 0.1 + step, step=step)
        writer.close()

    ways: dict[str, Callable[[str], None]] = {"tbwatch": ours, "tf.summary": theirs}
    found: dict[str, dict[str, list[float]]] = {w: {"seconds": [], "bytes": []} for w in ways}
    count = events * len(tags)
    for write in ways.values():
        with tempfile.TemporaryDirectory() as folder:
            write(folder)  # warms up
    for _ in range(repeats):
        for way, write in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                write(folder)
                found[way]["seconds"].append((time.perf_counter() - begun) / count)
                found[way]["bytes"].append(size_of(folder) / count)
    return found


def run_costs(updates: int, repeats: int) -> dict[str, Any]:
    """A run at defaults: what it holds, its size, and how long reading it takes."""
    from tbwatch.reader import read_run

    with tempfile.TemporaryDirectory() as folder:
        make_run(folder, updates)
        reading = []
        for _ in range(repeats):
            begun = time.perf_counter()
            run = read_run(folder)
            reading.append(time.perf_counter() - begun)
        steps, histograms = histogram_steps(folder)
        records = sum(not record.is_last for record in run.records)
        return {
            "bytes": float(size_of(folder)),
            "records": records,
            "events": steps,
            "histograms": histograms,
            "reading": reading,
        }


def make_run(folder: str, updates: int, layers: int = 20, epochs: int = 10) -> None:
    """A run of so many updates in some epochs, at the defaults of `Watch`."""
    import tbwatch
    from benchmarks.nets import deep

    net = deep(layers)
    with _quiet():
        net.compiled().fit(
            net.batches(),
            steps_per_epoch=updates // epochs,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[tbwatch.Watch(folder)],
        )


def histogram_steps(folder: str) -> tuple[int, int]:
    """Events of a run, and how many of them hold histograms."""
    import tensorflow as tf
    from tensorboard.compat.proto.event_pb2 import Event

    events = with_histograms = 0
    for path in Path(folder).rglob("*tfevents*"):
        for record in tf.data.TFRecordDataset(str(path)):
            events += 1
            values = Event.FromString(record.numpy()).summary.value
            with_histograms += any(value.tag.startswith("weights/") for value in values)
    return events, with_histograms


def summary_times(runs: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of the command for many runs of 200 updates, and for one of them."""
    found: dict[str, list[float]] = {"all": [], "one": []}
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "many", "run0")
        make_run(str(first), 200)
        shutil.copytree(first, Path(folder, "one", "run0"))
        for number in range(1, runs):
            shutil.copytree(first, first.with_name(f"run{number}"))
        for _ in range(repeats):
            for name, where in (("all", "many"), ("one", "one")):
                command = [sys.executable, "-m", "tbwatch", "summary", str(Path(folder, where))]
                begun = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                found[name].append(time.perf_counter() - begun)
    return found


def size_of(folder: str) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Alerts about these small nets are not the point."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
