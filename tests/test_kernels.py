"""The pictures of kernels: expected pixels are worked out by hand or by plain loops."""

from __future__ import annotations

import doctest
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tbwatch.kernels
from tbwatch.kernels import (
    kernel_change_grid,
    kernels_beside,
    put_kernels_on_grid,
    to_png,
)

MAGENTA = [255, 0, 255]
DOCS = Path(__file__).parents[1] / "docs" / "kernels.md"
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


def filters(*values: float) -> np.ndarray:
    """A `[1, 1, 1, K]` kernel with one weight per filter."""
    return np.array(values, np.float64).reshape(1, 1, 1, -1)


def row(kernel: np.ndarray, **options: object) -> list:
    """The pixels of a `[1, 1, 1, K]` kernel, all filters in one row without padding."""
    image = put_kernels_on_grid(kernel, (1, kernel.shape[3]), 0, enlarge=1, **options)
    return image[0, :, 0].tolist() if image.shape[2] == 1 else image[0].tolist()


def change_row(kernel: np.ndarray, initial: np.ndarray, **options: object) -> list:
    """The pixels of the change grid, all filters in one row without padding."""
    image = kernel_change_grid(kernel, initial, (1, kernel.shape[3]), 0, enlarge=1, **options)
    return image[0, :, 0].tolist() if image.shape[2] == 1 else image[0].tolist()


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


# PNG


@pytest.mark.parametrize("colours", [1, 3])
def test_png_holds_the_pixels_exactly(colours: int) -> None:
    """Decoding gives back size and pixels."""
    pillow_image = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (4, 7, colours), np.uint8)
    decoded = pillow_image.open(io.BytesIO(to_png(image)))
    assert decoded.format == "PNG"
    assert decoded.mode == {1: "L", 3: "RGB"}[colours]
    assert np.array_equal(np.asarray(decoded).reshape(image.shape), image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 1), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_png_refuses_other_arrays(image: np.ndarray) -> None:
    """Another shape or dtype is named in the error."""
    expected = re.escape(f"image is {image.dtype} {image.shape}; allowed is uint8 [H, W, 1] or")
    with pytest.raises(ValueError, match=expected):
        to_png(image)


# What counts as a kernel


class ArrayLike:
    """Like a Keras variable: no array, but NumPy can read it."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        """Three filters, in half precision."""
        return filters(0, 1, 2).astype(np.float16)


@pytest.mark.parametrize(
    "kernel", [ArrayLike(), [[[[0, 1, 2]]]], filters(0, 1, 2).astype(np.uint8)]
)
def test_anything_that_numpy_reads_is_a_kernel(kernel: object) -> None:
    """Variables, lists and integers draw the same picture."""
    image = put_kernels_on_grid(kernel, (1, 3), 0, enlarge=1)
    assert image[..., 0].tolist() == [[1, 128, 255]]


def test_bfloat16_is_a_kernel() -> None:
    """NumPy does not know the type as a number, and can convert it all the same."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert row(filters(0, 1, 2).astype(ml_dtypes.bfloat16)) == [1, 128, 255]


@pytest.mark.parametrize("shape", [(), (5,), (5, 5), (5, 5, 1), (1, 5, 5, 1, 32)])
@pytest.mark.parametrize("axis_sizes", ["kernel", "initial"])
def test_not_four_dimensional(shape: tuple[int, ...], axis_sizes: str) -> None:
    """The error names the argument, its shape, and the layout."""
    arguments = {"kernel": np.ones((5, 5, 1, 2)), "initial": np.ones((5, 5, 1, 2))}
    arguments[axis_sizes] = np.ones(shape)
    expected = re.escape(f"{axis_sizes} has shape {shape}; allowed is [Y, X, C, K]")
    with pytest.raises(ValueError, match=expected):
        kernel_change_grid(**arguments)


@pytest.mark.parametrize("axis", range(4))
def test_empty_axis(axis: int) -> None:
    """A kernel without weights is refused."""
    shape = [2, 2, 2, 2]
    shape[axis] = 0
    with pytest.raises(ValueError, match=re.escape(f"kernel has shape {tuple(shape)}")):
        put_kernels_on_grid(np.ones(shape))


@pytest.mark.parametrize("dtype", ["complex64", "U3", "object", "datetime64[s]"])
def test_no_real_numbers(dtype: str) -> None:
    """The error names the dtype."""
    with pytest.raises(TypeError, match=r"kernel has dtype .*; allowed are real numbers"):
        put_kernels_on_grid(np.zeros((1, 1, 1, 1), dtype))


def test_initial_of_another_shape() -> None:
    """Both shapes are named, also where broadcasting would have worked."""
    expected = re.escape("initial has shape (1, 1, 1, 1); allowed is the kernel's, (2, 2, 1, 1)")
    with pytest.raises(ValueError, match=expected):
        kernel_change_grid(np.ones((2, 2, 1, 1)), np.ones((1, 1, 1, 1)))


