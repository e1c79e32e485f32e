"""Bad input at construction: one sentence that says what was given and what is allowed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import tbwatch

FREQUENCY = r'update_freq must be a number of batches .*"auto", "batch", (or )?"epoch".*; got '
EPOCHS = r"histogram_freq must be a number of epochs .*; got "

BAD = [
    ({"update_freq": 0}, ValueError, FREQUENCY + "0"),
    ({"update_freq": -3}, ValueError, FREQUENCY + "-3"),
    ({"update_freq": 2.5}, ValueError, FREQUENCY + "2.5"),
    ({"update_freq": True}, ValueError, FREQUENCY + "True"),
    ({"update_freq": "often"}, ValueError, FREQUENCY + "'often'"),
    ({"update_freq": None}, ValueError, FREQUENCY + "None"),
    ({"histogram_freq": -1}, ValueError, EPOCHS + "-1"),
    ({"histogram_freq": 0.5}, ValueError, EPOCHS + "0.5"),
    ({"histogram_freq": "epoch"}, ValueError, EPOCHS + "'epoch'"),
    ({"histogram_update_freq": 0}, ValueError, "histogram_update_freq must .*None; got 0"),
    ({"histogram_freq": 0, "histogram_update_freq": 0}, ValueError, "histogram_update_freq must"),
    ({"detectors": ["frozen"]}, ValueError, "names out of 'nonfinite', .*functions; got 'frozen'"),
    ({"detectors": [3]}, TypeError, "a detector must be a name, have update.*got 3"),
    ({"detectors": dict}, TypeError, "a detector must be an object, not a class"),
    ({"detectors": 7}, TypeError, "a detector must be a name, have update.*got 7"),
    ({"flight_recorder": -3}, ValueError, "flight_recorder must be a number of updates.*got -3"),
    (
        {"stop_on": {"fatal"}},
        ValueError,
        "stop_on must hold severities, or .*critical.*; got 'fatal'",
    ),
    (
        {"stop_on": {"dead_update"}, "detectors": ["nonfinite", "loss_stuck"]},
        ValueError,
        "names of the detectors at work: .*, learning_rate_too_low, loss_stuck, nonfinite, ",
    ),
    ({"stop_on": 3}, TypeError, "stop_on must be a set of names; got 3"),
    ({"on_alert": "mail"}, TypeError, "on_alert must be callable with an alert, or None"),
    ({"include": 3}, TypeError, "include must be a pattern, a list of patterns or a callable"),
    ({"include": []}, ValueError, "include must hold patterns that are not empty"),
    ({"exclude": [""]}, ValueError, "exclude must hold patterns that are not empty"),
    ({"exclude": ["a", 3]}, TypeError, "exclude must be a pattern"),
    ({"kernels": 3}, TypeError, "kernels must be a layer name, .*, or True or False; got 3"),
    ({"kernels": []}, TypeError, "kernels must be a layer name"),
    ({"log_dir": 3}, TypeError, "log_dir must be the path of a directory; got 3"),
    ({"log_dir": ""}, TypeError, "log_dir must be the path of a directory; got ''"),
]


@pytest.mark.parametrize(("options", "error", "says"), BAD)
def test_watch(options, error, says, tmp_path):
    """Each wrong argument of Watch."""
    with pytest.raises(error, match=says) as raised:
        tbwatch.Watch(**{"log_dir": tmp_path, **options})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (tbwatch.GradientNorms, {"update_freq": 0}, FREQUENCY),
        (tbwatch.WeightHistograms, {"histogram_freq": -1}, EPOCHS),
        (tbwatch.GradientHistograms, {"update_freq": 0}, "update_freq must .*None; got 0"),
        (tbwatch.UpdateHistograms, {"update_freq": "x"}, "update_freq must .*None; got 'x'"),
        (tbwatch.KernelGrid, {"pad": -1}, "pad"),
        (tbwatch.KernelGrid, {"scale": "own"}, "scale"),
        (tbwatch.KernelGrid, {"histogram_freq": 1.5}, EPOCHS),
        (tbwatch.DeadUpdateDetector, {"threshold": 2}, "threshold must be .*; got 2"),
        (tbwatch.DeadUpdateDetector, {"patience": 0}, "patience must be .*; got 0"),
        (tbwatch.DeadUpdateDetector, {"warmup": -1}, "warmup must be .*; got -1"),
        (tbwatch.DeadUpdateDetector, {"stop_on": "x"}, "stop_on must"),
        (tbwatch.DeadUpdateDetector, {"stop_on": "nonfinite"}, "at work: .*; got 'nonfinite'"),
    ],
)
def test_parts(make, options, says, tmp_path):
    """Each part checks its own."""
    with pytest.raises(ValueError, match=says):
        make(tmp_path, **options)


@pytest.mark.parametrize("grid", [32, "4x8", (4, 8.0), (4,), (True, 8)])
def test_a_grid_that_is_none(grid, tmp_path):
    """At once, not at the first picture."""
    with pytest.raises(TypeError, match="grid"):
        tbwatch.KernelGrid(tmp_path, grid=grid)


def test_a_grid_without_rows_and_layers_that_are_no_names(tmp_path):
    """Each by its own name."""
    with pytest.raises(ValueError, match="a side is 0"):
        tbwatch.KernelGrid(tmp_path, grid=(0, 8))
    with pytest.raises(TypeError, match="layers must be a layer name, a list of them, or None"):
        tbwatch.KernelGrid(tmp_path, layers=3)


@pytest.mark.parametrize("where", ["file", "file/below/it"])
def test_log_dir_is_a_file(where, tmp_path):
    """A file where the directory should be, or above it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"log_dir must be a directory; .* is or lies in the file"):
        tbwatch.Watch(tmp_path / where)


def test_log_dir_is_read_only(tmp_path):
    """A read-only file system: root, too, is told."""
    mount = tmp_path / "read_only"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        if os.geteuid() == 0:
            pytest.skip("needs the right to mount a read-only file system")
        mount.chmod(0o500)
    try:
        with pytest.raises(ValueError, match=r"log_dir must be writable; .* is not"):
            tbwatch.Watch(mount / "run1")
    finally:
        subprocess.run(["umount", str(mount)], capture_output=True, check=False)


def test_log_dir_below_one_that_may_not_be_entered():
    """Told in a sentence too; root may enter all, so another user asks."""
    closed = Path(tempfile.mkdtemp())
    closed.chmod(0o000)
    asks = """
import os, sys
from tbwatch.events import check_log_dir
if os.geteuid() == 0:
    os.setuid(65534)
check_log_dir(sys.argv[1])
"""
    command = [sys.executable, "-c", asks, str(closed / "below" / "run1")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    closed.rmdir()
    assert "\nValueError: log_dir must be writable; " in done.stderr


def test_nothing_is_made_at_construction(tmp_path):
    """A directory appears when there is something to write."""
    tbwatch.Watch(tmp_path / "run1")
    assert not (tmp_path / "run1").exists()


def test_a_grid_that_does_not_fit(tmp_path):
    """Known only when the kernel is: it ends the run before the first update."""
    from tests.nets import convnet, fit

    with pytest.raises(ValueError, match=r"kernel of the layer 'conv1': .*1"):
        fit(convnet(), tbwatch.KernelGrid(tmp_path, grid=(1, 1)))


def test_the_path_of_a_remote_file_system_is_taken_as_it_is():
    """Whether it can be written shows at first use only."""
    assert tbwatch.Watch("gs://bucket/run1").log_dir == "gs://bucket/run1"
