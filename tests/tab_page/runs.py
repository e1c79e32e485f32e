"""Runs that the page is shown with: well, ill, short, and named with markup."""

from __future__ import annotations

import numpy as np

from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert

NAMES = ("conv1/kernel", "conv1/bias", "fc1/kernel", "fc1/bias", "out/kernel", "out/bias")
UPDATES = 200
HOSTILE = "<img src=x onerror=\"window.hacked='yes'\">/kernel"


def ratio(row, step):
    """Different in every cell."""
    return float(10 ** -(2.2 + row / 4 + step / UPDATES))


def healthy(count=UPDATES, names=NAMES, first=1):
    layout = make_layout(*names)
    for step in range(first, first + count):
        ratios = [ratio(row, step) for row in range(len(names))]
        yield make_record(step, layout, update_ratio=ratios)


def frozen():
    """fc1 stands still, and from update 150 on nothing is finite."""
    layout = make_layout(*NAMES)
    for step in range(1, UPDATES + 1):
        ratios = np.array([ratio(row, step) for row in range(6)])
        ratios[2:4] = 1e-12, 1e-5
        if step < 150:
            yield make_record(step, layout, update_ratio=ratios)
        else:
            lost = {"update_ratio": [np.nan] * 6, "weight_nonfinite": [1.0] * 6}
            yield make_record(step, layout, **lost)


def alert(diagnosis, variables, step, severity="critical", **fields):
    named = {"rule": diagnosis, "diagnosis": diagnosis, "variables": variables}
    return make_alert(**named, step=step, severity=severity, first_seen=step, **fields)


ALERTS = [
    alert("dead_update", ("fc1/kernel", "fc1/bias"), 23, message="one update changes nothing"),
    alert("nonfinite", ("loss", *NAMES), 150, message="the loss is nan"),
    alert("update_too_small", ("out/bias",), 40, "warning"),
    alert("update_too_small", ("out/bias",), 60, "warning", state="cleared"),
]