# Options out of range


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"grid": (2, 2)}, ValueError, "grid is 2 x 2 = 4 cells; allowed is rows * columns of at"),
        ({"grid": (0, 9)}, ValueError, "a side is 0; allowed is a whole number of at least 1"),
        ({"grid": (-3, -3)}, ValueError, "a side is -3; allowed is a whole number of at least 1"),
        ({"grid": (2.0, 4)}, TypeError, "a side is 2.0; allowed is a whole number"),
        ({"grid": 8}, TypeError, "grid is 8; allowed is (rows, columns), or None"),
        ({"grid": (1, 2, 4)}, TypeError, "grid is (1, 2, 4); allowed is (rows, columns), or None"),
        ({"grid": "24"}, TypeError, "grid is '24'; allowed is (rows, columns), or None"),
        ({"pad": -1}, ValueError, "pad is -1; allowed is a whole number of at least 0"),
        ({"pad": 0.5}, TypeError, "pad is 0.5; allowed is a whole number of at least 0"),
        ({"pad": True}, TypeError, "pad is True; allowed is a whole number of at least 0"),
        ({"enlarge": 0}, ValueError, 'enlarge is 0; allowed is "auto" or a whole number of at le'),
        ({"enlarge": -2}, ValueError, 'enlarge is -2; allowed is "auto" or a whole number of at'),
        ({"enlarge": True}, TypeError, 'enlarge is True; allowed is "auto" or a whole number'),
        ({"enlarge": 1.5}, TypeError, 'enlarge is 1.5; allowed is "auto" or a whole number'),
        ({"enlarge": "big"}, TypeError, "enlarge is 'big'; allowed is \"auto\" or a whole number"),
        ({"scale": "global"}, ValueError, 'scale is \'global\'; allowed is "shared", "filter" or'),
        ({"scale": (1, 1)}, ValueError, 'scale is (1, 1); allowed is "shared", "filter" or (low,'),
        ({"scale": (0, np.inf)}, ValueError, 'scale is (0, inf); allowed is "shared", "filter"'),
        ({"scale": (1, 2, 3)}, TypeError, 'scale is (1, 2, 3); allowed is "shared", "filter"'),
        ({"scale": None}, TypeError, 'scale is None; allowed is "shared", "filter"'),
        ({"channels": "rgb"}, ValueError, 'channels is \'rgb\'; allowed is "auto", "all" or one'),
        ({"channels": []}, ValueError, "or one or more channel numbers from 0 to 1"),
        ({"channels": [2]}, ValueError, "or one or more channel numbers from 0 to 1"),
        ({"channels": [-1]}, ValueError, "or one or more channel numbers from 0 to 1"),
        ({"channels": 1}, TypeError, "or one or more channel numbers from 0 to 1"),
        ({"channels": [0.0]}, TypeError, "or one or more channel numbers from 0 to 1"),
    ],
)
def test_options_out_of_range(option: dict, error: type[Exception], message: str) -> None:
    """One sentence: what was given, and what is allowed."""
    with pytest.raises(error, match=re.escape(message)):
        put_kernels_on_grid(np.ones((2, 2, 2, 5)), **option)


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (0, ValueError),
        (-1.0, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (True, TypeError),
        ("all", TypeError),
    ],
)
def test_limit_out_of_range(limit: object, error: type[Exception]) -> None:
    """The limit of the change is a finite number above 0."""
    with pytest.raises(error, match=r"limit is .*; allowed is a finite number above 0, or None"):
        kernel_change_grid(filters(1), filters(2), limit=limit)


def test_negative_gap() -> None:
    """The white bar cannot be narrower than nothing."""
    with pytest.raises(ValueError, match="gap is -1; allowed is a whole number of at least 0"):
        kernels_beside(filters(1), filters(2), gap=-1)


def test_small_numpy_integers_do_not_overflow() -> None:
    """An int8 grid, pad and factor count as the whole numbers that they are."""
    two, hundred = np.int8(2), np.int8(100)
    image = put_kernels_on_grid(np.ones((100, 100, 1, 2)), (hundred, two), two, enlarge=two)
    assert image.shape == (2 * (2 + 100 * 102), 2 * (2 + 2 * 102), 1)


# Documents, and what importing costs


def test_docstring_examples() -> None:
    """The examples in the docstrings run, and give what they say."""
    result = doctest.testmod(tbwatch.kernels)
    assert result.attempted >= 8
    assert result.failed == 0


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Every print of the page gives what its comment says."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    code = "".join(blocks)
    expected = re.findall(r"^print\(.*\)  # (True|\d+|\(.*?\))[: ]?.*$", code, re.MULTILINE)
    exec(code, {})
    assert len(expected) == code.count("print(") == 4
    assert capsys.readouterr().out.splitlines() == expected


def test_drawing_needs_no_tensorflow() -> None:
    """Importing the module and drawing load neither TensorFlow nor Keras nor Pillow."""
    code = (
        "import sys, tbwatch.kernels as k; k.put_kernels_on_grid([[[[0., 1.]]]]);"
        "print({'tensorflow', 'keras', 'PIL'} & set(sys.modules))"
    )
    root = Path(tbwatch.kernels.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
