"""The MNIST examples, run as a user runs them, and the helpers they share."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tbwatch

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
REAL_MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"
TINY_ALEXNET = ["--image", "67", "--width", "0.25", "--steps", "4", "--batch-size", "8"]

sys.path.insert(0, str(EXAMPLES))
_common: Any = importlib.import_module("_common")


def run(script: str, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs an example in `cwd`, with the same tbwatch as the tests."""
    home = Path(tbwatch.__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *options],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def small_file(directory: Path) -> str:
    """200 + 100 rendered digits as an .npz file: they load faster than 12000 are drawn."""
    render = importlib.import_module("_data").render_digits
    (x_train, y_train), (x_test, y_test) = render(200, 0), render(100, 1)
    path = directory / "digits.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return str(path)


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


# Helpers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((60000, 128, 3, None), (3, 468)),  # 60000 = 468 * 128 + 96
        ((60000, 200, 1, None), (1, 300)),
        ((60000, 128, 3, 30), (1, 30)),
        ((60000, 128, 3, 468), (1, 468)),
        ((60000, 128, 3, 1000), (3, 333)),
        ((60000, 128, 2, 100000), (2, 468)),
        ((60000, 128, 3, 1), (1, 1)),
        ((100, 128, 2, None), (2, 1)),  # less than a batch
    ],
)
def test_plan_updates(given: tuple[int, int, int, int | None], expected: tuple[int, int]) -> None:
    """Whole batches per epoch, and never more updates than the limit."""
    assert _common.plan_updates(*given) == expected


def test_batches_for_testing() -> None:
    """Every digit once, in order, from 0 to 1, enlarged to the size that is asked for."""
    images = np.repeat(np.arange(0, 250, 50, dtype=np.uint8), 28 * 28).reshape(5, 28, 28)
    labels = np.arange(5, dtype=np.uint8)
    dataset = _common.make_batches((images, labels), 2, image=67)
    batches = list(dataset.take(4).as_numpy_iterator())
    assert [x.shape for x, _ in batches] == [(2, 67, 67, 1), (2, 67, 67, 1), (1, 67, 67, 1)]
    assert np.concatenate([y for _, y in batches]).tolist() == [0, 1, 2, 3, 4]
    expected = np.arange(0, 250, 50).reshape(5, 1, 1, 1) / 255  # grey all over stays so
    np.testing.assert_allclose(
        np.concatenate([x for x, _ in batches]),
        np.broadcast_to(expected, (5, 67, 67, 1)),
        atol=1e-6,
    )


def test_batches_for_training() -> None:
    """Full batches without end, each round all digits once in a new order, fixed by the seed."""
    digits = np.zeros((8, 28, 28), np.uint8), np.arange(8, dtype=np.uint8)

    def first_labels(seed: int) -> np.ndarray:
        batches = _common.make_batches(digits, 4, shuffle_seed=seed).take(6)
        return np.stack([y for _, y in batches.as_numpy_iterator()]).reshape(3, 8)

    rounds = first_labels(1)
    assert np.array_equal(np.sort(rounds), np.tile(np.arange(8), (3, 1)))
    assert not np.array_equal(rounds[0], rounds[1])
    assert np.array_equal(rounds, first_labels(1))
    assert not np.array_equal(rounds, first_labels(2))


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "many", "", "inf", "²"])
def test_bad_whole_numbers(text: str) -> None:
    """Counts take whole numbers from 1 and say so."""
    with pytest.raises(argparse.ArgumentTypeError, match="whole number, 1 or more"):
        _common.whole_number(1)(text)


@pytest.mark.parametrize("text", ["0", "-1e-4", "nan", "inf", "fast", ""])
def test_bad_rates(text: str) -> None:
    """Rates take finite numbers above 0 and say so."""
    with pytest.raises(argparse.ArgumentTypeError, match="a number above 0"):
        _common.positive(text)


def test_good_numbers() -> None:
    """Good numbers are parsed."""
    assert (_common.whole_number(67)("67"), _common.positive("1e-4")) == (67, 0.0001)


def test_log_dir_option(tmp_path: Path) -> None:
    """A new or an old directory is taken as given; a file, or a path below one, is refused."""
    (tmp_path / "file").write_text("")
    assert _common.directory(str(tmp_path)) == str(tmp_path)
    assert _common.directory(str(tmp_path / "a" / "b")) == str(tmp_path / "a" / "b")
    for bad in ("", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        with pytest.raises(argparse.ArgumentTypeError, match="allowed is a directory"):
            _common.directory(bad)


def test_report_lists_alerts(capsys: pytest.CaptureFixture[str]) -> None:
    """Each alert is printed as its own text; a directory with a space is quoted for the shell."""
    _common.print_report(0.98765, 100, ["[warning] first", "[info] second"], "my logs")
    printed = capsys.readouterr().out
    assert "Test accuracy: 0.988 (100 digits)" in printed
    assert "2 alerts:\n[warning] first\n[info] second\n" in printed
    assert "tensorboard --logdir 'my logs'\n" in printed
    assert "tbwatch alerts 'my logs'\n" in printed
