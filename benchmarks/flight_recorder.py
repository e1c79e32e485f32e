"""What the flight recorder costs at every update, beside plain `fit`, in one run.

    python -m benchmarks.flight_recorder [--rounds 15] [--block 30]

Three fits in turn, a block of updates each: plain, watched without sampling anything, and watched
with the flight recorder. A ratio compares two blocks of the same round. Prints medians and
quartiles.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tbwatch
from benchmarks.nets import NETS, Net
from benchmarks.speed.figures import ratios
from benchmarks.speed.relay import Leg, relay
from benchmarks.speed.report import spread
from benchmarks.speed.steps import NEVER, WARMUP

UPDATES = 100  # that are kept


def fit(net: Net, flight: int | None, updates: int, leg: Leg) -> None:
    """Train plain if `flight` is None, else watched with so many updates kept."""
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [leg]
        if flight is not None:
            watch = tbwatch.Watch(
                folder, update_freq=NEVER, histogram_freq=0, flight_recorder=flight
            )
            callbacks.append(watch)
        net.compiled().fit(
            net.batches(), steps_per_epoch=updates, shuffle=False, verbose=0, callbacks=callbacks
        )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=int, default=30)
    given = parser.parse_args()
    print("| net | plain | never sampled / plain | flight recorder / plain |\n|---|---|---|---|")
    for net in (NETS["ConvNet"], NETS["MLP"]):
        updates = WARMUP + given.block * given.rounds + 1
        ways = {"plain": None, "never": 0, "recorder": UPDATES}
        runners = {way: partial(fit, net, flight, updates) for way, flight in ways.items()}
        times = relay(runners, WARMUP, given.block, given.rounds)
        plain = [seconds / given.block for seconds in times["plain"]]
        cells = [spread(ratios(times[way], times["plain"]), "x") for way in ("never", "recorder")]
        print(f"| {net.title} | {spread(plain, 's')} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
