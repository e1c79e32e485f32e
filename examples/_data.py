"""MNIST for the examples: a local file, the download of Keras, or digits rendered with Pillow.

The rendered digits exist so that the examples run without a network. They are no MNIST, and
whoever falls back to them is told so on stderr.
"""

from __future__ import annotations

import http.client
import math
import socket
import sys
import threading
import urllib.request
import zipfile
from functools import cache

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Digits = tuple[NDArray[np.uint8], NDArray[np.uint8]]

RENDERED = "rendered"  # the word that --data takes instead of a file
RENDERED_TRAIN, RENDERED_TEST = 10_000, 2_000
_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_ALLOWED = (
    "allowed is a file as keras.datasets.mnist stores it (.npz with x_train, x_test: uint8 "
    f"[N, 28, 28], and y_train, y_test: integers 0 to 9, [N]) or the word '{RENDERED}'"
)


class DataError(ValueError):
    """The given data cannot be used; the message is one sentence for the user."""


def load_mnist(path: str | None = None) -> tuple[Digits, Digits]:
    """Training and test digits in the layout of `keras.datasets.mnist`.

    Args:
        path: An `.npz` file; `"rendered"` for the rendered digits; `None` (the default) for
            `keras.datasets.mnist`, which downloads 11 MB once. Where that fails for want of a
            network, a notice on stderr says so and the rendered digits are used.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: uint8 images `[N, 28, 28]`, 0 = background, and
        uint8 labels `[N]`, 0 to 9.

    Raises:
        DataError: The file is missing, damaged, or holds something else.
    """
    if path == RENDERED:
        print(f"Data: {RENDERED_TRAIN} + {RENDERED_TEST} digits rendered with Pillow, not MNIST.")
        return _rendered_splits()
    if path is not None:
        splits = _read_npz(path)
        print(f"Data: {path}, {len(splits[0][1])} + {len(splits[1][1])} digits.")
        return splits
    try:
        splits = _download()
    except Exception as error:
        if not _is_network_error(error):
            raise
        print(_notice(error), file=sys.stderr, flush=True)
        return _rendered_splits()
    print(f"Data: keras.datasets.mnist, {len(splits[0][1])} + {len(splits[1][1])} digits.")
    return splits


