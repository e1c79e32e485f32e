"""The seven experiments of the AlexNet example: their nets, initial weights, rates and losses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.example_programs import TINY_ALEXNET, example, small_file

alexnet = example("alexnet_mnist")
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
