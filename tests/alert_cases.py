"""An alert made by hand, for tests of what is done with alerts."""

from __future__ import annotations

from tbwatch.alerts import Alert

# What an alert about one variable names.
A, B = ("a/kernel",), ("b/kernel",)


def make_alert(**fields) -> Alert:
    """An alert of which the test names what matters."""
    defaults = {
        "rule": "dead_update",
        "diagnosis": "zero_gradient",
        "severity": "warning",
        "state": "raised",
        "variables": ("a/kernel",),
        "message": "It is still.",
        "value": 0.5,
        "threshold": 1e-7,
        "remedy": "Wake it.",
        "step": 30,
        "epoch": 2,
        "first_seen": 10,
        "last_seen": 30,
        "wall_time": 1.5e9,
        "samples": 3,
    }
    return Alert(**{**defaults, **fields})
