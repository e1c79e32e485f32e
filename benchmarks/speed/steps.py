"""The steady time of a training step: plain, watched in several ways, and with what others offer.

Every figure is that of real fits which run in turn, a block of updates each (`relay.py`), and a
ratio compares two blocks of the same round. "Plain again" beside plain is the noise floor.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.nets import NETS
from benchmarks.process import apart
from benchmarks.speed.figures import Goal, Line, median, scaled
from benchmarks.speed.machine import available_bytes
from benchmarks.speed.options import Options

ABOUT = "Seconds per update; quartiles over the rounds of a relay of fits."

NEVER = 10**9
# Late in a run the "auto" schedule samples every so many updates, and "defaults" models that.
STEADY_INTERVAL = 100
WARMUP = 3
MNIST = 60_000


@dataclasses.dataclass(frozen=True)
class Size:
    """How much of a net is measured.

    Attributes:
        interval: "defaults" samples once in so many updates, which are one block.
        block: updates in a block where every update is sampled.
        epoch: updates in an epoch of those that do something once an epoch.
        rounds: of each relay.
        real_epoch: updates in an epoch of the training set that the net stands for.
        peer_memory: bytes that `tf.summary.histogram` needs for its largest variable.
    """

    interval: int
    block: int
    epoch: int
    rounds: int
    real_epoch: int
    peer_memory: float = 1e9


SIZES = {
    "ConvNet": Size(50, 10, 20, 12, MNIST // 128),
    "MLP": Size(100, 25, 100, 25, MNIST // 32),
    "AlexNet": Size(10, 3, 3, 7, MNIST // 32, peer_memory=14e9),
    "ResNet50": Size(10, 5, 5, 9, 50_000 // 16),
}
QUICK = Size(5, 5, 5, 3, MNIST // 32)

# The callbacks of a group run in one relay, each group in a process of its own.
SPARSE = ("plain", "plain again", "never", "defaults")
DENSE = ("plain", "norms", "norms and activations", "everything")
EPOCHS = ("plain", "histograms", "TensorBoard", "tape")

TITLES = {
    "plain again": "plain again: the noise floor",
    "never": "Watch, never sampling",
    "defaults": f"Watch at its defaults, late in a run: norms every {STEADY_INTERVAL}th update",
    "norms": "norms and ratios at every update, no activations",
    "norms and activations": "norms, ratios and activations at every update",
    "everything": "norms, ratios, activations and all histograms at every update",
    "histograms": "Watch, all histograms once an epoch",
    "TensorBoard": "TensorBoard(histogram_freq=1) of Keras: weights once an epoch",
    "tape": "gradients of one batch by hand, once an epoch",
}


def goal_of(net: str, how: str) -> Goal | None:
    """The goal of a line, if it has one."""
    if how == "defaults" and net in ("ConvNet", "MLP", "AlexNet"):
        return Goal(1.02)
    if how == "norms":
        return Goal(1.05)
    if how == "everything" and net == "ConvNet":
        return Goal(1.15)
    return None


def run(options: Options) -> Iterator[Line]:
    """All lines."""
    for net in ("MLP",) if options.quick else SIZES:
        if not options.takes(net):
            continue
        size = QUICK if options.quick else SIZES[net]
        yield from _of_net(net, size, jit_compile=False)
        yield from _once_an_epoch(net, size)
        if net in options.xla and not options.quick:
            yield from _of_net(net, size, jit_compile=True)
    if not options.quick and options.takes("ConvNet"):
        yield _whole_run(repeats=3)


def _of_net(net: str, size: Size, jit_compile: bool) -> Iterator[Line]:
    title = NETS[net].title + (", XLA" if jit_compile else "")
    share = size.interval / STEADY_INTERVAL
    for group, block in ((SPARSE, size.interval), (DENSE, size.block)):
        times = measured(net, group, jit_compile, block, size)
        plain = times.pop("plain")
        if group is SPARSE:
            yield Line(f"{title}: plain", "s", plain)
        for how, values in times.items():
            line = Line(
                f"{title}: {TITLES[how]}", "s", values, "plain", plain, goal=goal_of(net, how)
            )
            if how == "defaults" and share < 1:
                pairs = zip(values, plain, strict=True)
                line = dataclasses.replace(
                    line,
                    values=[p * scaled(v / p, share) for v, p in pairs],
                    note=f"sampled every {size.interval}th update, and {share:g} of what that "
                    "costs counted",
                )
            yield line


def _once_an_epoch(net: str, size: Size) -> Iterator[Line]:
    title = f"{NETS[net].title}, an epoch of {size.real_epoch} updates"
    group: Sequence[str] = EPOCHS
    if available_bytes() < size.peer_memory:
        group = EPOCHS[:2]
    times = measured(net, group, False, size.epoch, size, epochs=True)
    plain = times.pop("plain")
    for how in EPOCHS[1:]:
        if how not in times:
            need = f"needs {size.peer_memory / 1e9:.0f} GB of memory, which are not free"
            yield Line(f"{title}: {TITLES[how]}", "s", note=need)
            continue
        extra = [size.epoch * (a - b) for a, b in zip(times[how], plain, strict=True)]
        base = [size.real_epoch * seconds for seconds in plain]
        values = [seconds + more for seconds, more in zip(base, extra, strict=True)]
        note = f"{median(extra):.3f} s more, measured with epochs of {size.epoch} updates"
        yield Line(f"{title}: {TITLES[how]}", "s", values, "plain", base, note=note)


def _whole_run(repeats: int, epochs: int = 2) -> Line:
    """The default schedule, with all that it does early in a run and at the ends of epochs."""
    steps, block = MNIST // 128, 36  # 2 * 468 updates are 26 blocks
    rounds = epochs * steps // block
    pairs = []
    for _ in range(repeats):
        times = apart(
            "benchmarks.speed.steps:fits", "ConvNet", ("plain", "whole run"), False, 0, block,
            rounds, steps, epochs,
        )  # fmt: skip
        # Tracing is in the first block.
        pairs.append({how: sum(blocks[1:]) for how, blocks in times.items()})
    what = f"{NETS['ConvNet'].title}: Watch at its defaults, {epochs} epochs of {steps} updates"
    plain = [pair["plain"] for pair in pairs]
    note = f"the first {block} updates, with tracing, left out"
    return Line(
        what, "s", [p["whole run"] for p in pairs], "plain", plain, goal=Goal(1.02), note=note
    )


def measured(
    net: str, group: Sequence[str], jit_compile: bool, block: int, size: Size, epochs: bool = False
) -> dict[str, list[float]]:
    """Seconds per update of each block, for the members of a group."""
    warmup, count, per_epoch = WARMUP, 1, WARMUP + block * size.rounds + 1
    if epochs:
        warmup, count, per_epoch = block, size.rounds + 2, block
    arguments = (net, tuple(group), jit_compile, warmup, block, size.rounds, per_epoch, count)
    times = apart("benchmarks.speed.steps:fits", *arguments)
    return {how: [seconds / block for seconds in blocks] for how, blocks in times.items()}


def fits(
    name: str, group: Sequence[str], jit_compile: bool, warmup: int, block: int, rounds: int,
    steps_per_epoch: int, epochs: int,
) -> dict[str, list[float]]:  # fmt: skip
    """A relay of fits in this process: seconds of each block."""
    from benchmarks.speed.relay import Leg, relay

    net = NETS[name]

    def fit(how: str, folder: str, leg: Leg) -> None:
        net.compiled(jit_compile).fit(
            net.batches(),
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[leg, *callbacks(how, net, folder, block)],
        )

    with tempfile.TemporaryDirectory() as folder:
        runners = {
            how: lambda leg, how=how: fit(how, f"{folder}/{how}", leg) for how in group
        }  # fmt: skip
        return relay(runners, warmup, block, rounds)


def callbacks(how: str, net: Any, folder: str, interval: int) -> list[Any]:
    """What is behind a name of the groups."""
    import keras

    import tbwatch
    from benchmarks.speed.peers import TapeHistograms

    def watch(**arguments: Any) -> list[Any]:
        return [tbwatch.Watch(folder, **arguments)]

    if how.startswith("plain"):
        return []
    if how == "never":  # everything is in the graph, and nothing of it is ever run
        return watch(update_freq=NEVER, histogram_update_freq=NEVER)
    if how == "defaults":  # one long epoch: no end of one among the blocks
        return watch(update_freq=interval, histogram_update_freq=NEVER)
    if how == "whole run":
        return watch()
    if how == "norms":
        return watch(update_freq=1, histogram_freq=0, activations=False)
    if how == "norms and activations":
        return watch(update_freq=1, histogram_freq=0)
    if how == "everything":
        return watch(update_freq=1, histogram_update_freq=1, kernels=False)
    if how == "histograms":
        return watch(update_freq="epoch", histogram_update_freq=None, kernels=False)
    if how == "TensorBoard":
        return [keras.callbacks.TensorBoard(folder, histogram_freq=1)]
    if how == "tape":
        return [TapeHistograms(folder, *net.examples())]
    raise ValueError(f"there is no {how!r}.")
