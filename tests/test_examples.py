"""The examples, run as a user runs them, and the helpers they share."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tbwatch
from tests import program

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
REAL_MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"
TINY_ALEXNET = ["--image", "67", "--width", "0.25", "--steps", "4", "--batch-size", "8"]

sys.path.insert(0, str(EXAMPLES))
_common: Any = importlib.import_module("_common")
alexnet: Any = importlib.import_module("alexnet_mnist")
regression: Any = importlib.import_module("conv_regression")


def run(
    script: str,
    *options: str,
    cwd: Path,
    start: Callable[..., subprocess.CompletedProcess[str]] = program.run,
) -> subprocess.CompletedProcess[str]:
    """Runs an example in `cwd`, with the same tbwatch as the tests."""
    home = Path(tbwatch.__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, str(EXAMPLES / script), *options]
    return start(command, cwd=cwd, env={**os.environ, "PYTHONPATH": path})


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


# The seven experiments

TRUNCATED = 0.87963  # sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)): a normal without what is above 2 sigma


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small file of rendered digits."""
    return small_file(tmp_path_factory.mktemp("digits"))


@pytest.mark.parametrize("number", range(1, 8))
def test_experiment_trains(
    number: int, digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each trains the network that it describes; the first alone is NaN at once, and says so."""
    model = alexnet.main(
        ["--data", digits, "--experiment", str(number), "--log-dir", str(tmp_path), *TINY_ALEXNET]
    )
    printed = capsys.readouterr().out
    kinds = [type(layer).__name__ for layer in model.layers]
    with_batch_norm = number in (6, 7)
    assert kinds.count("BatchNormalization") == (7 if with_batch_norm else 0)
    assert kinds.count("Lambda") == (0 if with_batch_norm else 2)  # LRN
    # [Y, X, channels of one group, channels out]: 384 and 256 channels at a quarter
    channels_in = 48 if number == 5 else 96
    assert model.get_layer("conv4").kernel.shape == (3, 3, channels_in, 96)
    assert model.get_layer("conv5").kernel.shape == (3, 3, channels_in, 64)
    assert int(model.optimizer.iterations) == 4
    assert ("nonfinite" in printed) == (number == 1)
    moved = [np.isfinite(weights).all() for weights in model.get_weights()]
    assert all(moved) == (number != 1)


@pytest.mark.parametrize(
    ("init", "image", "width", "expected"),
    [
        # 0.01 for the full network, wider as the square root of the inputs that are missing:
        # of 256 channels and 9216 pixels at 0.5 there are 128 and 128 left, at 0.25 64 and 64
        (
            "small",
            67,
            0.5,
            {
                "conv1": 0.01 * TRUNCATED,
                "conv3": 0.01 * 2**0.5 * TRUNCATED,
                "fc1": 0.01 * 72**0.5 * TRUNCATED,
            },
        ),
        (
            "small",
            67,
            0.25,
            {"conv1": 0.01 * TRUNCATED, "conv3": 0.02 * TRUNCATED, "fc1": 0.12 * TRUNCATED},
        ),
        ("normal", 67, 0.25, {"conv1": 1.0, "conv3": 1.0, "fc1": 1.0}),
        # Glorot: sqrt(2 / (inputs + outputs)): 121 * (1 + 24); 9 * (64 + 96); 64 + 28
        (
            "default",
            67,
            0.25,
            {
                "conv1": (2 / 3025) ** 0.5,
                "conv3": (2 / 1440) ** 0.5,
                "fc1": (2 / 92) ** 0.5,
            },
        ),
    ],
)
def test_initial_weights(init: str, image: int, width: float, expected: dict[str, float]) -> None:
    """Their spread is the one that each choice promises, at reduced sizes too."""
    model = alexnet.build_model(image, width, alexnet.Experiment(init=init))
    found = {name: np.std(model.get_layer(name).get_weights()[0]) for name in expected}
    # 1792 weights at least: their spread has a standard error of 2 %
    assert found == pytest.approx(expected, rel=0.08)


def test_initial_weights_can_be_scaled() -> None:
    """`init_scale` multiplies the spread of small weights, and biases keep theirs."""
    plan = alexnet.Experiment(init="small")
    kernel, bias = (
        alexnet.build_model(67, 0.5, plan, init_scale=3.0).get_layer("conv4").get_weights()
    )
    assert np.std(kernel) == pytest.approx(0.03 * 2**0.5 * TRUNCATED, rel=0.02)
    assert np.std(bias) == pytest.approx(0.1 * TRUNCATED, rel=0.2)  # 192 of them


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--experiment", "2", "--init", "normal"],
            "--init normal was given with --experiment 2, allowed is --init small, which it sets "
            "itself",
        ),
        (
            ["--experiment", "7", "--init-scale", "1.5"],
            "--init-scale was given with initial weights 'normal', allowed is it with --init small "
            "or --experiment 2, 3, 5 or 6",
        ),
        (
            ["--init-scale", "1.5"],
            "--init-scale was given with initial weights 'default', allowed is it with --init "
            "small or --experiment 2, 3, 5 or 6",
        ),
    ],
)
def test_contradicting_options(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that exclude each other: status 2 and one sentence, before any data is loaded."""
    with pytest.raises(SystemExit) as ended:
        alexnet.parse(options)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f": error: {said}")


