"""Throw hostile input at tbwatch, in child processes under real limits of memory and time.

    python -m tests.fuzz --seed 1 --files 100000 --calls 10000

Prints how many inputs were tried, what failed, the slowest one and the peak memory. Exit status 1
if anything failed. A damaged file is made from its number and the seed: `--first N --files 1` tries
number N again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

LIMIT_MIB = 2048  # more than the process has at its beginning
LIMIT_SECONDS = 60


def _limited(memory: int) -> None:
    """The kernel ends this process beyond its time, and refuses memory beyond so many bytes."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _try(number: int, attempt: Callable[[], object], tally: dict, failures: Counter[str]) -> None:
    """One input; what it raised is counted by its kind and place."""
    print(number, flush=True)  # the last one is the culprit if this process is ended
    signal.alarm(tally["seconds"])
    begun = time.perf_counter()
    try:
        attempt()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}"
        failures[f"{text}: {' '.join(str(error)[:100].split())} (first: input {number})"] += 1
    signal.alarm(0)
    taken = time.perf_counter() - begun
    tally["tried"] += 1
    if taken > tally["slowest"][0]:
        tally["slowest"] = (taken, number)


def _child_of_files(given: argparse.Namespace, tally: dict, failures: Counter[str]) -> None:
    from tests.fuzz.reading import try_damaged

    files = [path.read_bytes() for path in sorted(Path(given.work, "corpus").iterdir())]
    folder = Path(given.work, "run")
    folder.mkdir(exist_ok=True)
    _limited(given.memory << 20)
    for number in range(given.first, given.first + given.files):
        _try(number, lambda n=number: try_damaged(n, given.seed, files, folder), tally, failures)


def _child_of_calls(given: argparse.Namespace, tally: dict, failures: Counter[str]) -> None:
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis import given as drawn

    from tests.fuzz.arguments import calls, command_calls, try_call

    os.chdir(tempfile.mkdtemp(dir=given.work))
    _limited(given.memory << 20)
    rules = settings(
        max_examples=given.calls,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @seed(given.seed)
    @rules
    @drawn(calls() | command_calls())
    def run(call: tuple) -> None:
        target, arguments, named = call
        name = getattr(target, "__name__", str(target))
        seen = Counter(failures)
        _try(tally["tried"], lambda: try_call(*call), tally, failures)
        for failure in failures.keys() - seen.keys():
            print(f"{name}{arguments!r:.300} {named!r:.300}\n  {failure}", file=sys.stderr)

    run()


def _child(given: argparse.Namespace) -> None:
    tally: dict = {"tried": 0, "slowest": (0.0, 0), "seconds": given.seconds}
    failures: Counter[str] = Counter()
    (_child_of_files if given.child == "files" else _child_of_calls)(given, tally, failures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**tally, "peak": peak, "failures": dict(failures)}))


def _run(what: str, given: argparse.Namespace, work: str) -> tuple[dict, Counter[str]]:
    """Let a child try everything; one that was ended is followed by another behind its culprit."""
    total: dict = {"tried": 0, "slowest": (0.0, 0), "peak": 0.0}
    failures: Counter[str] = Counter()
    first, left = given.first, given.files if what == "files" else given.calls
    while left > 0:
        count = min(left, given.batch)
        command = [sys.executable, "-m", "tests.fuzz", "--child", what, "--work", work]
        command += ["--first", str(first), "--files", str(count), "--calls", str(count)]
        command += ["--seed", str(given.seed + (first if what == "calls" else 0))]
        command += ["--memory", str(given.memory), "--seconds", str(given.seconds)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        last = child.stdout.splitlines()[-1] if child.stdout else ""
        if child.returncode == 0:
            found = json.loads(last)
            total["tried"] += found["tried"]
            total["slowest"] = max(total["slowest"], tuple(found["slowest"]))
            total["peak"] = max(total["peak"], found["peak"])
            failures.update(found["failures"])
            done = count
        else:
            number = int(last) if last.isdigit() else first
            failures[f"ended with status {child.returncode} at input {number}"] += 1
            done = number - first + 1 if what == "files" else count
            total["tried"] += done
        first, left = first + done, left - done
        print(f"{what}: {total['tried']} tried, {sum(failures.values())} failed", file=sys.stderr)
    return total, failures


def main() -> int:
    """Read the arguments, make the files to begin with, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=10_000, help="damaged event files to read")
    parser.add_argument("--calls", type=int, default=2_000, help="calls of public functions")
    parser.add_argument("--first", type=int, default=0, help="number of the first damaged file")
    parser.add_argument("--batch", type=int, default=5_000, help="inputs for one child process")
    parser.add_argument("--memory", type=int, default=LIMIT_MIB, help="MiB beyond the beginning")
    parser.add_argument("--seconds", type=int, default=LIMIT_SECONDS, help="for one input")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=("files", "calls"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given)
        return 0
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    bad = False
    with tempfile.TemporaryDirectory(prefix="tbwatch_fuzz_") as work:
        subprocess.run([sys.executable, "-m", "tests.fuzz.corpus", work], check=True)
        for what in ("files", "calls"):
            begun = time.monotonic()
            total, failures = _run(what, given, work)
            taken = time.monotonic() - begun
            slowest, number = total["slowest"]
            print(
                f"{what}: {total['tried']} tried in {taken:.0f} s, "
                f"{sum(failures.values())} failed; "
                f"slowest {slowest:.1f} s (input {number}), peak memory {total['peak']:.0f} MiB"
            )
            for failure, count in failures.most_common():
                print(f"  {count} x {failure}")
            bad |= bool(failures)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
