"""Pictures of kernels as PNG, and what importing them costs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tbwatch.kernels
from tbwatch.kernels import to_png

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


# What importing costs


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
