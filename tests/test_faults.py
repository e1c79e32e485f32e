"""Faults from outside end no run and lose nothing that was written: real processes and disks."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tbwatch
from tbwatch import events, run_writer
from tbwatch.alerts import Finding
from tbwatch.reader import read_run
from tests.nets import compile_, convnet, fit
from tests.nets import events as all_events
from tests.program import Program
from tests.test_disk import _At as At
from tests.test_disk import _said as said

# A fit that prints each update that is done, and takes a little time for each.
TRAINING = """
import os, sys, time
import keras, tbwatch
from tests.nets import convnet, fit
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep({pause})
        print(batch + 1, flush=True)
{before}
fit(convnet(), *[tbwatch.Watch({log_dir!r}, update_freq=1)][:{watched}], Slow(), updates={updates})
{after}
"""


def start(log_dir, pause=0.02, updates=2000, before="", after="", watched=1):
    """A training process."""
    code = TRAINING.format(
        log_dir=str(log_dir),
        pause=pause,
        updates=updates,
        before=before,
        after=after,
        watched=watched,
    )
    return Program(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(process, update):
    """Wait for an update; returns its number."""
    done = 0
    for line in process.stdout:
        done = int(line)
        if done >= update:
            break
    return done


def by_tensorboard(log_dir, tag="training/loss"):
    """Steps of a curve as TensorBoard's own reader finds them."""
    accumulator = EventAccumulator(str(Path(log_dir) / "tbwatch"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [point.step for point in accumulator.Scalars(tag)]


def sampled(run):
    """Steps of the samples: the record that ends a fit repeats the last one."""
    return [record.step for record in run.records if not record.is_last]


class Sick:
    """A detector that finds something at given updates."""

    name = "sick"

    def __init__(self, *steps, diagnosis="sick"):
        self.steps, self.diagnosis = set(steps), diagnosis

    def reset(self):
        pass

    def update(self, record):
        if record.step not in self.steps or record.is_last:
            return []
        return [
            Finding(self.name, self.diagnosis, "critical", "loss", "It is ill.", 1.0, 0.0, "Rest.")
        ]


# ------------------------------------------------------------------------------ ends of a process


def test_killed_at_any_moment(tmp_path):
    """Several `kill -9`: a series without gaps, for our reader and for TensorBoard's."""
    rng = random.Random(5)
    for number in range(2):
        process = start(tmp_path / str(number), pause=0.0)
        until(process, rng.randrange(10, 400))
        time.sleep(rng.random())
        process.kill()
        process.communicate()
        run = read_run(tmp_path / str(number))
        assert [r.step for r in run.records] == list(range(1, len(run.records) + 1))
        steps = by_tensorboard(tmp_path / str(number))
        assert steps == list(range(1, len(steps) + 1))
        # A record that is cut off after its values is cut off for both.
        assert len(steps) == len(run.records)


def test_what_waits_is_on_the_disk_after_two_seconds(tmp_path):
    """Also where the next sample is far away, as in the wide gaps of a long run."""
    seen = []
    look = At(7, lambda: (time.sleep(events.FLUSH_SECONDS), None))
    look_again = At(8, lambda: seen.extend(r.step for r in read_run(tmp_path).records))
    watch = tbwatch.Watch(tmp_path, update_freq=4, histogram_freq=0)
    fit(convnet(), watch, look, look_again, updates=12)
    assert seen == [4, 8]


def test_a_validation_begins_with_everything_on_the_disk(tmp_path):
    """It may take hours, and memory: what comes before it is safe."""
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append([r.step for r in read_run(tmp_path).records])

    data = (np.zeros((8, 8, 8, 1), "float32"), np.zeros(8, int))
    fit(convnet(), tbwatch.Watch(tmp_path), Look(), updates=5, validation_data=data)
    assert seen == [[1, 2, 3, 4, 5]]


def test_ctrl_c_loses_nothing(tmp_path):
    """All records are there, and the exit is the same as without tbwatch."""
    endings = []
    for watched in (1, 0):
        process = start(tmp_path, watched=watched)
        done = until(process, 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        if watched:
            steps = read_run(tmp_path).steps
            assert steps == list(range(1, len(steps) + 1))
            assert steps[-1] >= int((out.split() or [done])[-1])
        endings.append((process.returncode, err.strip().splitlines()[-1]))
    assert endings[0] == endings[1]
    assert endings[0][1] == "KeyboardInterrupt"


def test_sigterm_loses_two_seconds_at_most(tmp_path):
    """As schedulers send it: the process ends at once, and what was flushed is there."""
    process = start(tmp_path, pause=0.03)
    done = until(process, 120)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    steps = read_run(tmp_path).steps
    assert steps == list(range(1, len(steps) + 1))
    # At 0.03 s per update or more, 2 s are 67 updates.
    assert int((out.split() or [done])[-1]) - steps[-1] <= 70


def test_a_scheduler_that_terms_loses_nothing_if_the_program_exits(tmp_path):
    """What the documentation tells to write turns SIGTERM into an orderly exit."""
    before = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"
    process = start(tmp_path, before=before)
    done = until(process, 60)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert read_run(tmp_path).steps[-1] >= int((out.split() or [done])[-1])


def test_an_exception_in_another_callback(tmp_path):
    """It goes through as it is; what was recorded is there when the process ends."""
    process = start(
        tmp_path,
        before="""
class Fails(Slow):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if batch == 29:
            raise ZeroDivisionError("mine")
Slow = Fails
""",
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.strip().endswith("ZeroDivisionError: mine")
    assert read_run(tmp_path).steps == list(range(1, 31))


# --------------------------------------------------------------------------------- user's callable


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
from tests.test_faults import Sick
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
    assert len([m for m in said(caplog) if "OSError: no mail server" in m]) == 1
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


# --------------------------------------------------------------------------------------- the disk


@contextlib.contextmanager
def mounted(at: Path, *options: str):
    """A small file system, unmounted at the end."""
    at.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(at)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], capture_output=True, check=False)


def test_an_alert_that_a_full_disk_did_not_take_is_written_later(tmp_path, caplog, monkeypatch):
    """Once there is room again, and not only at the end of the fit."""
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    found = []
    with mounted(tmp_path / "small", "-o", "size=192k") as disk:
        filler, log_dir = disk / "filler", disk / "run1"
        fill = At(9, lambda: filler.write_bytes(b"x" * room(disk)))
        free = At(39, filler.unlink)
        look = At(45, lambda: found.extend(read_run(log_dir).alerts))
        watch = tbwatch.Watch(
            log_dir, update_freq=1, histogram_freq=0, detectors=[Sick(20, diagnosis="ill")]
        )
        fit(convnet(), watch, fill, free, look, updates=48)
        assert [(a.step, a.state) for a in found] == [(20, "raised"), (21, "cleared")]
        assert [a.step for a in watch.alerts] == [20, 21]
        run = read_run(log_dir)
        assert [(a.step, a.state) for a in run.alerts] == [(20, "raised"), (21, "cleared")]
        assert run.steps[-1] == 48
        assert len([m for m in said(caplog) if "writing into" in m]) == 1


def room(disk):
    """Bytes that are free, in whole pages."""
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


def test_full_from_the_start_keeps_alerts_in_memory(tmp_path, caplog, monkeypatch):
    """What could not be written was told and is in `watch.alerts`; no file is left open."""
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    with mounted(tmp_path / "small", "-o", "size=64k") as disk:
        (disk / "run1" / "tbwatch").mkdir(parents=True)
        (disk / "filler").write_bytes(b"x" * 64 * 1024)
        before = len(os.listdir("/proc/self/fd"))
        watch = tbwatch.Watch(disk / "run1", update_freq=1, detectors=[Sick(20)])
        fit(convnet(), watch, updates=30)
        assert len(os.listdir("/proc/self/fd")) <= before
        assert [alert.step for alert in watch.alerts] == [20, 21]
        told = said(caplog)
        assert len([m for m in told if "No space left on device" in m]) == 1
        assert len(told) == 2, told  # that, and the alert: a cleared one is no warning


def test_log_dir_becomes_read_only(tmp_path, caplog, monkeypatch):
    """Said once; what was written is there, and what follows as soon as it can be written again.

    A file system cannot become read-only while a file on it is written. So it does so before the
    first record, and later an empty one that is read-only takes its place.
    """
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    disk, empty = tmp_path / "disk", tmp_path / "empty"
    log_dir = disk / "run1"
    empty.mkdir()

    def shell(command):
        subprocess.run(command, check=True, capture_output=True, shell=True)

    def hidden():
        shell(f"mount --bind {empty} {disk} && mount -o remount,bind,ro {disk}")

    class ReadOnly(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            shell(f"mount -o remount,ro {disk}")

    model = convnet()
    with mounted(disk):
        watch = tbwatch.Watch(log_dir, update_freq=1, detectors=[Sick(3, 20)])
        do = [
            ReadOnly(),
            At(5, lambda: shell(f"mount -o remount,rw {disk}")),
            At(14, lambda: time.sleep(events.FLUSH_SECONDS)),
            At(15, hidden),
            At(25, lambda: shell(f"umount {disk}")),
        ]
        fit(model, watch, *do, updates=40)
        run = read_run(log_dir)
        files = list((log_dir / "tbwatch").iterdir())
    assert int(model.optimizer.iterations.numpy()) == 40
    told = [m for m in said(caplog) if "writing into" in m]
    assert len(told) == 1, told
    assert "Read-only file system" in told[0]
    steps = sampled(run)
    assert set(steps) >= {*range(7, 16), *range(27, 41)}
    assert [alert.step for alert in run.alerts] == [3, 4, 20, 21]
    assert len(files) == 2


def test_a_file_that_may_not_grow(tmp_path):
    """A quota of the process: said once, the training ends well, the rest is readable."""
    before = """
import resource
import tbwatch.run_writer
tbwatch.run_writer.RETRY_SECONDS = 1000.0
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    process = start(tmp_path, pause=0.0, updates=60, before=before, after="print('ended')")
    out, err = process.communicate(timeout=60)
    assert out.split()[-1] == "ended", err
    assert err.count("writing into") == 1, err
    assert "File too large" in err
    assert read_run(tmp_path).steps[:5] == [1, 2, 3, 4, 5]


# --------------------------------------------------------------------- several runs, and the clock


def test_two_processes_in_one_directory(tmp_path):
    """Both go on and are told of each other; every record of both can be read, and every alert."""
    before = """
from tests.test_faults import Sick
Watch = tbwatch.Watch
tbwatch.Watch = lambda *a, **k: Watch(*a, **k, detectors=[Sick({at}, diagnosis={name!r})])
"""
    until_told = f"""
class Slow(Slow):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.model.stop_training = os.path.exists({str(tmp_path / "stop")!r})
"""
    first = start(tmp_path, before=before.format(at=10, name="first") + until_told)
    until(first, 20)
    second = start(tmp_path, pause=0.0, updates=60, before=before.format(at=40, name="second"))
    _, err_of_second = second.communicate(timeout=100)
    (tmp_path / "stop").touch()
    out, err_of_first = first.communicate(timeout=100)
    assert (first.returncode, second.returncode) == (0, 0), err_of_first + err_of_second
    assert f"process {first.pid} writes into" in err_of_second
    run = read_run(tmp_path)
    assert sampled(run) == list(range(1, 61))  # the second's
    assert [note for note in run.notes if "two runs in one directory" in note], run.notes
    assert {alert.diagnosis for alert in run.alerts} == {"first", "second"}
    *_, newest = sorted((tmp_path / "tbwatch").iterdir())
    (tmp_path / "other" / "tbwatch").mkdir(parents=True)
    newest.rename(tmp_path / "other" / "tbwatch" / newest.name)
    run = read_run(tmp_path)
    assert sampled(run) == list(range(1, int(out.split()[-1]) + 1))
    assert not run.notes


def test_killed_and_restarted_in_the_same_directory(tmp_path):
    """The step goes back: one rising series, and no alert of an update that was made anew."""
    before = """
from tests.test_faults import Sick
Watch = tbwatch.Watch
tbwatch.Watch = lambda *a, **k: Watch(*a, **k, detectors=[Sick(10, 60)])
"""
    process = start(tmp_path, before=before)
    until(process, 80)
    process.kill()
    process.communicate()
    assert [alert.step for alert in read_run(tmp_path).alerts] == [10, 11, 60, 61]
    # The restarted one begins at the weights and the counter of update 30.
    process = start(
        tmp_path,
        pause=0.0,
        updates=50,
        before="model = convnet()\nmodel.optimizer.iterations.assign(30)\n"
        "convnet = lambda: model\n",
    )
    _, err = process.communicate(timeout=100)
    assert "writes into" not in err  # the killed one is no neighbour
    run = read_run(tmp_path)
    assert sampled(run) == list(range(1, 81))
    assert [alert.step for alert in run.alerts if alert.diagnosis == "sick"] == [10, 11]
    assert not [note for note in run.notes if "two runs" in note]


def test_the_clock_is_set_back_between_two_fits(tmp_path, monkeypatch):
    """The later fit's file is the later one by name too, for us and for TensorBoard."""
    model = convnet()
    watch = tbwatch.Watch(tmp_path, update_freq=1)
    fit(model, watch, updates=6)
    model.optimizer.iterations.assign(3)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 7200.0)
    fit(model, watch, updates=2)
    run = read_run(tmp_path)
    assert sampled(run) == [1, 2, 3, 4, 5]
    assert run.records[-1].wall_time < run.records[0].wall_time
    assert not run.notes
    names = [path.name for path in sorted((tmp_path / "tbwatch").iterdir())]
    assert len(names) == 2
    assert [event.step for event in all_events(tmp_path) if event.summary.value][-1] == 5


def test_the_clock_is_set_back_within_a_fit(tmp_path, monkeypatch):
    """Records are in the order of their updates, and are flushed all the same."""
    now = time.time()
    back = At(3, lambda: monkeypatch.setattr(time, "time", lambda: now - 86400.0))
    fit(convnet(), tbwatch.Watch(tmp_path, update_freq=1), back, updates=8)
    assert sampled(read_run(tmp_path)) == list(range(1, 9))
    assert by_tensorboard(tmp_path) == list(range(1, 9))


# ------------------------------------------------------------------------------- nothing grows


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
