"""The command line, run in this process or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests import event_files as ef

ROOT = Path(__file__).parents[1]

Printed = Callable[..., tuple[int, list[str], list[str]]]


def process(
    *arguments: object, prelude: str = "", **options: object
) -> subprocess.CompletedProcess:
    """The command line in a fresh interpreter, which then prints the modules it has loaded."""
    program = f"""if True:
        {prelude}
        import sys
        from tbwatch.cli import main
        status = main(sys.argv[1:])
        print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}}))
        sys.exit(status)
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def loaded(finished: subprocess.CompletedProcess) -> set[str]:
    """Top-level modules that the process had loaded at its end."""
    return set(finished.stdout.splitlines()[-1].removeprefix("loaded:").split())


def write_run(
    run: Path, *alerts: dict, steps: range = range(10, 61, 10), names: tuple = ("a/kernel",)
) -> Path:
    """A run with records of some variables and a list of alerts."""
    events = ef.simple_events(steps, *names)
    if alerts:
        events.append(ef.event(steps[-1], [ef.alerts_value(alerts)]))
    return ef.write(run, events)


def squeezed(line: str) -> str:
    """A line with single blanks."""
    return " ".join(line.split())


def write_documented_runs(logs: Path) -> None:
    """The two runs of which the documentation shows the output."""
    slow = ef.alert_json(
        diagnosis="update_too_small",
        severity="warning",
        variables=["conv1/kernel"],
        message="update_ratio is 3e-07.",
        remedy="Raise the learning rate.",
    )
    dead = ef.alert_json(step=40, variables=["dense/kernel", "conv1/bias", "conv1/kernel"])
    layout = ef.layout_json(
        "conv1/kernel",
        "conv1/bias",
        "dense/kernel",
        "aux/kernel",
        connected=["conv1/kernel", "conv1/bias", "dense/kernel"],
        frozen=["embedding/table"],
    )
    quantities = {
        "weight_norm": [20, 0.1, 30, np.nan],
        "gradient_norm": [0.5, 0.125, 0, np.nan],
        "gradient_zero_fraction": [0, 0, 1, np.nan],
        "update_norm": [0.02, 1.25e-5, 0, np.nan],
        "update_ratio": [0.001, 1.25e-4, 0, np.nan],
        "window_change": [0.004, 1.25e-4, 0, np.nan],
        "weight_nonfinite": [0, 0, 0, np.nan],
    }
    events = [ef.version_event()]
    for step in range(10, 61, 10):
        update = ef.DEFAULTS | {"epoch": step // 40}
        values = ef.record_values(layout, quantities, update, first=step == 10)
        events.append(ef.event(step, values))
    cleared = slow | {"state": "cleared", "step": 60, "last_seen": 50}
    late = ef.alert_json(step=60, variables=["dense/kernel"])
    events.append(ef.event(60, [ef.alerts_value([slow, cleared, late])]))
    ef.write(logs / "run1", events)
    write_run(logs / "run10", dead)


def write_documented_flight(run: Path) -> None:
    """A run whose flight recorder kept three updates: number, loss, gradient and weight norms."""
    names = ["conv1/kernel", "fc1/kernel"]
    table = [
        [-2, 1.059, 1.348, 2.01, 1, 1],
        [-1, 0.9312, 1.202, 1.71, 1, 1],
        [0, np.nan, np.nan, np.nan, 1, 1],
    ]
    kept = ef.value(
        "tbwatch/flight", np.array(table, np.float32), ef.metadata("flight", variables=names)
    )
    alerts = ef.alerts_value([ef.alert_json(step=31, diagnosis="nonfinite", variables=["loss"])])
    ef.write(run, [*ef.simple_events([31], *names), ef.event(31, [alerts, kept])])
