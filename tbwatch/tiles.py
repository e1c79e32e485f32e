"""Tiles of a kernel as pixels: what is drawn, on which scale, and where on a grid."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# One filter with more input channels than this is cut by `channels="auto"`: 64 channels of a 5x5
# kernel make a tile of 49x49 pixels, still a picture; 512 channels make a wall of noise.
MAX_CHANNELS = 64
# An image beyond this is a mistake in `grid`, `pad` or `enlarge`, and would take gigabytes.
MAX_PIXELS = 2**27
NONFINITE_COLOUR = (255, 0, 255)

Image = npt.NDArray[np.uint8]


def as_kernel(kernel: npt.ArrayLike, name: str) -> np.ndarray:
    """The kernel as float64 `[Y, X, C, K]`, or an error that says why it is none."""
    array = np.asarray(kernel)
    # Not `dtype.kind`: bfloat16 and the 8-bit floats are of kind "V", and cast all the same.
    if not np.can_cast(array.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} has dtype {array.dtype}; allowed are real numbers")
    if array.ndim != 4 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; allowed is [Y, X, C, K] (height, width, input "
            "channels, filters), each at least 1"
        )
    return array.astype(np.float64)


def whole_number(name: str, value: object, least: int, or_else: str = "") -> int:
    """The value as an int of at least `least`, or an error that names it."""
    message = f"{name} is {value!r}; allowed is {or_else}a whole number of at least {least}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(message)
    if value < least:
        raise ValueError(message)
    return int(value)


def near_square(count: int) -> tuple[int, int]:
    """Rows and columns for `count` tiles: fewest empty cells, at most twice as wide as high."""
    candidates = []
    for columns in range(math.isqrt(count - 1) + 1, count + 1):  # from ceil(sqrt(count))
        rows = -(-count // columns)
        if columns <= 2 * rows:
            candidates.append((rows * columns, columns, rows))
    _, columns, rows = min(candidates)
    return rows, columns


def check_size(pixels: tuple[int, ...], grid: tuple[int, int], pad: int, factor: int) -> None:
    """Refuse an image that would take gigabytes, of pixels `[K, pictures per filter, Y, X, _]`."""
    height, width = pixels[2:4]
    if pixels[1] > 1:
        inner = near_square(pixels[1])
        height, width = inner[0] * (height + pad) + pad, inner[1] * (width + pad) + pad
    height, width = grid[0] * (height + pad) + pad, grid[1] * (width + pad) + pad
    if height * width * factor**2 > MAX_PIXELS:
        raise ValueError(
            f"the image would have {height * factor} x {width * factor} pixels; allowed are "
            f"{MAX_PIXELS} in all: choose a smaller grid, pad or enlarge, or fewer channels"
        )


def grid_for(count: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    """The grid asked for, checked to hold `count` filters; a near-square one by default."""
    if grid is None:
        return near_square(count)
    if isinstance(grid, str) or not isinstance(grid, Sequence) or len(grid) != 2:
        raise TypeError(f"grid is {grid!r}; allowed is (rows, columns), or None")
    rows, columns = (whole_number(f"grid {grid!r}: a side", side, 1) for side in grid)
    if rows * columns < count:
        raise ValueError(
            f"grid is {rows} x {columns} = {rows * columns} cells; "
            f"allowed is rows * columns of at least {count}, the number of filters"
        )
    return rows, columns


def select_channels(values: np.ndarray, channels: str | Sequence[int]) -> tuple[np.ndarray, bool]:
    """The channels to draw, `[Y, X, C', K]`, and whether they are red, green and blue."""
    count = values.shape[2]
    message = (
        f'channels is {channels!r}; allowed is "auto", "all" or one or more channel numbers '
        f"from 0 to {count - 1}"
    )
    if isinstance(channels, str):
        if channels not in ("auto", "all"):
            raise ValueError(message)
        if channels == "all":
            return values, False
        return values[:, :, :MAX_CHANNELS], count == 3
    chosen = np.asarray(channels)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise TypeError(message)
    if not chosen.size or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(message)
    return values[:, :, chosen], False


def limits(values: np.ndarray, scale: str | tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Low and high of the scale, each `[1, 1, 1, 1]` (shared) or `[1, 1, 1, K]` (per filter)."""
    message = f'scale is {scale!r}; allowed is "shared", "filter" or (low, high), low < high'
    if isinstance(scale, str):
        if scale not in ("shared", "filter"):
            raise ValueError(message)
        axes = (0, 1, 2) if scale == "filter" else (0, 1, 2, 3)
        finite = np.isfinite(values)
        low = values.min(axis=axes, keepdims=True, where=finite, initial=math.inf)
        high = values.max(axis=axes, keepdims=True, where=finite, initial=-math.inf)
        nothing_finite = low > high
        return np.where(nothing_finite, 0.0, low), np.where(nothing_finite, 0.0, high)
    limits = np.asarray(scale)
    if limits.shape != (2,) or limits.dtype.kind not in "iuf":
        raise TypeError(message)
    if not (np.isfinite(limits).all() and limits[0] < limits[1]):
        raise ValueError(message)
    low, high = limits.astype(np.float64).reshape(2, 1, 1, 1, 1)
    return low, high


def paint(values: np.ndarray, low: np.ndarray, high: np.ndarray, in_colour: bool) -> Image:
    """Turn values `[Y, X, C, K]` into pixels `[K, pictures per filter, Y, X, 1 or 3]`."""
    finite = np.isfinite(values)
    known = np.where(finite, values, low)
    # Halves, because high - low overflows where they are the greatest float64 of either sign.
    span = np.broadcast_to(high / 2 - low / 2, values.shape)
    middle = np.full(values.shape, 0.5)
    with np.errstate(over="ignore"):  # far outside a given (low, high): cut below
        share = np.divide(known / 2 - low / 2, span, out=middle, where=span > 0)
    levels: Image = (1 + np.rint(254 * np.clip(share, 0, 1))).astype(np.uint8)
    if in_colour:
        pixels: Image = levels.transpose(3, 0, 1, 2)[:, None]
        broken = ~finite.all(axis=2).transpose(2, 0, 1)[:, None]
    else:
        pixels = levels.transpose(3, 2, 0, 1)[..., None]
        broken = ~finite.transpose(3, 2, 0, 1)
    if not broken.any():
        return pixels
    return np.where(broken[..., None], np.array(NONFINITE_COLOUR, np.uint8), pixels)


def place(tiles: np.ndarray, grid: tuple[int, int], pad: int) -> Image:
    """Lay tiles `[N, h, w, colours]` on a grid, row by row, with black lines of `pad` pixels."""
    rows, columns = grid
    count, height, width, colours = tiles.shape
    height, width = height + pad, width + pad
    cells = np.zeros((rows * columns, height, width, colours), np.uint8)
    cells[:count, pad:, pad:] = tiles
    cells = cells.reshape(rows, columns, height, width, colours).swapaxes(1, 2)
    image: Image = cells.reshape(rows * height, columns * width, colours)
    return np.pad(image, ((0, pad), (0, pad), (0, 0)))


def rms(values: np.ndarray) -> float:
    """Root mean square of the finite values, 0 if there is none."""
    finite = values[np.isfinite(values)]
    greatest = float(np.abs(finite).max(initial=0.0))
    if greatest == 0.0:
        return 0.0
    # Scaled first: the square of a float64 beyond 1e154 overflows.
    return greatest * math.sqrt(float(np.mean((finite / greatest) ** 2)))
