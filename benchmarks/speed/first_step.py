"""What comes before the first update: tracing, the size of the graph, and the memory of all of it.

A fresh process for each fit, the ways in turn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.nets import NETS, Net, deep
from benchmarks.process import apart
from benchmarks.speed.figures import Goal, Line
from benchmarks.speed.options import Options

ABOUT = (
    "A fit of three updates in a process of its own, all of them sampled; quartiles over "
    "repetitions. Peak memory is that of the whole process, TensorFlow included."
)
UPDATES = 3
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "defaults": {},
    "without activations": {"activations": False},
    "without histograms": {"histogram_freq": 0},
}
DEEP = "1000 layers"
# The 1000 layers take minutes each.
REPEATS = {"ResNet50": 3, "MobileNetV2": 3, "ConvNet": 5, "AlexNet": 3, DEEP: 1}


def run(options: Options) -> Iterator[Line]:
    """All lines."""
    for name in ("ConvNet",) if options.quick else REPEATS:
        if not options.takes(name):
            continue
        ways = tuple(WAYS)[:2] if options.quick or name == DEEP else tuple(WAYS)
        repeats = 1 if options.quick else REPEATS[name]
        yield from _of_net(name, ways, repeats)


def _of_net(name: str, ways: tuple[str, ...], repeats: int) -> Iterator[Line]:
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(repeats):
        for place in range(len(ways)):
            way = ways[(place + number) % len(ways)]
            found[way].append(apart("benchmarks.speed.first_step:fit", name, way))
    variables = found["plain"][0]["variables"]
    for what, key, unit in (
        ("first step", "first_step", "s"),
        ("nodes of all graphs", "nodes", ""),
        ("peak memory", "peak", "bytes"),
    ):
        plain = [one[key] for one in found["plain"]]
        for way in ways:
            title = f"{_net(name).title} ({variables:.0f} variables): {what}, {way}"
            values = [one[key] for one in found[way]]
            is_goal = (name, key, way) == ("ResNet50", "first_step", "defaults")
            line = Line(title, unit, values, goal=Goal(1.15) if is_goal else None)
            yield line if way == "plain" else line.with_base("plain", plain)


def _net(name: str) -> Net:
    return deep(1000) if name == DEEP else NETS[name]


def fit(name: str, way: str) -> dict[str, float]:
    """Train in this process."""
    import tbwatch
    from benchmarks.clock import Clock
    from benchmarks.process import peak

    net, clock = _net(name), Clock()
    model = net.compiled()
    with tempfile.TemporaryDirectory() as folder:
        watched = [] if way == "plain" else [tbwatch.Watch(folder, **WAYS[way])]
        model.fit(
            net.batches(),
            steps_per_epoch=UPDATES,
            shuffle=False,
            verbose=0,
            callbacks=[clock, *watched],
        )
    return {
        "first_step": clock.first_step,
        "nodes": float(graph_nodes()),
        "peak": peak(),
        "variables": float(len(model.trainable_variables)),
    }


def graph_nodes() -> int:
    """Nodes of all functions that TensorFlow holds in this process.

    That is the training function, the functions that it calls, and those of the input pipeline,
    which are the same in all ways. TensorFlow has no public name for this.
    """
    from tensorflow.python.eager import context

    held = context.context()
    return sum(len(held.get_function_def(name).node_def) for name in held.list_function_names())