def render_digits(count: int, seed: int) -> Digits:
    """Digits drawn with Pillow's own font, each with another size, stroke, place and slant.

    The font is the scalable one inside Pillow. A Pillow built without FreeType has only a small
    bitmap font: it is enlarged, and all strokes then have one width.

    Args:
        count: How many. Labels are balanced: each digit comes `count // 10` times or once more.
        seed: The same count and seed give the same digits (with the same Pillow).

    Returns:
        uint8 images `[count, 28, 28]`, white on black, and uint8 labels `[count]`.

    Example:
        >>> images, labels = render_digits(20, seed=0)
        >>> images.shape, sorted(labels.tolist())[:4]
        ((20, 28, 28), [0, 0, 1, 1])
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)
    sizes = rng.integers(34, 54, count)
    strokes = rng.integers(0, 1 + sizes // 14)  # thicker would close the small loops
    angles, shears = rng.uniform(-0.3, 0.3, count), rng.uniform(-0.3, 0.3, count)
    shifts = rng.uniform(-5, 5, (count, 2))
    images = np.empty((count, 28, 28), np.float32)
    for i in range(count):
        glyph = _glyph(int(labels[i]), int(sizes[i]), int(strokes[i]))
        # Output pixel (x, y) looks up the glyph at A (x, y) + b: rotation times shear, with b
        # such that the middle of the picture, shifted, shows the middle of the glyph.
        cos, sin, shear = math.cos(angles[i]), math.sin(angles[i]), shears[i]
        a = (cos, -sin + shear * cos, sin, cos + shear * sin)
        x, y = 28 + shifts[i]
        b = (28 - a[0] * x - a[1] * y, 28 - a[2] * x - a[3] * y)
        turned = glyph.transform(
            (56, 56),
            Image.Transform.AFFINE,
            (a[0], a[1], b[0], a[2], a[3], b[1]),
            Image.Resampling.BILINEAR,
        )
        images[i] = np.asarray(turned.reduce(2))  # drawn at twice the size for soft edges
    ink = rng.uniform(0.6, 1.0, (count, 1, 1)).astype(np.float32)
    noise = 12 * rng.standard_normal(images.shape, np.float32)
    return np.clip(np.rint(images * ink + noise), 0, 255).astype(np.uint8), labels


@cache
def _glyph(digit: int, size: int, stroke: int) -> Image.Image:
    """One digit of a font `size` pixels high, in the middle of a 56 x 56 picture."""
    sheet = Image.new("L", (96, 96))
    pen = ImageDraw.Draw(sheet)
    try:
        font = ImageFont.load_default(size=size)
    except ImportError:  # no FreeType
        pen.text((20, 20), str(digit), fill=255, font=ImageFont.load_default())
        small = sheet.crop(sheet.getbbox())
        height = round(0.72 * size)  # as high as the scalable font's digits
        ink = small.resize((height * small.width // small.height, height), Image.Resampling.BOX)
    else:
        pen.text((20, 20), str(digit), fill=255, font=font, stroke_width=stroke)
        ink = sheet.crop(sheet.getbbox())
    picture = Image.new("L", (56, 56))
    picture.paste(ink, ((56 - ink.width) // 2, (56 - ink.height) // 2))
    return picture


def _rendered_splits() -> tuple[Digits, Digits]:
    return render_digits(RENDERED_TRAIN, seed=0), render_digits(RENDERED_TEST, seed=1)


def _read_npz(path: str) -> tuple[Digits, Digits]:
    try:
        with open(path, "rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise zipfile.BadZipFile("no zip archive, or only the front of one")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except FileNotFoundError:
        raise DataError(f"--data {path}: there is no such file; {_ALLOWED}.") from None
    except KeyError as error:
        missing = str(error.args[0]).split()[0]
        raise DataError(f"--data {path}: it holds no array {missing}; {_ALLOWED}.") from None
    except Exception as error:  # a damaged archive raises a dozen kinds, TokenError among them
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"--data {path}: it cannot be read ({reason}); {_ALLOWED}.") from None
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
            found = f"x_{part} is {images.dtype} {list(images.shape)}"
        elif labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
            found = f"y_{part} is {labels.dtype} {list(labels.shape)} for {len(images)} images"
        elif len(labels) == 0:
            found = f"x_{part} is empty"
        elif labels.min() < 0 or labels.max() > 9:
            found = f"y_{part} runs from {labels.min()} to {labels.max()}"
        else:
            arrays[f"y_{part}"] = labels.astype(np.uint8)
            continue
        raise DataError(f"--data {path}: {found}; {_ALLOWED}.")
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def _download() -> tuple[Digits, Digits]:
    """keras.datasets.mnist (its cached file if there is one), without a long wait offline.

    A socket timeout counts for each of the server's addresses anew, and there are many. So the
    server is asked first, with a limit on the whole, and one that is silent gets no more time.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20.0 if _answers(_ORIGIN, seconds=8.0) else 0.1)
    try:
        train, test = keras.datasets.mnist.load_data()
        return train, test
    finally:
        socket.setdefaulttimeout(before)


def _answers(url: str, seconds: float) -> bool:
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except (OSError, http.client.HTTPException):
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _is_network_error(error: Exception) -> bool:
    # Keras re-raises a URLError (an OSError) as a bare Exception, and reports a file that is not
    # the expected one, such as a login page sent in its place, as ValueError.
    kinds = (OSError, http.client.HTTPException, ValueError)
    return isinstance(error, kinds) or isinstance(error.__context__, OSError)


def _notice(error: Exception) -> str:
    rule = "=" * 78
    return f"""
{rule}
NOT MNIST: keras.datasets.mnist could not be loaded.
Reason: {error}
This run uses {RENDERED_TRAIN} training and {RENDERED_TEST} test digits rendered with Pillow,
and its accuracy says nothing about MNIST. With a copy of the real digits:
    --data mnist.npz
To choose the rendered digits yourself, without this notice:
    --data {RENDERED}
{rule}
"""
