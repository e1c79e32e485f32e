"""Pictures of convolution kernels: the filters, and what training changed in them.

Grey level 0 belongs to the padding, 1..255 to the values (128 is the exact middle), and magenta to
values that are NaN or infinite. No colour means two things, so a black pixel is never a weight.
"""

from __future__ import annotations

import io
import math
import numbers
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tbwatch.layout import FLOOR, ZERO_INIT_FLOOR

__all__ = ["kernel_change_grid", "kernels_beside", "put_kernels_on_grid", "to_png"]

# One filter with more input channels than this is cut by `channels="auto"`: 64 channels of a 5x5
# kernel make a tile of 49x49 pixels, still a picture; 512 channels make a wall of noise.
MAX_CHANNELS = 64
# `enlarge="auto"` keeps the longer side of a grid within this many pixels.
AUTO_PIXELS = 512
# An image beyond this is a mistake in `grid`, `pad` or `enlarge`, and would take gigabytes.
MAX_PIXELS = 2**27
NONFINITE_COLOUR = (255, 0, 255)

Image = npt.NDArray[np.uint8]


def put_kernels_on_grid(
    kernel: npt.ArrayLike,
    grid: tuple[int, int] | None = None,
    pad: int = 1,
    *,
    channels: str | Sequence[int] = "auto",
    scale: str | tuple[float, float] = "shared",
    enlarge: str | int = "auto",
) -> Image:
    """Draw all filters of a convolution kernel in one image, filter 0 at the top left.

    The level of a value v is `1 + round(254 * (v - low) / (high - low))`, cut to 1..255. Where
    low equals high there is no contrast to show, and everything is the middle, 128.

    Three input channels are drawn as red, green and blue. Any other number of channels is drawn
    in grey, one small picture per channel; the channels of one filter stay together in a tile with
    a frame of its own. Channels are never averaged: opposite values would cancel, and a filter
    that lives would look dead.

    Args:
        kernel: real numbers `[Y, X, C, K]` (height, width, input channels, filters); an array, a
            Keras variable, a tensor, or nested lists.
        grid: `(rows, columns)` with room for K filters. Default: as few empty cells as a grid
            allows that is at most twice as wide as high (K = 32 gives 4 x 8, K = 31 the same
            with one empty, black cell).
        pad: width of the black lines around and between filters, and between the channels of a
            filter; counted in weights, so it is enlarged with them.
        channels: `"auto"`: colour for C = 3, else the first 64 channels in grey; `"all"`: every
            channel in grey; or the numbers of the channels to draw in grey, such as `[0, 5]`.
        scale: `"shared"`: low and high are the least and greatest finite value drawn, so filters
            compare and a dead one is flat; `"filter"`: those of each filter by itself, which shows
            the shape of weak filters, and makes noise in a dead one look alive; or
            `(low, high)`, to keep one scale over many images.
        enlarge: whole factor, each weight becomes a square of that many pixels; `"auto"`: the
            largest factor that keeps the longer side within 512 pixels, at least 1.

    Returns:
        uint8 `[H, W, 1]` (grey) or `[H, W, 3]` (RGB: for colour kernels, and whenever a value is
        NaN or infinite; such a pixel is magenta, and it does not take part in the scale).

    Raises:
        TypeError: the kernel does not hold real numbers, or an argument is of the wrong type.
        ValueError: the kernel is not 4-D or is empty, the grid is too small, an argument is out
            of range, or the image would have more than 2**27 pixels.

    Example:
        >>> import numpy as np
        >>> kernel = np.random.default_rng(0).normal(size=(5, 5, 1, 32))
        >>> put_kernels_on_grid(kernel).shape  # 4 x 8 filters, 49 weights wide, 10 times
        (250, 490, 1)
        >>> put_kernels_on_grid([[[[0.0, 1.0]]]], pad=0, enlarge=1)[..., 0]
        array([[  1, 255]], dtype=uint8)
    """
    values = _as_kernel(kernel, "kernel")
    cells = _grid_for(values.shape[3], grid)
    pad = _whole("pad", pad, 0)
    factor = 0 if enlarge == "auto" else _whole("enlarge", enlarge, 1, '"auto" or ')
    values, in_colour = _select_channels(values, channels)
    low, high = _limits(values, scale)
    pixels = _paint(values, low, high, in_colour)
    _check_size(pixels.shape, cells, pad, factor or 1)
    tiles = pixels[:, 0]
    if pixels.shape[1] > 1:
        inner = _near_square(pixels.shape[1])
        tiles = np.stack([_place(filter_pixels, inner, pad) for filter_pixels in pixels])
    image = _place(tiles, cells, pad)
    factor = factor or max(1, AUTO_PIXELS // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def kernel_change_grid(
    kernel: npt.ArrayLike,
    initial: npt.ArrayLike,
    grid: tuple[int, int] | None = None,
    pad: int = 1,
    *,
    channels: str | Sequence[int] = "auto",
    limit: float | None = None,
    enlarge: str | int = "auto",
) -> Image:
    """Draw what training changed, `W_t - W_0`, on the grid of `put_kernels_on_grid`.

    The level of a change d is `1 + round(127 * (1 + d / limit))`, cut to 1..255: 128 is "did not
    change", brighter is "grew", darker is "shrank". The limit is
    `max(rms(W_t), rms(W_0), floor)` over the whole kernel, floor = 1e-3 for a kernel that starts
    at zero, else 1e-12: the denominator of `update_ratio`. So the contrast of the picture is the
    relative change: kernels that moved by 4 % depart by 5 levels (rms) from the middle, a faint
    texture, and a weight that moved by less than 0.4 % of the limit stays at 128. A limit taken
    from the change itself would draw a change of 1e-9 as boldly as one of 100 %.

    Args:
        kernel: the kernel now, W_t, `[Y, X, C, K]`.
        initial: the kernel at the start, W_0, same shape.
        grid: as for `put_kernels_on_grid`.
        pad: as for `put_kernels_on_grid`.
        channels: as for `put_kernels_on_grid`.
        limit: the change drawn as full white (or, negative, as the darkest value), in units of the
            weights; greater changes look the same. Give a small one to look for small changes.
        enlarge: as for `put_kernels_on_grid`.

    Returns:
        uint8 `[H, W, 1]` or `[H, W, 3]`, the same size as `put_kernels_on_grid(kernel)`; magenta
        where either kernel is not finite.

    Raises:
        TypeError: as `put_kernels_on_grid`, or a limit that is no number.
        ValueError: as `put_kernels_on_grid`; kernels of different shapes; a limit not above 0.

    Example:
        >>> import numpy as np
        >>> initial = np.ones((1, 1, 1, 3))
        >>> kernel = initial + [[[[0.0, 0.1, -0.6]]]]
        >>> kernel_change_grid(kernel, initial, (1, 3), pad=0, enlarge=1)[..., 0]
        array([[128, 141,  52]], dtype=uint8)
    """
    now, start = _as_kernel(kernel, "kernel"), _as_kernel(initial, "initial")
    if now.shape != start.shape:
        raise ValueError(f"initial has shape {start.shape}; allowed is the kernel's, {now.shape}")
    if limit is None:
        start_rms = _rms(start)
        limit = max(_rms(now), start_rms, ZERO_INIT_FLOOR if start_rms == 0.0 else FLOOR)
    elif isinstance(limit, bool) or not isinstance(limit, numbers.Real):
        raise TypeError(f"limit is {limit!r}; allowed is a finite number above 0, or None")
    elif not 0 < limit < math.inf:
        raise ValueError(f"limit is {limit!r}; allowed is a finite number above 0, or None")
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is drawn, not warned about
        change = now - start
    scale = (-float(limit), float(limit))
    return put_kernels_on_grid(change, grid, pad, channels=channels, scale=scale, enlarge=enlarge)


