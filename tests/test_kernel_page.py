"""Pictures of kernels as PNG, the examples that show them, and what importing them costs."""

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
from tbwatch.kernels import to_png

DOCS = Path(__file__).parents[1] / "docs" / "kernels.md"


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
