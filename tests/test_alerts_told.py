"""An alert is on the disk, once, before anybody is told; who is told may hang or raise."""

from __future__ import annotations

import json
import logging

import pytest

import tbwatch
from tbwatch import sinks
from tbwatch.reader import read_run
from tests.alert_cases import make_alert
from tests.fault_programs import Sick, start, until, warned
from tests.nets import compile_, convnet, fit
from tests.nets import events as all_events


def test_an_alert_is_on_the_disk_before_anybody_is_told(tmp_path):
    """In all directories: whoever is told may hang for ever."""
    found = []

    def look(alert):
        for name in "ab":
            run = read_run(tmp_path / name)
            found.append((run.steps[-1], [(a.step, a.diagnosis) for a in run.alerts]))

    def watch(name):
        return tbwatch.Watch(tmp_path / name, detectors=[Sick(4)], on_alert=look)

    fit(convnet(), watch("a"), watch("b"), updates=6)
    raised, cleared = (4, [(4, "sick")]), (5, [(4, "sick"), (5, "sick")])
    assert found == [raised] * 4 + [cleared] * 4


def test_a_callable_that_hangs_costs_time_and_no_data(tmp_path):
    """The training waits, as for any callback; a kill then loses nothing."""
    before = f"""
from tests.fault_programs import Sick
def hang(alert):
    print(1000, flush=True)
    time.sleep(1000)
Watch = tbwatch.Watch
tbwatch.Watch = lambda *a, **k: Watch({str(tmp_path)!r}, detectors=[Sick(5)], on_alert=hang)
"""
    process = start(tmp_path, before=before)
    assert until(process, 1000) == 1000
    process.kill()
    process.communicate()
    run = read_run(tmp_path)
    assert (run.steps, [alert.step for alert in run.alerts]) == ([1, 2, 3, 4, 5], [5])


def test_a_callable_that_raises_is_told_of_once_and_stops_nothing(tmp_path, caplog):
    """Its message is in the log, and the next alert is told and written all the same."""
    calls = []

    def fails(alert):
        calls.append(alert.step)
        raise OSError("no mail server")

    watch = tbwatch.Watch(tmp_path, detectors=[Sick(3, 6)], on_alert=fails)
    model = convnet()
    fit(model, watch, updates=10)
    assert int(model.optimizer.iterations.numpy()) == 10
    assert calls == [3, 4, 6, 7]
    assert len([m for m in warned(caplog) if "OSError: no mail server" in m]) == 1
    assert [alert.step for alert in read_run(tmp_path).alerts] == calls


class RaisingHandler(logging.Handler):
    """Fails at every line of the log, and counts them."""

    calls = 0

    def emit(self, record):
        self.calls += 1
        raise OSError("the log is gone")


def test_a_log_handler_that_raises_stops_nothing(tmp_path):
    """Nor does it keep the training from being stopped by `stop_on`."""
    handler = RaisingHandler()
    logging.getLogger("tbwatch").addHandler(handler)
    try:
        model, told = convnet(), []
        watch = tbwatch.Watch(
            tmp_path, detectors=[Sick(3)], stop_on={"critical"}, on_alert=told.append
        )
        fit(model, watch, updates=10)
    finally:
        logging.getLogger("tbwatch").removeHandler(handler)
    assert int(model.optimizer.iterations.numpy()) == 3
    assert [(alert.step, alert.state) for alert in told] == [(3, "raised"), (3, "cleared")]


def test_a_graver_alert_stops_too(tmp_path):
    """A critical alert ends what was to end at a warning."""
    model = convnet()
    fit(model, tbwatch.Watch(tmp_path, detectors=[Sick(3)], stop_on={"warning"}), updates=10)
    assert int(model.optimizer.iterations.numpy()) == 3
    light = make_alert(severity="warning", rule="sick", diagnosis="sick")
    assert not sinks.stops(light, frozenset({"critical"}))


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize("frozen", [["conv1"], ["conv1", "fc1", "out"]])
def test_a_log_handler_that_raises_is_not_heard_while_a_step_is_traced(frozen, tmp_path):
    """Nor where a fit ends: it is told of frozen weights, and of a net that is not watched."""
    handler, logger = RaisingHandler(), logging.getLogger("tbwatch")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        model = convnet()
        for name in frozen:
            model.get_layer(name).trainable = False
        watch = tbwatch.Watch(tmp_path)
        fit(compile_(model), watch, updates=5)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert handler.calls
    if len(frozen) == 1:
        assert [record.step for record in read_run(tmp_path).samples] == [1, 2, 3, 4, 5]


def test_an_alert_that_comes_and_goes_costs_the_same_each_time(tmp_path):
    """Its event does not hold all that went before it, and none of them is lost."""
    watch = tbwatch.Watch(
        tmp_path, update_freq=1, histogram_freq=0, detectors=[Sick(*range(1, 400, 2))]
    )
    fit(convnet(), watch, updates=400)
    assert len(watch.alerts) == 400
    assert read_run(tmp_path).alerts == watch.alerts
    sizes = [
        sum(len(value.tensor.string_val[0]) for value in event.summary.value if of_alerts(value))
        for event in all_events(tmp_path)
    ]
    one = max(len(json.dumps(alert.to_json())) for alert in watch.alerts) + 10
    # Each alert once, and the whole list at 33, 66, 132, 264 alerts and at the end.
    assert sum(sizes) < one * (400 + sum(range(33)) + 33 + 66 + 132 + 264 + 400)


def of_alerts(value):
    return value.tag == "tbwatch/alerts" and value.tensor.string_val
