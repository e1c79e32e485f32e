"""The examples, run as a user runs them: each ends well, and a bad option is a sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import program
from tests.example_programs import ROOT, TINY_ALEXNET, run, small_file

REAL_MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"


def assert_finished(done: subprocess.CompletedProcess[str], log_dir: Path, steps: int) -> None:
    """It ended well, showed progress, named alerts and commands, and wrote an event file."""
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{steps}/{steps}" in done.stdout
    assert "Test accuracy: " in done.stdout
    assert f"\n  tensorboard --logdir {log_dir}\n" in done.stdout
    assert f"\n  tbwatch alerts {log_dir}\n" in done.stdout
    events = list((log_dir / "tbwatch").rglob("events.out.tfevents.*"))
    assert events
    assert all(event.stat().st_size > 0 for event in events)


def test_convnet_on_rendered_digits(tmp_path: Path) -> None:
    """30 updates on the rendered digits: it learns, and no update looks unhealthy."""
    log_dir = tmp_path / "run"
    done = run(
        "mnist_convnet.py",
        *["--data", "rendered", "--steps", "30", "--log-dir", str(log_dir)],
        cwd=tmp_path,
        start=program.run_fresh,
    )
    assert_finished(done, log_dir, steps=30)
    assert "No alerts: " in done.stdout
    accuracy = float(done.stdout.split("Test accuracy: ")[1].split()[0])
    assert accuracy > 0.5


@pytest.mark.skipif(not REAL_MNIST.exists(), reason="no copy of MNIST beside the repository")
def test_convnet_on_real_mnist(tmp_path: Path) -> None:
    """30 updates on MNIST: healthy, no alert."""
    log_dir = tmp_path / "run"
    done = run(
        "mnist_convnet.py",
        *["--data", str(REAL_MNIST), "--steps", "30", "--log-dir", str(log_dir)],
        cwd=tmp_path,
    )
    assert_finished(done, log_dir, steps=30)
    assert f"Data: {REAL_MNIST}, 60000 + 10000 digits." in done.stdout
    assert "No alerts: " in done.stdout


def test_convnet_with_normal_weights_alerts(tmp_path: Path) -> None:
    """Weights from N(0, 1) are named as the cause."""
    log_dir = tmp_path / "run"
    done = run(
        "mnist_convnet.py",
        *["--data", small_file(tmp_path), "--init", "normal"],
        *["--batch-size", "20", "--epochs", "4", "--log-dir", str(log_dir)],
        cwd=tmp_path,
    )
    assert_finished(done, log_dir, steps=10)
    report = done.stdout.split("Test accuracy: ")[1].split("To see the run")[0]
    assert "initial weights" in report
    assert "conv2/kernel" in report


def test_alexnet_and_default_log_dir(tmp_path: Path) -> None:
    """A narrow AlexNet on small pictures runs; logs go to logs/alexnet_mnist/<time stamp>."""
    done = run("alexnet_mnist.py", "--data", small_file(tmp_path), *TINY_ALEXNET, cwd=tmp_path)
    (log_dir,) = (tmp_path / "logs" / "alexnet_mnist").iterdir()
    relative = log_dir.relative_to(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"tensorboard --logdir {relative}\n" in done.stdout
    assert "4/4" in done.stdout
    assert list((log_dir / "tbwatch").rglob("events.out.tfevents.*"))


def test_alexnet_with_normal_weights_alerts(tmp_path: Path) -> None:
    """Weights from N(0, 1) make AlexNet's loss NaN at once, and the report says it."""
    log_dir = tmp_path / "run"
    done = run(
        "alexnet_mnist.py",
        *["--data", small_file(tmp_path), "--init", "normal", "--log-dir", str(log_dir)],
        *TINY_ALEXNET,
        cwd=tmp_path,
    )
    assert_finished(done, log_dir, steps=4)
    report = done.stdout.split("Test accuracy: ")[1]
    assert "No alerts" not in report
    assert "alert" in report.split("To see the run")[0]


@pytest.mark.parametrize("script", ["mnist_convnet.py", "alexnet_mnist.py"])
def test_bad_file_is_one_sentence(tmp_path: Path, script: str) -> None:
    """A damaged .npz: status 2, one line of ours, no traceback, no log directory."""
    damaged = Path(small_file(tmp_path))
    damaged.write_bytes(damaged.read_bytes()[:10_000])
    done = run(script, "--data", str(damaged), cwd=tmp_path)
    assert done.returncode == 2
    # TensorFlow has its say on stderr before; the last line is the example's, and its only one.
    lines = [line for line in done.stderr.splitlines() if script in line]
    assert lines == done.stderr.splitlines()[-1:]
    assert lines[0].startswith(f"{script}: error: --data {damaged}: it cannot be read")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "absent.npz"], "--data absent.npz: there is no such file; allowed is"),
        (["--image", "66"], "--image: '66' was given, allowed is a whole number, 67 or more"),
        (["--width", "0"], "--width: '0' was given, allowed is a number above 0"),
    ],
)
def test_bad_alexnet_options(tmp_path: Path, options: list[str], said: str) -> None:
    """What cannot work ends with status 2 and a sentence: the value given and what is allowed."""
    done = run("alexnet_mnist.py", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# Custom loops


def test_custom_loop(tmp_path: Path) -> None:
    """A loop by hand learns without an alert; clipped far too low, it does not, and is told why."""
    digits, log_dir = small_file(tmp_path), tmp_path / "run"
    options = ["--data", digits, "--batch-size", "20", "--epochs", "20"]
    done = run("custom_loop.py", *options, "--log-dir", str(log_dir), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Epoch 20 of 20: loss" in done.stdout
    assert "No alerts: " in done.stdout
    assert float(done.stdout.split("Test accuracy: ")[1].split()[0]) > 0.5
    assert list((log_dir / "tbwatch").rglob("events.out.tfevents.*"))
    done = run("custom_loop.py", *options, "--clip", "1e-4", cwd=tmp_path)
    assert "update_too_small" in done.stdout.split("Test accuracy: ")[1]


def test_multi_worker(tmp_path: Path) -> None:
    """Two workers that the script starts by itself: one of them writes."""
    log_dir = tmp_path / "run"
    options = ["--data", small_file(tmp_path), "--batch-size", "20", "--log-dir", str(log_dir)]
    done = run("multi_worker.py", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Epoch 1 of 1: loss") == 1
    assert f"\n  tbwatch alerts {log_dir}\n" in done.stdout
    assert len(list((log_dir / "tbwatch").rglob("events.out.tfevents.*"))) == 1
