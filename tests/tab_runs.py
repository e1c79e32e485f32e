"""Runs that the tab is asked for, one well and one sick, and how its answers are read."""

from __future__ import annotations

import json
import struct
import urllib.error

import numpy as np
import pytest

from tbwatch import kernels, summaries
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert
from tests.board import write_run

ROOT = "/data/plugin/tbwatch"
NAMES = ("conv1/kernel", "conv1/bias", "out/kernel")
UPDATES = 300
LOST_FROM = 250  # update at which the sick run's numbers are lost
UNKNOWN_AT = 7  # update whose loss nobody reported


def records(count=UPDATES, lost_from=None):
    """Ratios that differ in every cell."""
    layout = make_layout(*NAMES)
    for step in range(1, count + 1):
        ratios = 10.0 ** -(np.arange(3) + step / count)
        if lost_from and step >= lost_from:
            lost = {"update_norm": np.nan, "weight_nonfinite": [5.0, 0.0, 5.0], "loss": np.nan}
            yield make_record(step, layout, update_ratio=[np.nan] * 3, **lost)
        else:
            known = step != UNKNOWN_AT
            loss = {"loss": 2.0 / step if known else np.nan, "loss_is_known": known}
            yield make_record(step, layout, update_ratio=ratios, learning_rate=step / 8, **loss)


def pictures(record):
    """Of each 100th update a histogram and a picture."""
    if record.step % 100 == 1:
        counts = np.zeros(4096)
        counts[1016] = record.step  # of 1.0
        yield summaries.histogram("weights/conv1/kernel", counts)
        of_gradients = np.zeros((3, 4096))
        of_gradients[1, [0, 1016]] = [2, 5]
        yield summaries.packed_magnitudes(NAMES, of_gradients)
        grid = kernels.put_kernels_on_grid(np.full((2, 2, 1, 4), record.step, np.float32))
        yield summaries.image("kernels/conv1", kernels.to_png(grid), *grid.shape[:2])


def alert(diagnosis, variable, step, state="raised", severity="warning"):
    named = {"rule": diagnosis, "diagnosis": diagnosis, "variables": (variable,)}
    return make_alert(**named, step=step, state=state, severity=severity)


ALERTS = [
    alert("nonfinite", "conv1/kernel", LOST_FROM, severity="critical"),
    alert("dead_update", "out/kernel", 40),
    alert("dead_update", "out/kernel", 60, state="cleared"),
]


def write_both(top):
    """The well run and the sick one, in a directory each."""
    write_run(top / "healthy", records(), values=pictures)
    write_run(top / "sick", records(lost_from=LOST_FROM), ALERTS)


def unpacked(content):
    """A packed series, by NumPy alone."""
    (length,) = struct.unpack_from("<I", content)
    head = json.loads(content[4 : 4 + length])
    values = np.frombuffer(content, "<f4", offset=4 + length)
    return head, values.reshape(head["rows"], head["columns"])


def series(server, run, quantity):
    return unpacked(server.get(f"{ROOT}/series", run=run, quantity=quantity))


def refused(server, path, **query):
    """Status and sentence of a request that cannot be answered."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.get(f"{ROOT}/{path}", **query)
    return caught.value.code, json.loads(caught.value.read())["error"]


def check_losses(head, losses):
    """Those of the sick run, as they were written."""
    assert head["steps"] == list(range(1, UPDATES + 1))
    assert losses.shape == (UPDATES, 1)
    expected = 2.0 / np.arange(1, LOST_FROM)
    expected[UNKNOWN_AT - 1] = np.nan
    np.testing.assert_allclose(losses[: LOST_FROM - 1, 0], expected, rtol=1e-6)
    assert np.isposinf(losses[LOST_FROM - 1 :]).all(), "reported, and not finite"
