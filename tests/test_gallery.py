"""The examples of the gallery: each learns without an alert, and each fault gets its own."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.example_programs import EXAMPLES, ROOT, small_file

SCRIPTS = ("fine_tuning", "gan", "transformer", "lstm")
EXAMPLE: dict[str, Any] = {name: importlib.import_module(name) for name in SCRIPTS}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small file of rendered digits."""
    return small_file(tmp_path_factory.mktemp("digits"))


# Enough updates, on 200 digits or few sequences, for each verdict.
SHORT = {
    "fine_tuning": ["--batch-size", "10", "--epochs", "8"],
    "gan": ["--batch-size", "50", "--epochs", "8"],
    "transformer": ["--sequences", "400", "--batch-size", "16", "--epochs", "2"],
    "lstm": ["--batch-size", "20", "--epochs", "6"],
}
# Test accuracies that guessing does not reach, one of 5 digits, 13 tokens or 10 digits; these short
# runs reach 0.60, 0.26 and 0.29.
BETTER_THAN = {"fine_tuning": 0.4, "transformer": 0.15, "lstm": 0.18}


def train(name: str, data: str, log_dir: Path, *more: str) -> list[Any]:
    """The alerts of a short run in this process."""
    given = [] if name == "transformer" else ["--data", data]
    return EXAMPLE[name].main([*given, *SHORT[name], "--log-dir", str(log_dir), *more])


def figure(printed: str, before: str) -> float:
    """The number behind some words, the last time they were printed."""
    return float(printed.rpartition(before)[2].split()[0].rstrip(","))


@pytest.mark.parametrize("name", SCRIPTS)
def test_healthy(
    name: str, digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No alert; it is said so, with the commands that show the run, and files are there."""
    assert train(name, digits, tmp_path) == []
    printed = capsys.readouterr().out
    assert "No alerts: " in printed
    assert f"\n  tbwatch alerts {tmp_path}\n" in printed
    if name == "gan":
        before = figure(printed, "before the training ")
        assert figure(printed, "Distance to real digits: ") < 0.8 * before
        assert (tmp_path / "made.png").stat().st_size > 0
    else:
        assert BETTER_THAN[name] < figure(printed, "Test accuracy: ") <= 1
    runs = {path.parent.name for path in tmp_path.rglob("tbwatch") if path.is_dir()}
    both = {"fine_tuning": {"head", "all"}, "gan": {"generator", "critic"}}
    assert runs == both.get(name, {tmp_path.name})


@pytest.mark.parametrize(
    ("name", "fault", "diagnosis", "sick"),
    [
        ("fine_tuning", "scaled_twice", "signal_lost", "base/conv1_norm/activation"),
        ("fine_tuning", "detached", "not_connected", "base/conv1/kernel"),
        ("gan", "rounded", "zero_gradient", "generator/fc1/kernel"),
        ("transformer", "masked_mean", "nonfinite", "loss"),
        ("transformer", "normal", "weights_too_large", "attention1/query/kernel"),
        ("lstm", "simple", "update_too_large", "out/kernel"),
    ],
)
def test_fault(
    name: str, fault: str, diagnosis: str, sick: str, digits: str, tmp_path: Path
) -> None:
    """The first alert is the one that the docstring and the gallery name."""
    # A loss must have stood still for 50 updates before a signal is called lost; what is not
    # connected is known at once.
    epochs = {"scaled_twice": ["--epochs", "16"], "detached": ["--epochs", "1"]}
    alerts = train(name, digits, tmp_path, "--fault", fault, *epochs.get(fault, []))
    assert alerts[0].diagnosis == diagnosis
    assert sick in alerts[0].variables
    for text in (EXAMPLE[name].__doc__, gallery()):
        assert f"--fault {fault}" in text
        assert diagnosis in text


def gallery() -> str:
    """The page."""
    return (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_gallery_is_complete() -> None:
    """Each example stands in its table, and each command in it is one that the example takes."""
    files = {path.name for path in EXAMPLES.glob("[!_]*") if path.suffix in (".py", ".ipynb")}
    table = gallery().partition("\n|---")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+\.(?:py|ipynb))`", table)) == files
    for script, options in re.findall(r"python examples/(\w+\.py)(.*)", gallery()):
        source = (EXAMPLES / script).read_text(encoding="utf-8")
        source += (EXAMPLES / "_common.py").read_text(encoding="utf-8")
        for word in options.split():
            assert not word.startswith("--") or f'"{word}"' in source, word


# Parts of the examples


def test_chosen_digits() -> None:
    """Five digits, labelled from 0; the others are left out."""
    labels = np.array([0, 5, 4, 9, 7], np.uint8)
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((28, 28), np.uint8)
    found, new = EXAMPLE["fine_tuning"].choose_digits((images, labels), 5)
    assert (found[:, 0, 0].tolist(), new.tolist()) == ([1, 3, 4], [0, 4, 2])


def test_sequences() -> None:
    """Reversed by Python for comparison; one in 200 is empty, the others have 6 to 12 tokens."""
    tokens, reverse = EXAMPLE["transformer"].make_sequences(400, seed=0)
    lengths = [row[row > 0].size for row in tokens]
    assert sorted(set(lengths)) == [0, *range(6, 13)]
    assert lengths.count(0) == 2
    for row, mirrored, length in zip(tokens.tolist(), reverse.tolist(), lengths, strict=True):
        assert row[length:] == [0] * (12 - length)
        assert mirrored == row[:length][::-1] + row[length:]


def test_masked_mean() -> None:
    """13 equal logits: ln 13 for each sequence, whatever its length; NaN without tokens."""
    losses = EXAMPLE["transformer"].masked_mean(
        [[1, 2, 3], [4, 0, 0], [0, 0, 0]], np.zeros((3, 3, 13), np.float32)
    )
    np.testing.assert_allclose(losses, [np.log(13), np.log(13), np.nan], rtol=1e-6)


def test_distance() -> None:
    """0 to itself; for sets that differ by a constant, the square of it, 49 times."""
    pictures = np.random.default_rng(0).uniform(0, 0.5, (200, 28, 28)).astype(np.float32)
    distance = EXAMPLE["gan"].distance
    assert distance(pictures, pictures) == pytest.approx(0, abs=1e-6)
    assert distance(pictures + np.float32(0.25), pictures) == pytest.approx(49 / 16, rel=1e-3)
