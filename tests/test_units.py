"""Which units are dead or saturated, from what each sampled batch says of them."""

import numpy as np
import pytest

from tbwatch.quantities import ACTIVATION_COLUMNS, ACTIVATION_NAMES, derive_activations
from tbwatch.units import UnitStreaks

NONE = np.full(2, np.nan)


def _after(batches, examples, largest=(0.0, 1.0), saturated=NONE):
    streaks = UnitStreaks(2)
    for _ in range(batches):
        last = streaks.update(np.array(largest), np.array(saturated), examples)
    return last


@pytest.mark.parametrize(
    ("batches", "examples", "dead"),
    [(9, 1000, np.nan), (10, 102, np.nan), (10, 103, 0.5), (32, 32, 0.5), (31, 33, np.nan)],
)
def test_ten_batches_and_1024_examples_are_needed(batches, examples, dead):
    """Before that the share is not known; 31 batches of 33 are 1023 examples."""
    assert _after(batches, examples)[0] == pytest.approx(dead, nan_ok=True)


def test_one_output_wakes_a_unit():
    """A unit that fires once is alive, and has to be silent for as long again."""
    streaks = UnitStreaks(2)
    shares = []
    for batch in range(30):
        largest = np.array([0.0, 0.5 if batch == 12 else 0.0])
        shares.append(streaks.update(largest, NONE, 200)[0])
    assert np.isnan(shares[:9]).all()
    assert shares[9:12] == [1.0] * 3
    assert shares[12:22] == [0.5] * 10
    assert shares[22:] == [1.0] * 8


def test_the_examples_too_are_counted_in_a_row():
    """After it has fired, 60 examples a batch take 18 batches to be 1024."""
    streaks = UnitStreaks(1)
    shares = [
        streaks.update(np.array([float(batch == 20)]), NONE[:1], 60)[0] for batch in range(40)
    ]
    assert shares[17:] == [*[1.0] * 3, *[0.0] * 18, *[1.0] * 2]


def test_not_a_number_is_not_silent():
    """A unit with NaN is unknown, not dead."""
    assert _after(20, 128, largest=(np.nan, 0.0)) == pytest.approx((0.5, np.nan), nan_ok=True)


def test_more_than_95_percent_of_each_batch():
    """Exactly 95 % is not saturated; where the function has no ends the share is unknown."""
    assert _after(20, 128, saturated=(0.95, 0.951)) == (0.5, 0.5)
    assert np.isnan(_after(20, 128)[1])


def test_quantities_of_a_sample():
    """A row of what was stored becomes every quantity; NaN rows leave the streaks alone."""
    assert (
        *("examples", "mean", "std", "unit_std", "zero_fraction", "nonfinite"),
    ) == ACTIVATION_COLUMNS
    table = np.array([[512, 0.5, 2.0, 1.0, 0.25, 0], [np.nan] * 6], np.float32)
    largest = [np.array([0.0, 1.0, 0.0, 2.0]), np.zeros(2)]
    saturated = [np.array([1.0, 0.5, 0.0, 0.5]), np.ones(2)]
    streaks = [UnitStreaks(4), UnitStreaks(2)]
    for _ in range(10):
        found = derive_activations(table, largest, saturated, streaks)
    assert tuple(found) == ACTIVATION_NAMES
    assert [v.dtype for v in found.values()] == [np.float32] * 9
    assert {name: float(v[0]) for name, v in found.items()} == {
        "activation_mean": 0.5,
        "activation_std": 2.0,
        "unit_std": 1.0,
        "activation_zero_fraction": 0.25,
        "activation_nonfinite": 0.0,
        "silent_units": 0.5,
        "dead_units": 0.5,
        "saturated_fraction": 0.5,
        "saturated_units": 0.25,
    }
    assert all(np.isnan(v[1]) for v in found.values())
    assert np.isnan(streaks[1].update(np.zeros(2), np.ones(2), 10_000)).all()
