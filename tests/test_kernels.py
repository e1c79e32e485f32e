"""The pictures of filters: expected pixels are worked out by hand or by plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from tbwatch.kernels import put_kernels_on_grid
from tests.kernel_pixels import MAGENTA, change_row, filters, row

# The grid


@pytest.mark.parametrize(
    ("count", "rows", "columns"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 2), (7, 2, 4), (31, 4, 8), (32, 4, 8), (64, 8, 8), (96, 8, 12)],
)
def test_default_grid_is_near_square(count: int, rows: int, columns: int) -> None:
    """Few empty cells, and never a strip, even for a prime number of filters."""
    image = put_kernels_on_grid(np.ones((3, 3, 1, count)), pad=0, enlarge=1)
    assert image.shape == (3 * rows, 3 * columns, 1)


def test_every_count_up_to_600_fits_a_grid_no_wider_than_two_to_one() -> None:
    """The default grid holds all filters for any count, at most twice as wide as high."""
    for count in range(1, 601):
        height, width, _ = put_kernels_on_grid(np.ones((1, 1, 1, count)), pad=0, enlarge=1).shape
        assert height <= width <= 2 * height
        assert count <= height * width < count + width


def test_filters_stand_row_by_row_in_a_given_grid_and_the_rest_is_black() -> None:
    """Filter k is in row k // columns; unused cells and padding are black."""
    image = put_kernels_on_grid(filters(0, 1, 2, 5, 10), (2, 4), enlarge=1)
    # 1 + round(254 * value / 10) of 0, 25.4, 50.8, 127, 254
    assert image[..., 0].tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 26, 0, 52, 0, 128, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 255, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_orientation_of_a_filter() -> None:
    """Y runs down and X to the right."""
    kernel = np.arange(6.0).reshape(2, 3, 1, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1)
    # 254 * k / 5 = 0, 50.8, 101.6, 152.4, 203.2, 254
    assert image[..., 0].tolist() == [[1, 52, 103], [153, 204, 255]]


