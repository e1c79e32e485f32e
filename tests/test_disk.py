"""Bad luck with the disk never ends a training run, and nothing already written is lost."""

import shutil
import subprocess

import pytest

import tbwatch
from tbwatch import events, run_writer, summaries
from tbwatch.reader import read_run
from tbwatch.testing import make_record
from tests.fault_programs import At, warned
from tests.nets import convnet, fit
from tests.program import Program


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path):
    """A real file system of 192 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], capture_output=True, check=False)


def test_full_disk_and_space_again(small_disk, caplog, monkeypatch):
    """Training goes on; one message; what was written before and after is readable."""
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 100_000)
    model = convnet()
    watch = tbwatch.Watch(small_disk / "run1", update_freq=1)
    fit(model, watch, At(59, filler.unlink), updates=80)
    assert int(model.optimizer.iterations.numpy()) == 80
    said = warned(caplog)
    told = [m for m in said if "writing into" in m]
    assert len(told) == 1, said
    assert "No space left on device" in told[0]
    steps = [record.step for record in read_run(small_disk / "run1").records]
    assert steps[:3] == [1, 2, 3]
    assert steps[-1] >= 60
    assert steps == sorted(steps)


def test_a_disk_that_is_full_from_the_start_is_not_littered(small_disk, caplog, monkeypatch):
    """No empty file is left for each try."""
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    (small_disk / "run1" / "tbwatch").mkdir(parents=True)
    (small_disk / "filler").write_bytes(b"x" * 192 * 1024)
    fit(convnet(), tbwatch.Watch(small_disk / "run1"), updates=10)
    assert len(warned(caplog)) >= 1
    assert len(list((small_disk / "run1" / "tbwatch").iterdir())) <= 1


def test_log_dir_removed_during_the_run(tmp_path, caplog, monkeypatch):
    """Said once; the records that follow go to a new file."""
    monkeypatch.setattr(run_writer, "RETRY_SECONDS", 0.0)
    log_dir = tmp_path / "run1"
    watch = tbwatch.Watch(log_dir, update_freq=1)
    fit(convnet(), watch, At(3, lambda: shutil.rmtree(log_dir)), updates=6, epochs=3)
    said = warned(caplog)
    assert len(said) == 1
    assert "removed" in said[0]
    assert [record.step for record in read_run(log_dir).records][-1] == 18


def test_killed_runs_are_readable(tmp_path):
    """`kill -9`: everything up to the last flush is there."""
    import signal
    import sys
    import time

    code = f"""
import keras, tbwatch
from tests.fault_programs import At, warned
from tests.nets import convnet, fit
from tests.program import Program
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        import time
        time.sleep(0.05)
        print(batch + 1, flush=True)
fit(convnet(), tbwatch.Watch({str(tmp_path)!r}, update_freq=1), Slow(), updates=1000)
"""
    process = Program([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    begin, done = None, 0
    for line in process.stdout:
        done = int(line)
        begin = begin or time.monotonic()
        if time.monotonic() - begin > 6:
            process.send_signal(signal.SIGKILL)
            break
    # It went on until the signal reached it; what it was printing then may be cut off.
    done = max([done, *(int(line) for line in process.stdout if line.endswith("\n"))])
    process.wait()
    steps = [record.step for record in read_run(tmp_path).records]
    # Flushed every two seconds, at 20 updates a second or fewer.
    assert steps == list(range(1, len(steps) + 1))
    assert done - 60 <= steps[-1] <= done + 1


def test_an_alert_is_on_the_disk_at_once(tmp_path):
    """Whoever looks after the batch that raised it finds it, however long the run goes on."""
    model, found = convnet(), []
    model.get_layer("fc1").bias.assign([-1e4] * 8)
    look = At(20, lambda: found.extend(read_run(tmp_path).alerts))
    fit(model, tbwatch.Watch(tmp_path), look, updates=30)
    assert [(alert.step, alert.diagnosis) for alert in found] == [(21, "dead_relu")]


@pytest.mark.parametrize("can_ask", [True, False])
def test_no_signal_is_sent_where_it_would_end_a_process(tmp_path, monkeypatch, can_ask):
    """On Windows `os.kill` ends whom it is asked about: there, nobody is asked."""
    sent = []
    monkeypatch.setattr(events.os, "kill", lambda process, signal: sent.append((process, signal)))
    monkeypatch.setattr(events, "_CAN_ASK", can_ask)
    monkeypatch.setattr(events.os, "getpid", lambda: 4711)
    first = events.EventWriter(str(tmp_path))
    monkeypatch.setattr(events.os, "getpid", lambda: 4712)
    second = events.EventWriter(str(tmp_path))
    assert (sent, second.neighbours) == (([(4711, 0)], [4711]) if can_ask else ([], []))
    first.close()
    second.close()


def test_a_file_that_was_begun_anew_takes_everything(tmp_path, monkeypatch):
    """Also before the next try was due: an alert does not wait for it."""
    writer, write = run_writer.RunWriter(str(tmp_path)), events.EventWriter.write

    def fail(*_):
        raise OSError("no space")

    for step in range(1, 8):
        monkeypatch.setattr(events.EventWriter, "write", fail if step == 3 else write)
        if step == 3:
            with pytest.raises(OSError, match="no space"):
                writer.write(step, 0.0, list(summaries.packed_record(make_record(step))))
        else:
            values = list(summaries.packed_record(make_record(step)))
            writer.write(step, 0.0, values, at_once=step == 5)
    writer.close()
    assert [record.step for record in read_run(tmp_path).records] == [1, 2, 5, 6, 7]
