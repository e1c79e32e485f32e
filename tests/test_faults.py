"""Processes that are killed, stopped or fail lose nothing that was written."""

from __future__ import annotations

import random
import signal
import time

import keras
import numpy as np

import tbwatch
from tbwatch import events
from tbwatch.reader import read_run
from tests.fault_programs import At, by_tensorboard, start, until
from tests.nets import convnet, fit


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