@pytest.mark.parametrize("pad", [0, 1, 3])
def test_every_pixel_against_plain_loops(pad: int) -> None:
    """Position and level of each weight of a 5-channel kernel, channel tiles within filters."""
    kernel = np.random.default_rng(3).normal(size=(2, 3, 5, 7))
    image = put_kernels_on_grid(kernel, (3, 3), pad, enlarge=1)[..., 0]
    # 5 channels stand on 2 x 3 (one empty cell), in a frame of their own.
    tile_height, tile_width = pad + 2 * (2 + pad), pad + 3 * (3 + pad)
    expected = np.zeros((pad + 3 * (tile_height + pad), pad + 3 * (tile_width + pad)))
    low, high = kernel.min(), kernel.max()
    for (y, x, c, k), value in np.ndenumerate(kernel):
        top = pad + (k // 3) * (tile_height + pad) + pad + (c // 3) * (2 + pad)
        left = pad + (k % 3) * (tile_width + pad) + pad + (c % 3) * (3 + pad)
        expected[top + y, left + x] = 1 + round(254 * (value - low) / (high - low))
    assert np.array_equal(image, expected)


def test_enlargement_repeats_every_pixel() -> None:
    """A factor of 3 makes each weight, and each line of padding, 3 x 3 equal pixels."""
    kernel = np.random.default_rng(0).normal(size=(2, 2, 3, 5))
    small = put_kernels_on_grid(kernel, enlarge=1)
    large = put_kernels_on_grid(kernel, enlarge=3)
    assert large.shape == (3 * small.shape[0], 3 * small.shape[1], 3)
    for dy in range(3):
        for dx in range(3):
            assert np.array_equal(large[dy::3, dx::3], small)


@pytest.mark.parametrize(
    ("shape", "factor"), [((5, 5, 1, 32), 10), ((1, 1, 1, 1), 170), ((200, 300, 1, 4), 1)]
)
def test_automatic_enlargement_fills_512_pixels(shape: tuple[int, ...], factor: int) -> None:
    """5x5x32 is 25 x 49 small (512 // 49 = 10), one weight 3 x 3, and a big one stays."""
    small = put_kernels_on_grid(np.zeros(shape), enlarge=1)
    large = put_kernels_on_grid(np.zeros(shape))
    assert large.shape[:2] == (small.shape[0] * factor, small.shape[1] * factor)


# Channels


def test_three_channels_are_red_green_blue() -> None:
    """A weight that only the first channel has is red."""
    kernel = np.eye(3).reshape(1, 1, 3, 3)  # filter k has a 1 in channel k
    image = put_kernels_on_grid(kernel, (1, 3), 0, enlarge=1)
    assert image.tolist() == [[[255, 1, 1], [1, 255, 1], [1, 1, 255]]]


def test_three_channels_in_grey_on_request() -> None:
    """`channels="all"` draws the three as grey pictures on 2 x 2, the last cell empty."""
    kernel = np.array([0.0, 1.0, 2.0]).reshape(1, 1, 3, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1, channels="all")
    assert image[..., 0].tolist() == [[1, 128], [255, 0]]


def test_automatic_channels_end_at_64_and_all_does_not() -> None:
    """70 channels: 64 on 8 x 8, or all on 7 x 10."""
    kernel = np.arange(1.0, 71.0).reshape(1, 1, 70, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1)
    assert image.shape == (8, 8, 1)
    assert image[0, 0, 0] == 1
    assert image[7, 7, 0] == 255  # channel 63, the last one drawn: it ends the scale
    assert put_kernels_on_grid(kernel, pad=0, enlarge=1, channels="all").shape == (7, 10, 1)


def test_named_channels_are_drawn_in_the_order_given() -> None:
    """`channels=[2, 0]` draws channel 2 left of channel 0."""
    kernel = np.array([0.0, 50.0, 1.0]).reshape(1, 1, 3, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1, channels=[2, 0])
    assert image[..., 0].tolist() == [[255, 1]]


# The scale


def test_a_dead_filter_is_flat_on_the_shared_scale_only() -> None:
    """Noise of 1e-3 beside weights of scale 1 is flat; per filter it looks alive."""
    kernel = np.array([[-1.0, 0.0], [1.0, 0.001]]).reshape(2, 1, 1, 2)  # filters (-1, 1), (0, .001)
    shared = put_kernels_on_grid(kernel, pad=0, enlarge=1)[..., 0]
    alone = put_kernels_on_grid(kernel, pad=0, enlarge=1, scale="filter")[..., 0]
    assert shared.tolist() == [[1, 128], [255, 128]]
    assert alone.tolist() == [[1, 1], [255, 255]]


@pytest.mark.parametrize("scale", ["shared", "filter"])
@pytest.mark.parametrize("value", [0.0, -7.5, 1e300])
def test_equal_weights_are_middle_grey(value: float, scale: str) -> None:
    """No contrast, no division by zero, no warning."""
    assert row(filters(value, value), scale=scale) == [128, 128]


def test_a_given_scale_is_used_and_cut() -> None:
    """(-1, 1) maps -1, 0, 1 to 1, 128, 255, and what lies beyond to the ends."""
    kernel = filters(-9, -1, 0, 1, 1e308)
    assert row(kernel, scale=(-1, 1)) == [1, 1, 128, 255, 255]
    assert row(kernel, scale=(-1e-3, 1e-3)) == [1, 1, 128, 255, 255]  # 1e311 times the scale


def test_greatest_floats_do_not_overflow() -> None:
    """The difference of the two greatest float64 is infinite, the picture is right all the same."""
    greatest = np.finfo(np.float64).max
    assert row(filters(-greatest, 0, greatest)) == [1, 128, 255]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scale", ["shared", "filter"])
def test_nonfinite_weights_are_magenta_and_leave_the_scale_alone(bad: float, scale: str) -> None:
    """The other weights of a grey kernel keep their levels, in an RGB image."""
    kernel = np.array([-1.0, bad, 0.0, 1.0]).reshape(4, 1, 1, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1, scale=scale)
    assert image[:, 0].tolist() == [[1, 1, 1], MAGENTA, [128, 128, 128], [255, 255, 255]]


def test_nonfinite_weight_in_one_colour_spoils_its_pixel_only() -> None:
    """In a colour kernel the pixel is magenta, its neighbour keeps its colour."""
    kernel = np.array([[0.0, np.nan, 1.0], [0.0, 0.5, 1.0]]).reshape(1, 2, 3, 1)
    image = put_kernels_on_grid(kernel, pad=0, enlarge=1)
    assert image.tolist() == [[MAGENTA, [1, 128, 255]]]


def test_nothing_finite_is_all_magenta() -> None:
    """A kernel of NaN alone is drawn, not refused."""
    assert row(filters(np.nan, np.inf)) == [MAGENTA, MAGENTA]
    assert change_row(filters(np.nan, np.inf), filters(np.inf, np.inf)) == [MAGENTA, MAGENTA]