def test_options_of_an_experiment() -> None:
    """What an experiment sets may be given again; the rate follows the batch, the loss is sum."""
    _, options = alexnet.parse(["--experiment", "5", "--init", "small", "--batch-size", "50"])
    assert options.plan == alexnet.Experiment(init="small", groups=2)
    assert (options.loss, options.learning_rate) == ("written", 0.0004)
    _, options = alexnet.parse(["--init", "normal", "--learning-rate", "0.5"])
    assert options.plan == alexnet.Experiment(init="normal")
    assert (options.loss, options.learning_rate) == ("logits", 0.5)


def test_full_size() -> None:
    """At full size it is AlexNet: these are the sizes of its kernels."""
    model = alexnet.build_model(227, 1.0, alexnet.Experiment())
    shapes = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    convolutions = [(11, 11, 1, 96), (5, 5, 96, 256), (3, 3, 256, 384), (3, 3, 384, 384)]
    dense = [(9216, 4096), (4096, 4096), (4096, 10)]
    assert shapes == [*convolutions, (3, 3, 384, 256), *dense]


def test_rate_of_the_third_experiment() -> None:
    """A tenth after 30 epochs, of 10 updates here, after 50 and after 70; others keep theirs."""
    rate = alexnet.rate_schedule(0.5, alexnet.EXPERIMENTS[3], 10)
    found = [float(rate(step)) for step in (1, 299, 302, 499, 502, 699, 702)]
    assert found == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.0005])
    others = [alexnet.rate_schedule(0.5, alexnet.EXPERIMENTS[n], 10) for n in (1, 2, 4, 5, 6, 7)]
    assert others == [0.5] * 6


def test_written_loss() -> None:
    """-sum(y log p): two samples by hand; a p of 0 anywhere is NaN, even where y is 0."""
    p = np.full((2, 10), 0.05, np.float32)
    p[0, 3], p[1, 7] = 0.55, 0.55
    labels = np.array([3, 0], np.uint8)
    loss = float(alexnet.written_loss(labels, p))
    assert loss == pytest.approx(0.5978370 + 2.9957323, rel=1e-6)  # -ln 0.55 - ln 0.05
    p[1, 9] = 0.0
    assert np.isnan(float(alexnet.written_loss(labels, p)))


# The regression


def test_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains, writes the output of each layer before and after ReLU, and raises no alert."""
    model = regression.main(
        [
            *["--width", "0.1", "--image", "57", "--frames", "64", "--batch-size", "8"],
            *["--steps", "4", "--log-dir", str(tmp_path)],
        ]
    )
    printed = capsys.readouterr().out
    assert int(model.optimizer.iterations) == 4
    assert "Test error: " in printed
    assert "No alerts: " in printed
    accumulator = EventAccumulator(str(tmp_path / "tbwatch"))
    accumulator.Reload()
    tags = {tag for tag in accumulator.Tags()["tensors"] if tag.startswith("activations/")}
    relu = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2")
    names = [*relu, "norm1", "norm2", "pool1", "pool2", "pool5", "out"]
    expected = {f"activations/{name}" for name in names}
    expected |= {f"activations/{name}/pre_activation" for name in relu}
    assert expected <= tags


def test_regression_starts_as_described() -> None:
    """At full width: sizes of the kernels, Xavier's spread, biases of 0.1."""
    model = regression.build_model(96, 1.0)
    shapes = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    convolutions = [(5, 5, 3, 128), (3, 3, 128, 128), (3, 3, 128, 256), *2 * [(3, 3, 256, 256)]]
    assert shapes == [*convolutions, (1024, 2046), (2046, 2046), (2046, 1)]
    kernel, bias = model.get_layer("conv2").get_weights()
    assert np.std(kernel) == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert np.unique(bias).tolist() == [np.float32(0.1)]


def test_frames() -> None:
    """The same seed gives the same frames; a straight line through the columns is the target."""
    frames, targets = regression.make_frames(8, 60, seed=3)
    again, _ = regression.make_frames(8, 60, seed=3)
    other, _ = regression.make_frames(8, 60, seed=4)
    assert (frames.shape, frames.dtype) == ((8, 60, 60, 3), np.uint8)
    assert (targets.shape, targets.dtype) == ((8, 1), np.float32)
    assert np.array_equal(frames, again)
    assert not np.array_equal(frames, other)
    columns = frames.astype(np.float64).mean((1, 3))  # noise of 30 / sqrt(180) is left
    slopes = np.polyfit(np.linspace(-1, 1, 60), columns.T, 1)[0]
    np.testing.assert_allclose(slopes / 90, targets[:, 0], atol=0.05)


def test_rmse() -> None:
    """Root of the mean square, by hand: errors 3 and 4."""
    error = regression.rmse(np.zeros((2, 1), np.float32), np.array([[3.0], [4.0]], np.float32))
    assert float(error) == pytest.approx(12.5**0.5)


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
