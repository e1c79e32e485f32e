"""Quantities out of the device table, worked out by hand or in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tbwatch import quantities
from tbwatch.layout import Layout, WatchedVariable
from tbwatch.quantities import COLUMNS, NAMES, QUANTITIES, derive

NAN, INF = np.nan, np.inf


def derived(
    size: int = 4, initial_rms: float | None = 0.5, **columns: float
) -> dict[str, np.float32]:
    """Quantities of one variable of which the table holds these columns, and NaN elsewhere."""
    table = np.array([[columns.get(name, NAN) for name in COLUMNS]], np.float32)
    layout = Layout((WatchedVariable("a/kernel", (size,), initial_rms=initial_rms),))
    return {name: values[0] for name, values in derive(table, layout).items()}


def test_every_quantity_is_derived_and_described() -> None:
    """One float32 value per variable for each name; the names are told apart and explained."""
    table = np.arange(2 * len(COLUMNS), dtype=np.float32).reshape(2, -1)
    variables = tuple(WatchedVariable(name, (4,), initial_rms=1.0) for name in "ab")
    result = derive(table, Layout(variables))
    assert list(NAMES) == list(result)
    assert {(2,)} == {values.shape for values in result.values()}
    assert {np.dtype("float32")} == {values.dtype for values in result.values()}
    assert len(set(NAMES)) == len(QUANTITIES)
    assert all(quantity.unit and quantity.meaning for quantity in QUANTITIES)


def test_columns_are_copied_by_name() -> None:
    """Norms, counts and cosines arrive under their own names, row by row."""
    table = np.arange(3 * len(COLUMNS), dtype=np.float32).reshape(3, -1)
    variables = tuple(WatchedVariable(name, (4,), initial_rms=1.0) for name in "abc")
    result = derive(table, Layout(variables))
    for name in set(COLUMNS) & set(NAMES):
        np.testing.assert_array_equal(result[name], table[:, COLUMNS.index(name)])
    assert set(NAMES) - set(COLUMNS) == {
        "update_ratio",
        "window_change",
        "gradient_zero_fraction",
        "update_zero_fraction",
    }


@pytest.mark.parametrize("column", ["update_norm", "window_norm"])
@pytest.mark.parametrize(
    ("weight_norm", "initial_rms", "scale"),
    [
        (4.0, 0.5, 2.0),  # rms of four elements of norm 4
        (0.2, 0.5, 0.5),  # weights that shrank are held against their start
        (4.0, None, 2.0),
        (0.0, 0.0, 1e-3),  # a bias that starts at zero
        (0.0, None, 1e-12),
        (0.0, 1e-20, 1e-12),
    ],
)
def test_ratio_is_change_over_scale(
    column: str, weight_norm: float, initial_rms: float | None, scale: float
) -> None:
    """rms(dW) / max(rms(W), rms(W at init), floor), for the update and for the window."""
    result = derived(4, initial_rms, weight_norm=weight_norm, **{column: 0.01})
    name = {"update_norm": "update_ratio", "window_norm": "window_change"}[column]
    assert result[name] == pytest.approx(0.01 / 2 / scale, rel=1e-6)


def test_nan_stays_nan() -> None:
    """What the step had nothing to say about, and what NaN weights spoil, is NaN, not a number."""
    assert all(np.isnan(value) for value in derived().values())
    spoilt = derived(weight_norm=NAN, update_norm=1.0, window_norm=1.0)
    assert np.isnan(spoilt["update_ratio"])
    assert np.isnan(spoilt["window_change"])


@pytest.mark.parametrize("name", ["decay_cosine", "gradient_weight_cosine"])
def test_a_cosine_beside_a_norm_that_float32_lost_is_unknown(name: str) -> None:
    """It was divided by 0; what could be measured stays as it is."""
    for measured, cosine in ((INF, NAN), (-INF, NAN), (NAN, NAN), (-1.0, -1.0), (0.25, 0.25)):
        np.testing.assert_equal(derived(**{name: measured})[name], np.float32(cosine))


@pytest.mark.parametrize(
    ("weight_norm", "update_norm", "ratio"),
    [(0.0, 3e38, INF), (1.0, INF, INF), (INF, 1.0, 0.0), (INF, INF, NAN)],
)
def test_extreme_ratios_make_no_warning(
    weight_norm: float, update_norm: float, ratio: float
) -> None:
    """Overflow and infinities follow float arithmetic in silence: training output stays clean."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = derived(4, None, weight_norm=weight_norm, update_norm=update_norm)
    np.testing.assert_array_equal(result["update_ratio"], np.float32(ratio))


@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize(
    ("size", "nonzeros", "share"),
    [(4, 4, 0.0), (4, 0, 1.0), (4, 1, 0.75), (10**8, 1, 1 - 1e-8), (2**24 + 3, 2**24 + 3, 0.0)],
)
def test_zero_fraction_is_the_share_of_zeros(
    kind: str, size: int, nonzeros: int, share: float
) -> None:
    """1 - non-zeros / size, always within 0..1, also where float32 rounds the count up."""
    result = derived(size, **{f"{kind}_nonzeros": nonzeros})[f"{kind}_zero_fraction"]
    assert result == pytest.approx(share, abs=1e-7)
    assert 0 <= result <= 1


def test_a_table_of_another_width_is_refused() -> None:
    """A table that lacks a column is a bug to show, not to guess around."""
    layout = Layout((WatchedVariable("a", (4,)),))
    with pytest.raises(ValueError, match="zip"):
        derive(np.zeros((1, len(quantities.COLUMNS) - 1), np.float32), layout)