def kernels_beside(
    kernel: npt.ArrayLike,
    initial: npt.ArrayLike,
    grid: tuple[int, int] | None = None,
    pad: int = 1,
    *,
    gap: int = 16,
    channels: str | Sequence[int] = "auto",
    scale: str | tuple[float, float] = "shared",
    limit: float | None = None,
    enlarge: str | int = "auto",
) -> Image:
    """Draw the filters (left) and what training changed in them (right), side by side.

    Left is `put_kernels_on_grid(kernel)`, right is `kernel_change_grid(kernel, initial)`, both of
    the same size, and between them a white bar. Each side by itself is enlarged to 512 pixels.

    Args:
        kernel: the kernel now, W_t, `[Y, X, C, K]`.
        initial: the kernel at the start, W_0, same shape.
        grid: as for `put_kernels_on_grid`.
        pad: as for `put_kernels_on_grid`.
        gap: width of the white bar in pixels of the image; it is not enlarged.
        channels: as for `put_kernels_on_grid`.
        scale: scale of the left side, as for `put_kernels_on_grid`.
        limit: scale of the right side, as for `kernel_change_grid`.
        enlarge: factor of both sides, as for `put_kernels_on_grid`.

    Returns:
        uint8 `[H, 2 W + gap, 1]`, or `[H, 2 W + gap, 3]` if either side is in colour.

    Raises:
        TypeError: as the two functions.
        ValueError: as the two functions.

    Example:
        >>> import numpy as np
        >>> initial = np.random.default_rng(0).normal(size=(5, 5, 1, 32))
        >>> kernels_beside(initial * 1.5, initial).shape
        (250, 996, 1)
    """
    gap = _whole("gap", gap, 0)
    filters = put_kernels_on_grid(
        kernel, grid, pad, channels=channels, scale=scale, enlarge=enlarge
    )
    change = kernel_change_grid(
        kernel, initial, grid, pad, channels=channels, limit=limit, enlarge=enlarge
    )
    depth = max(filters.shape[2], change.shape[2])
    bar = np.full((filters.shape[0], gap, depth), 255, np.uint8)
    # Only the change can need colour alone (initial holds a NaN); grey in RGB is three times grey.
    sides = [side.repeat(depth // side.shape[2], axis=2) for side in (filters, change)]
    return np.concatenate([sides[0], bar, sides[1]], axis=1)


def to_png(image: Image) -> bytes:
    """Encode an image as PNG, the form in which TensorBoard keeps images.

    Args:
        image: uint8 `[H, W, 1]` (grey) or `[H, W, 3]` (RGB).

    Returns:
        The bytes of a PNG file; lossless.

    Raises:
        ValueError: an image of another shape or dtype.

    Example:
        >>> to_png(put_kernels_on_grid([[[[0.0, 1.0]]]]))[1:4]
        b'PNG'
    """
    from PIL import Image as PillowImage  # only needed here; drawing works without Pillow

    image = np.asarray(image)
    is_shape = image.ndim == 3 and image.shape[2] in (1, 3) and image.size > 0
    if image.dtype != np.uint8 or not is_shape:
        raise ValueError(
            f"image is {image.dtype} {image.shape}; allowed is uint8 [H, W, 1] or [H, W, 3]"
        )
    buffer = io.BytesIO()
    PillowImage.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def _as_kernel(kernel: npt.ArrayLike, name: str) -> np.ndarray:
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


def _whole(name: str, value: object, least: int, or_else: str = "") -> int:
    """The value as an int of at least `least`, or an error that names it."""
    message = f"{name} is {value!r}; allowed is {or_else}a whole number of at least {least}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(message)
    if value < least:
        raise ValueError(message)
    return int(value)


def _near_square(count: int) -> tuple[int, int]:
    """Rows and columns for `count` tiles: fewest empty cells, at most twice as wide as high."""
    candidates = []
    for columns in range(math.isqrt(count - 1) + 1, count + 1):  # from ceil(sqrt(count))
        rows = -(-count // columns)
        if columns <= 2 * rows:
            candidates.append((rows * columns, columns, rows))
    _, columns, rows = min(candidates)
    return rows, columns


def _check_size(pixels: tuple[int, ...], grid: tuple[int, int], pad: int, factor: int) -> None:
    """Refuse an image that would take gigabytes, of pixels `[K, pictures per filter, Y, X, _]`."""
    height, width = pixels[2:4]
    if pixels[1] > 1:
        inner = _near_square(pixels[1])
        height, width = inner[0] * (height + pad) + pad, inner[1] * (width + pad) + pad
    height, width = grid[0] * (height + pad) + pad, grid[1] * (width + pad) + pad
    if height * width * factor**2 > MAX_PIXELS:
        raise ValueError(
            f"the image would have {height * factor} x {width * factor} pixels; allowed are "
            f"{MAX_PIXELS} in all: choose a smaller grid, pad or enlarge, or fewer channels"
        )


def _grid_for(count: int, grid: tuple[int, int] | None) -> tuple[int, int]:
    """The grid asked for, checked to hold `count` filters; a near-square one by default."""
    if grid is None:
        return _near_square(count)
    if isinstance(grid, str) or not isinstance(grid, Sequence) or len(grid) != 2:
        raise TypeError(f"grid is {grid!r}; allowed is (rows, columns), or None")
    rows, columns = (_whole(f"grid {grid!r}: a side", side, 1) for side in grid)
    if rows * columns < count:
        raise ValueError(
            f"grid is {rows} x {columns} = {rows * columns} cells; "
            f"allowed is rows * columns of at least {count}, the number of filters"
        )
    return rows, columns


def _select_channels(values: np.ndarray, channels: str | Sequence[int]) -> tuple[np.ndarray, bool]:
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


def _limits(values: np.ndarray, scale: str | tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
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


def _paint(values: np.ndarray, low: np.ndarray, high: np.ndarray, in_colour: bool) -> Image:
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


def _place(tiles: np.ndarray, grid: tuple[int, int], pad: int) -> Image:
    """Lay tiles `[N, h, w, colours]` on a grid, row by row, with black lines of `pad` pixels."""
    rows, columns = grid
    count, height, width, colours = tiles.shape
    height, width = height + pad, width + pad
    cells = np.zeros((rows * columns, height, width, colours), np.uint8)
    cells[:count, pad:, pad:] = tiles
    cells = cells.reshape(rows, columns, height, width, colours).swapaxes(1, 2)
    image: Image = cells.reshape(rows * height, columns * width, colours)
    return np.pad(image, ((0, pad), (0, pad), (0, 0)))


def _rms(values: np.ndarray) -> float:
    """Root mean square of the finite values, 0 if there is none."""
    finite = values[np.isfinite(values)]
    greatest = float(np.abs(finite).max(initial=0.0))
    if greatest == 0.0:
        return 0.0
    # Scaled first: the square of a float64 beyond 1e154 overflows.
    return greatest * math.sqrt(float(np.mean((finite / greatest) ** 2)))
