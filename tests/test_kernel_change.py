"""The pictures of what changed in a kernel, alone and beside its filters: pixels by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tbwatch.kernels import kernel_change_grid, kernels_beside, put_kernels_on_grid
from tests.kernel_pixels import MAGENTA, change_row, filters

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


# The change


@pytest.mark.parametrize("size", [1e-6, 0.05, 1.0])
def test_contrast_of_the_change_is_the_relative_change(size: float) -> None:
    """Weights of rms 1 that move by 0, 10, 40 %: 127 levels are 100 %, at any weight scale."""
    initial = size * filters(-1, 1, -1, 1)
    kernel = initial + size * filters(0, 0.1, 0.4, 0)  # 1.1 and 0.6 have a smaller rms: W_0 leads
    assert change_row(kernel, initial) == [128, 141, 179, 128]  # 128, 140.7, 178.8


def test_a_tiny_change_looks_tiny() -> None:
    """A change of 1e-6 beside weights of scale 1 leaves the grid flat at 128."""
    rng = np.random.default_rng(0)
    initial = rng.normal(size=(5, 5, 1, 32))
    kernel = initial + 1e-6 * rng.normal(size=initial.shape)
    image = kernel_change_grid(kernel, initial, pad=0)
    assert set(image.ravel().tolist()) == {128}


def test_a_kernel_that_grew_sets_the_limit() -> None:
    """rms(W_t) = 10 against rms(W_0) = 1: the change 9 is 0.9 of the limit, not beyond it."""
    assert change_row(filters(10, -10), filters(1, -1)) == [242, 14]  # 128 +- 114.3


@pytest.mark.parametrize(
    ("size", "levels"),
    [(1e-6, [128, 128]), (1e-4, [141, 115]), (0.5, [255, 1])],
)
def test_zero_start_is_measured_against_the_floor(size: float, levels: list[int]) -> None:
    """From zero, the limit is 1e-3 until the weights themselves are greater."""
    assert change_row(filters(size, -size), filters(0, 0)) == levels  # 1e-4: 128 +- 12.7


def test_a_given_limit_is_full_contrast() -> None:
    """limit=0.01: a change of 0.004 is 0.4 of the way up, one of 0.5 is cut, none is the middle."""
    kernel = filters(1, 1, 1) + filters(0.004, 0.5, 0)
    assert change_row(kernel, filters(1, 1, 1), limit=0.01) == [179, 255, 128]  # 128 + 50.8


def test_nonfinite_change_is_magenta_and_leaves_the_limit_alone() -> None:
    """NaN now or infinite at the start: that filter is magenta, the others keep their levels."""
    initial = filters(1, np.inf, -1, 1)
    kernel = filters(np.nan, np.inf, -1.5, 1)
    limit = np.sqrt((1.5**2 + 1**2) / 2)  # rms of the finite weights now; at the start it is 1
    darker = round(128 - 127 * 0.5 / limit)
    expected = [MAGENTA, MAGENTA, [darker] * 3, [128] * 3]
    assert change_row(kernel, initial) == expected


def test_change_of_the_greatest_floats_draws_without_warning() -> None:
    """Squares and differences beyond float64 neither warn nor empty the picture."""
    big = 1e200
    assert change_row(filters(big, -big), filters(0.6 * big, -big)) == [179, 128]  # 178.8
    greatest = np.finfo(np.float64).max
    assert change_row(filters(greatest, 1), filters(-greatest, 1))[0] == MAGENTA  # change is inf


def test_change_grid_takes_grid_pad_channels_and_enlarge() -> None:
    """The options reach the drawing: 2 of 4 channels, side by side in a frame, twice as large."""
    initial = np.ones((1, 1, 4, 1))
    kernel = initial * np.array([1.0, 0.0, 1.0, 0.5]).reshape(1, 1, 4, 1)
    image = kernel_change_grid(kernel, initial, (1, 2), 1, channels=[1, 2], limit=1.0, enlarge=2)
    expected = np.zeros((5, 13), int)
    expected[2, [2, 4]] = 1, 128
    assert np.array_equal(image[..., 0], expected.repeat(2, 0).repeat(2, 1))


def test_inputs_are_left_as_they_were() -> None:
    """Drawing writes neither into the kernel nor into its start."""
    kernel, initial = filters(1, np.nan, 3), filters(0, 1, 2)
    kernel.flags.writeable = initial.flags.writeable = False
    kernels_beside(kernel, initial)
    assert np.array_equal(kernel, filters(1, np.nan, 3), equal_nan=True)
    assert np.array_equal(initial, filters(0, 1, 2))


# Both beside each other


def test_beside_is_the_two_grids_and_a_white_bar() -> None:
    """Left are the filters, right the change, each with its own options, between them white."""
    rng = np.random.default_rng(1)
    initial, kernel = rng.normal(size=(2, 5, 5, 1, 32))
    image = kernels_beside(kernel, initial, (2, 16), 2, gap=5, scale="filter", limit=0.5, enlarge=2)
    left = put_kernels_on_grid(kernel, (2, 16), 2, scale="filter", enlarge=2)
    right = kernel_change_grid(kernel, initial, (2, 16), 2, limit=0.5, enlarge=2)
    width = left.shape[1]
    assert image.shape == (32, 2 * 228 + 5, 1)  # 2 * (2 + 2 * (5 + 2)), 2 * (2 + 16 * (5 + 2))
    assert np.array_equal(image[:, :width], left)
    assert (image[:, width : width + 5] == 255).all()
    assert np.array_equal(image[:, width + 5 :], right)


def test_beside_turns_grey_into_rgb_where_only_the_change_has_colour() -> None:
    """A NaN in the start alone makes the right side magenta, and the left stays grey in RGB."""
    image = kernels_beside(filters(0, 1), filters(np.nan, 1), (1, 2), 0, gap=1, enlarge=1)
    white = [255, 255, 255]
    assert image.tolist() == [[[1, 1, 1], white, white, MAGENTA, [128, 128, 128]]]


def test_beside_draws_channels_of_both_sides() -> None:
    """`channels` reaches both sides: channel 1 is 0 now, and fell by its whole size."""
    initial = np.ones((1, 1, 2, 1))
    kernel = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    image = kernels_beside(kernel, initial, pad=0, gap=0, channels=[1], enlarge=1, scale=(0, 1))
    assert image.tolist() == [[[1], [1]]]


# The story of filters that seem frozen


@pytest.mark.skipif(not MNIST.exists(), reason="the MNIST archive is not on this machine")
def test_slow_filters_show_on_real_digits_in_the_change_and_not_in_the_filters() -> None:
    """Adam-like steps of 1e-3 along real patches: invisible beside N(0, 1), visible as change."""
    rng = np.random.default_rng(0)
    images = np.load(MNIST)["x_train"][:32, 10:15, 10:15] / 255.0  # one 5x5 patch per filter
    initial = rng.normal(size=(5, 5, 1, 32))
    step = np.sign(images - images.mean()).transpose(1, 2, 0)[:, :, None]
    kernel = initial + 44e-3 * step  # 4.4 % of the weights' size
    scale = (initial.min(), initial.max())
    before = put_kernels_on_grid(initial, pad=0, enlarge=1, scale=scale).astype(int)
    after = put_kernels_on_grid(kernel, pad=0, enlarge=1, scale=scale).astype(int)
    change = kernel_change_grid(kernel, initial, pad=0, enlarge=1).astype(int)
    assert np.abs(after - before).max() <= 2
    assert set(np.abs(change - 128).ravel().tolist()) <= {5, 6}  # 127 * 0.044 / rms(W) = 5.6
