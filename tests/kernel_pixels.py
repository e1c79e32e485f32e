"""Kernels of one weight per filter, and the pixels that they are drawn as."""

from __future__ import annotations

import numpy as np

from tbwatch.kernels import kernel_change_grid, put_kernels_on_grid

MAGENTA = [255, 0, 255]


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
