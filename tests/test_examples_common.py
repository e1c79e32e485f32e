"""The helpers that the examples share: numbers of updates, batches, options, the report."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from tests.example_programs import example

_common = example("_common")


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
