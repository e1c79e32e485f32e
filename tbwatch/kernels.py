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
from tbwatch.tiles import (
    Image,
    as_kernel,
    check_size,
    grid_for,
    limits,
    near_square,
    paint,
    place,
    rms,
    select_channels,
    whole_number,
)

__all__ = ["kernel_change_grid", "kernels_beside", "put_kernels_on_grid", "to_png"]

# `enlarge="auto"` keeps the longer side of a grid within this many pixels.
AUTO_PIXELS = 512


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
    values = as_kernel(kernel, "kernel")
    cells = grid_for(values.shape[3], grid)
    pad = whole_number("pad", pad, 0)
    factor = 0 if enlarge == "auto" else whole_number("enlarge", enlarge, 1, '"auto" or ')
    values, in_colour = select_channels(values, channels)
    low, high = limits(values, scale)
    pixels = paint(values, low, high, in_colour)
    check_size(pixels.shape, cells, pad, factor or 1)
    tiles = pixels[:, 0]
    if pixels.shape[1] > 1:
        inner = near_square(pixels.shape[1])
        tiles = np.stack([place(filter_pixels, inner, pad) for filter_pixels in pixels])
    image = place(tiles, cells, pad)
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
    now, start = as_kernel(kernel, "kernel"), as_kernel(initial, "initial")
    if now.shape != start.shape:
        raise ValueError(f"initial has shape {start.shape}; allowed is the kernel's, {now.shape}")
    if limit is None:
        start_rms = rms(start)
        limit = max(rms(now), start_rms, ZERO_INIT_FLOOR if start_rms == 0.0 else FLOOR)
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
    gap = whole_number("gap", gap, 0)
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
