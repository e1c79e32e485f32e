"""Disks that are full, read-only or take no more: said once, and alerts are written later."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import keras
import pytest

import tbwatch
from tbwatch import events, run_writer
from tbwatch.reader import read_run
from tests.fault_programs import At, Sick, sampled, start, warned
from tests.nets import convnet, fit


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
        assert len([m for m in warned(caplog) if "writing into" in m]) == 1


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
        told = warned(caplog)
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
    told = [m for m in warned(caplog) if "writing into" in m]
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
