"""What the pictures of kernels are made of, and which options they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tbwatch.kernels import kernel_change_grid, kernels_beside, put_kernels_on_grid
from tests.kernel_pixels import filters, row

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
