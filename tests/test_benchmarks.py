"""The speed benchmarks: their arithmetic, their relay of fits, and a small run from end to end."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from benchmarks import process
from benchmarks.__main__ import main
from benchmarks.speed import figures, report
from benchmarks.speed.figures import Goal, Line
from benchmarks.speed.relay import Leg, relay, turns

ABOUT = {
    "about": "What it is.",
    "date": "2030-01-02",
    "quick": False,
    "seconds": 7.2,
    "machine": {"CPU": "abacus", "cores": "2"},
}


def test_a_ratio_compares_neighbours_of_a_repetition():
    """2/1, 3/2 and 8/4 have the median 2, although the medians are 3 and 2."""
    line = Line("a", "s", [2.0, 3.0, 8.0], "b", [1.0, 2.0, 4.0])
    assert line.ratios == [2.0, 1.5, 2.0]
    assert line.to_json()["median_ratio"] == 2.0
    assert line.to_json()["median"] == 3.0


def test_times_faster_is_the_inverse_ratio():
    """2 s beside 100 s and 4 s beside 100 s: 50 and 25 times faster."""
    line = Line("a", "s", [2.0, 4.0], "b", [100.0, 100.0], inverse=True)
    assert line.ratios == [50.0, 25.0]


def test_ratios_need_pairs():
    """A repetition without its partner is refused, not paired with another one."""
    with pytest.raises(ValueError, match="zip"):
        figures.ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("values", "lower", "upper"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2.0, 4.0),
        ([4.0, 1.0, 2.0, 3.0], 1.75, 3.25),  # three quarters of the way from 1 to 2, and back
        ([3.0], 3.0, 3.0),
    ],
)
def test_quartiles(values, lower, upper):
    """Interpolated between the values, in whatever order these are."""
    assert figures.quartiles(values) == pytest.approx((lower, upper))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_slope_of_a_power_law_is_its_exponent(power):
    """The points 3 x**b give b."""
    x = [10.0, 30.0, 100.0, 2000.0]
    assert figures.log_slope(x, [3 * a**power for a in x]) == pytest.approx(power, abs=1e-12)


def test_the_slope_is_that_of_least_squares():
    """(1, 1), (10, 1), (100, 100): the logarithms 0, 0, 2 over 0, 1, 2 have the slope 2 / 2."""
    assert figures.log_slope([1.0, 10.0, 100.0], [1.0, 1.0, 100.0]) == pytest.approx(1.0)


def test_noise_below_zero_has_no_slope():
    """A time that noise made negative is left out, and one point alone tells nothing."""
    assert figures.log_slope([1.0, 10.0, 100.0], [-1.0, 2.0, 20.0]) == pytest.approx(1.0)
    assert math.isnan(figures.log_slope([1.0, 10.0], [-1.0, 2.0]))


def test_a_share_of_what_is_beyond_plain():
    """1.5 times plain once in ten updates costs 5 %; faster than plain scales likewise."""
    assert figures.scaled(1.5, 0.1) == pytest.approx(1.05)
    assert figures.scaled(0.9, 0.2) == pytest.approx(0.98)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(2.0), True),
        (Goal(1.9), False),
        (Goal(3.0, "value"), True),
        (Goal(2.9, "value"), False),
        (Goal(2.0, at_least=True), True),
        (Goal(2.1, at_least=True), False),
        (None, None),
    ],
)
def test_a_goal_is_held_against_the_median(goal, met):
    """The ratios have the median 2, the values 3."""
    line = Line("a", "s", [2.0, 3.0, 8.0], "b", [1.0, 2.0, 4.0], goal=goal)
    assert line.is_met is met


def test_what_was_not_measured_meets_no_goal():
    """A line that was left out is neither met nor not met."""
    assert Line("a", "s", goal=Goal(1.0), note="left out").is_met is None


@pytest.mark.parametrize(
    ("values", "unit", "text"),
    [
        ([0.5], "s", "500 ms"),
        ([2.5, 1.5, 2.0], "s", "2.00 s (1.75-2.25)"),
        ([2.5e-6], "s", "2.50 us"),
        ([37.7e6], "bytes", "37.7 MB"),
        ([1.0049], "x", "1.00"),
        ([0.0123], "x", "0.0123"),
        ([1234.5], "records/s", "1234 records/s"),
    ],
)
def test_figures_in_a_cell(values, unit, text):
    """Three digits in a unit that suits; ratios have two decimals, tiny ones three digits."""
    assert report.spread(values, unit) == text


def test_a_table_tells_everything(tmp_path):
    """Machine, date, median, spread, goal and verdict are in the Markdown; all values in JSON."""
    lines = [
        Line("step", "s", [0.2, 0.4], "plain", [0.1, 0.1], goal=Goal(1.02)),
        Line("size", "bytes", [12e6], goal=Goal(20e6, "value")),
        Line("huge", "s", note="left out: needs 9 GB"),
    ]
    report.write(tmp_path, {"steps": report.result(lines, ABOUT)})
    text = (tmp_path / report.MARKDOWN_FILE).read_text()
    assert "### `steps`" in text
    assert "2030-01-02, 7 s; CPU abacus, cores 2." in text
    assert "| step | 300 ms (250-350) | plain | 3.00 (2.50-3.50) | <= 1.02 | **not met** |" in text
    assert "| size | 12.0 MB |  |  | <= 20 MB | met |" in text
    assert "| huge (left out: needs 9 GB) | - |  |  |  |  |" in text
    kept = report.read(tmp_path)
    assert kept["steps"]["lines"][0]["values"] == [0.2, 0.4]
    assert [Line.from_json(line).to_json() for line in kept["steps"]["lines"]] == [
        {**line.to_json(), "values": list(line.values), "base": list(line.base)} for line in lines
    ]


def test_turns_rotate():
    """Each runs once to warm up, once a round from another first one, and once to wind up."""
    assert turns(2, 3) == [0, 1, 0, 1, 1, 0, 0, 1, 0, 1]


class Steps(keras.callbacks.Callback):
    """Notes whose update runs, and in which thread."""

    def __init__(self, name, log):
        super().__init__()
        self.name, self.log = name, log

    def on_train_batch_end(self, batch, logs=None):
        self.log.append((self.name, threading.get_ident()))


def _runner(name, log, updates):
    def fit(leg: Leg) -> None:
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        x = keras.ops.ones((updates, 1))
        model.fit(x, x, batch_size=1, verbose=0, callbacks=[leg, Steps(name, log)])

    return fit


def test_fits_run_in_turn():
    """One update to warm up, two blocks of two in rotated order, one more: one fit at a time."""
    log: list[tuple[str, int]] = []
    times = relay({name: _runner(name, log, 6) for name in "ab"}, warmup=1, block=2, rounds=2)
    assert "".join(name for name, _ in log) == "abaabbbbaaab"
    assert len(set(log)) == 2  # a thread for each
    assert {name: len(blocks) for name, blocks in times.items()} == {"a": 2, "b": 2}
    assert all(seconds > 0 for blocks in times.values() for seconds in blocks)


def test_a_last_block_ends_with_the_fit():
    """Where no further update follows, the end of the fit ends the block."""
    times = relay({"a": _runner("a", [], 5)}, warmup=1, block=2, rounds=2)
    assert len(times["a"]) == 2


def test_too_short_a_fit_is_told():
    """A block that never ended is no figure."""
    with pytest.raises(ValueError, match="too few updates for 2 blocks of 2: a"):
        relay({"a": _runner("a", [], 4)}, warmup=1, block=2, rounds=2)


def test_a_failing_fit_ends_the_relay():
    """Its error comes out, and the others do not wait for ever."""

    def fails(leg: Leg) -> None:
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        relay({"a": _runner("a", [], 6), "b": fails}, warmup=1, block=2, rounds=2)


def test_a_failure_in_another_process_is_told():
    """What it said is in the message."""
    with pytest.raises(process.Failed, match="math domain error"):
        process.apart("math:sqrt", -1)


def test_values_come_back_from_another_process():
    """Arguments and results pass through JSON."""
    assert process.apart("math:gcd", 12, 18) == 6


def test_the_peak_can_be_forgotten():
    """100 MB that came and went count only while they are not forgotten."""
    process.forget_peak()
    block = np.ones(100_000_000, np.uint8)
    del block
    assert process.peak() - process.resident() > 80_000_000
    process.forget_peak()
    assert process.peak() - process.resident() < 20_000_000


def test_a_quick_run_from_the_command_line(tmp_path):
    """The command writes both files, with raw values, medians, machine, and no other suite."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "histogram"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads((tmp_path / report.JSON_FILE).read_text())["suites"]
    assert list(found) == ["histogram"]
    suite = found["histogram"]
    assert suite["quick"]
    assert {"CPU", "cores", "memory", "Python", "TensorFlow", "Keras", "tbwatch"} <= set(
        suite["machine"]
    )
    whats = [line["what"] for line in suite["lines"]]
    assert "100,000: tbwatch's bucket counts" in whats
    assert "100,000: tbwatch's bucket counts, extra peak memory" in whats
    for line in suite["lines"]:
        assert line["values"], line["what"]
        assert all(value >= 0 for value in line["values"])
        assert len(line["base"]) in (0, len(line["values"]))
    table = (tmp_path / report.MARKDOWN_FILE).read_text()
    assert table.count("\n| ") == len(whats) + 1  # and the head
    assert all(what in done.stdout for what in whats)


def test_a_suite_that_fails_keeps_what_it_has(tmp_path, monkeypatch, capsys):
    """The lines before the failure are written, the table says so, and so does the status."""

    def run(options):
        yield Line("before", "s", [1.0])
        raise process.Failed("host:f [1] ended with -9:\nout of memory?")

    monkeypatch.setattr("benchmarks.speed.host.run", run)
    assert main(["--only", "host", "--out", str(tmp_path)]) == 1
    table = (tmp_path / report.MARKDOWN_FILE).read_text()
    assert "| before | 1.00 s |" in table
    assert "| the rest of the suite (stopped: host:f [1] ended with -9:) | - |" in table
    assert "out of memory?" in capsys.readouterr().err


def test_a_process_that_does_not_end_is_a_failure():
    """It is stopped after the given time, and told like any other."""
    with pytest.raises(process.Failed, match=r"took more than 0\.5 s"):
        process.apart("time:sleep", 30, timeout=0.5)


def test_an_unknown_suite_is_refused(capsys):
    """One sentence says what there is."""
    with pytest.raises(SystemExit):
        main(["--only", "stairs"])
    assert "there is no 'stairs'; there are: steps, histogram" in capsys.readouterr().err
