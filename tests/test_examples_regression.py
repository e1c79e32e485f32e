"""The regression example: it trains, begins as described, and its frames hold their target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.example_programs import example

regression = example("conv_regression")


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
