"""`tbwatch summary`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tbwatch.recording import record_of_end
from tbwatch.testing import make_record
from tests import board
from tests import event_files as ef
from tests.command_line import Printed, squeezed, write_documented_runs, write_run


def test_summary_is_a_line_per_variable(tbwatch: Printed, tmp_path: Path) -> None:
    """Norms, ratios and verdict of the last record, in forward order, under a line for the run."""
    write_documented_runs(tmp_path)
    status, out, err = tbwatch("summary", tmp_path / "run1")
    assert (status, err) == (0, [])
    assert out[0] == "run1: update 60 (epoch 1), learning rate 0.001, loss 0.25, 6 records"
    assert [squeezed(line) for line in out[1:]] == [
        "variable weight gradient update update window verdict",
        "norm norm norm ratio change",
        "conv1/kernel 20 0.5 0.02 0.001 0.004 ok",
        "conv1/bias 0.1 0.125 1.25e-05 0.000125 0.000125 ok",
        "dense/kernel 30 0 0 0 0 zero_gradient (critical)",
        "aux/kernel - - - - - not connected",
        "frozen: embedding/table",
        "what is left, the gravest first:",
        "1. critical zero_gradient, since update 10: dense/kernel",
        "gradient_norm is 0.",
        "-> Look for a ReLU that is never active.",
        "Cleared in the meantime: update_too_small (updates 10-50).",
    ]


def test_summary_tells_what_an_update_lacks(tbwatch: Printed, tmp_path: Path) -> None:
    """Non-finite weights, nothing recorded, an unknown rate, and an alert about the loss."""
    layout = ef.layout_json("good", "broken", "silent")
    quantities = {
        "weight_norm": [1, np.nan, np.nan],
        "update_ratio": [np.inf, np.nan, np.nan],
        "weight_nonfinite": [0, 3, np.nan],
    }
    update = ef.DEFAULTS | {"loss": np.nan, "learning_rate": np.nan}
    values = ef.record_values(layout, quantities, update)
    alerts = ef.alerts_value([ef.alert_json(diagnosis="nonfinite", variables=["loss"])])
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(5, values), ef.event(5, [alerts])])
    _, out, _ = tbwatch("summary", tmp_path / "r")
    assert out[0] == "r: update 5 (epoch 0), learning rate unknown, loss nan, 1 record"
    left = out.index("what is left, the gravest first:")
    assert squeezed(out[left + 1]) == "1. critical nonfinite, since update 10: loss"
    assert [squeezed(line) for line in out[3:left]] == [
        "good 1 - - inf - ok",
        "broken - - - - - non-finite weights",
        "silent - - - - - no value",
        "loss - - - - - nonfinite (critical)",
    ]


def test_summary_falls_back_on_the_last_sampled_update(tbwatch: Printed, tmp_path: Path) -> None:
    """A record of the logs alone has no variables to show: those of an earlier one stand in."""
    events = ef.simple_events([10, 20], "a/kernel")
    update = ef.DEFAULTS | {"loss_is_known": 0}
    layout = ef.layout_json("a/kernel")
    events.append(ef.event(27, ef.record_values(layout, {}, ef.DEFAULTS, first=False)))
    ef.write(tmp_path / "r", events)
    _, out, _ = tbwatch("summary", tmp_path / "r")
    assert out[0].endswith("loss 0.25, 3 records, variables as of update 20")
    assert squeezed(out[3]) == "a/kernel - - - 20 - ok"
    events[-1] = ef.event(27, ef.record_values(layout, {}, update))
    ef.write(tmp_path / "r", events)
    assert ", loss unknown, 3 records" in tbwatch("summary", tmp_path / "r")[1][0]


def test_the_record_of_the_end_is_no_later_update(tbwatch: Printed, tmp_path: Path) -> None:
    """A fit ends with a record that repeats the last update: the variables are as of that."""
    records = [make_record(10), make_record(20)]
    board.write_run(tmp_path / "r", [*records, record_of_end(records[-1], 20)])
    assert "variables as of" not in tbwatch("summary", tmp_path / "r")[1][0]


def test_summary_tells_what_was_cleared(tbwatch: Printed, tmp_path: Path) -> None:
    """Also where nothing is left."""
    events = ef.simple_events([10, 20], "a/kernel")
    over = [ef.alert_json(step=10), ef.alert_json(step=20, state="cleared")]
    ef.write(tmp_path / "r", [*events, ef.event(20, [ef.alerts_value(over)])])
    _, out, _ = tbwatch("summary", tmp_path / "r")
    assert "Nothing is left of what was found." in out
    assert any(line.startswith("Cleared in the meantime: ") for line in out)


def test_summary_without_records_shows_the_alerts(tbwatch: Printed, tmp_path: Path) -> None:
    """A loss that was NaN before the first sample leaves an alert and nothing else."""
    alerts = ef.alerts_value([ef.alert_json(diagnosis="nonfinite", variables=["loss"])])
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(1, [alerts])])
    status, out, _ = tbwatch("summary", tmp_path / "r")
    assert status == 0
    assert out[0] == "r: no record could be read"
    assert "loss - - - - - nonfinite (critical)" in map(squeezed, out)
    assert tbwatch("summary", tmp_path / "r", "--json")[0] == 0


def test_summary_as_json_holds_all_quantities(tbwatch: Printed, tmp_path: Path) -> None:
    """Numbers as short as float32 is, null for NaN, "inf" for infinity."""
    layout = ef.layout_json("a", frozen=["f"])
    quantities = {"update_ratio": [1e-3], "decay_cosine": [np.nan], "weight_norm": [np.inf]}
    values = ef.record_values(layout, quantities, ef.DEFAULTS | {"loss": np.nan})
    ef.write(tmp_path / "r", [ef.version_event(), ef.event(5, values)])
    _, out, _ = tbwatch("summary", tmp_path / "r", "--json")
    assert json.loads("\n".join(out), parse_constant=pytest.fail) == {
        "runs": [
            {
                "run": "r",
                "path": str(tmp_path / "r"),
                "records": 1,
                "update": 5,
                "epoch": 0,
                "learning_rate": 0.001,
                "loss": None,
                "loss_is_known": True,
                "frozen": ["f"],
                "sampled_update": 5,
                "variables": [
                    {
                        "name": "a",
                        "shape": [3, 2],
                        "verdict": "ok",
                        "update_ratio": 0.001,
                        "decay_cosine": None,
                        "weight_norm": "inf",
                    }
                ],
                "notes": [],
            }
        ]
    }


def test_runs_of_a_tree_are_called_by_their_path(tbwatch: Printed, tmp_path: Path) -> None:
    """Each has its block; a run by itself has its directory's name, one with runs below it `.`."""
    for name in ("a/run10", "a/run9"):
        write_run(tmp_path / name)
    _, out, _ = tbwatch("summary", tmp_path)
    assert [line.split(":")[0] for line in out if "update 60" in line] == ["a/run9", "a/run10"]
    at = next(line for line, text in enumerate(out) if text.startswith("a/run10"))
    assert [line for line, text in enumerate(out) if not text] == [at - 1]
    for given in ("a/run9", "a/run9/tbwatch"):
        assert tbwatch("summary", tmp_path / given)[1][0].startswith("run9: ")
    write_run(tmp_path / "a")
    _, out, _ = tbwatch("summary", tmp_path / "a")
    heads = [line.split(":")[0] for line in out if "update 60" in line]
    assert heads == [".", "run9", "run10"]
