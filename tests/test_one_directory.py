"""Several processes and fits in one directory, and clocks that are set back: one rising series."""

from __future__ import annotations

import time

import tbwatch
from tbwatch.reader import read_run
from tests.fault_programs import At, by_tensorboard, sampled, start, until
from tests.nets import convnet, fit
from tests.nets import events as all_events


def test_two_processes_in_one_directory(tmp_path):
    """Both go on and are told of each other; every record of both can be read, and every alert."""
    before = """
from tests.fault_programs import Sick
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
from tests.fault_programs import Sick
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
