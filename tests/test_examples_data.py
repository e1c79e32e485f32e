"""The digits of the examples: rendered, read from a file, or downloaded."""

from __future__ import annotations

import http.server
import importlib
import socket
import sys
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import ImageFont
from PIL._util import DeferredError

ROOT = Path(__file__).resolve().parents[1]
REAL_MNIST = ROOT.parent / "shared" / "data" / "mnist.npz"

sys.path.insert(0, str(ROOT / "examples"))
_data: Any = importlib.import_module("_data")


def neighbour_accuracy(train: Any, test: Any) -> float:
    """The share of test digits whose nearest training image by angle is of their own class."""

    def unit_rows(images: np.ndarray) -> np.ndarray:
        rows: np.ndarray = images.reshape(len(images), -1).astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    nearest = (unit_rows(test[0]) @ unit_rows(train[0]).T).argmax(1)
    return float(np.mean(train[1][nearest] == test[1]))


# Rendered digits


def test_same_seed_same_digits() -> None:
    """A count and a seed fix every pixel and label; another seed gives others."""
    images, labels = _data.render_digits(50, seed=3)
    again, labels_again = _data.render_digits(50, seed=3)
    other, _ = _data.render_digits(50, seed=4)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(images, other)


def test_layout_and_balance() -> None:
    """uint8 [N, 28, 28] and [N]; of 103 digits each class has 10, the first three one more."""
    images, labels = _data.render_digits(103, seed=0)
    assert (images.shape, images.dtype) == ((103, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((103,), np.uint8)
    assert np.bincount(labels).tolist() == [11, 11, 11, 10, 10, 10, 10, 10, 10, 10]
    assert not np.array_equal(labels, np.sort(labels))


def test_classes_differ() -> None:
    """The nearest digit of one seed names those of another far above chance (0.1)."""
    accuracy = neighbour_accuracy(_data.render_digits(2000, 0), _data.render_digits(500, 1))
    assert accuracy > 0.6


def test_digits_vary() -> None:
    """Ones differ in height, place, stroke, slant and brightness as the drawing promises."""
    images, labels = _data.render_digits(600, seed=0)
    ones = images[labels == 1]
    found = [np.nonzero(one > 80) for one in ones]  # 80 is above the noise
    heights = np.array([np.ptp(y) + 1 for y, _ in found])
    thickness = np.array([len(y) for y, _ in found]) / heights
    slants = [np.cov(x, y)[0, 1] / np.var(y) for y, x in found]
    assert heights.min() <= 14  # 0.72 * 34 / 2 = 12 rows and more with stroke and turn
    assert heights.max() >= 19  # 0.72 * 53 / 2 = 19
    assert np.std([np.mean(y) for y, _ in found]) > 1  # a shift of +-2.5 pixels: 1.4
    assert np.std([np.mean(x) for _, x in found]) > 1
    assert thickness.max() > 2 * thickness.min()
    assert thickness.max() > 5  # two pixels, and one and a half on either side
    assert np.std(slants) > 0.19  # two angles of +-0.3, 0.17 each, thinned by thick strokes
    assert ones.max((1, 2)).min() < 200


def test_digits_are_whole() -> None:
    """None is cut by the border: there is hardly any ink on it."""
    images, _ = _data.render_digits(600, seed=0)
    border = np.ones((28, 28), bool)
    border[1:-1, 1:-1] = False
    assert np.mean(images[:, border] > 80) < 1e-3


def test_without_freetype(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow without FreeType has only a bitmap font: the digits remain recognisable."""
    with_freetype, _ = _data.render_digits(20, seed=0)
    monkeypatch.setattr(ImageFont, "core", DeferredError(ImportError("no _imagingft")))
    _data._glyph.cache_clear()
    try:
        train, test = _data.render_digits(2000, 0), _data.render_digits(500, 1)
    finally:
        _data._glyph.cache_clear()
    assert not np.array_equal(train[0][:20], with_freetype)
    assert neighbour_accuracy(train, test) > 0.6


# Files


def good_arrays() -> dict[str, Any]:
    """Arrays as in MNIST's file: 30 + 20 digits, labels of two integer types."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        "y_train": np.arange(30) % 10,
        "x_test": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }


def test_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file comes back as it was written, labels as uint8, and is named on stdout."""
    path, arrays = tmp_path / "digits.npz", good_arrays()
    np.savez(path, **arrays)
    (x_train, y_train), (x_test, y_test) = _data.load_mnist(str(path))
    assert np.array_equal(x_train, arrays["x_train"])
    assert np.array_equal(x_test, arrays["x_test"])
    assert y_train.tolist() == list(range(10)) * 3
    assert y_test.tolist() == list(range(10)) * 2
    assert y_train.dtype == y_test.dtype == np.uint8
    printed = capsys.readouterr()
    assert printed.out == f"Data: {path}, 30 + 20 digits.\n"
    assert printed.err == ""


def cut(path: Path) -> None:
    """Drops the end of a file, where a zip archive has its directory."""
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_pixel(path: Path) -> None:
    """Changes one byte among the pixels of the first array."""
    content = bytearray(path.read_bytes())
    content[5000] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "there is no such file"),
        (cut, "no zip archive, or only the front of one"),
        (flip_a_pixel, "Bad CRC-32"),
        (lambda path: path.write_bytes(b""), "no zip archive"),
        (lambda path: path.write_text("hello"), "no zip archive"),
    ],
)
def test_unreadable_file(tmp_path: Path, damage: Callable[[Path], Any], said: str) -> None:
    """A missing or damaged file: one sentence with the path, what is wrong and what is allowed."""
    path = tmp_path / "digits.npz"
    np.savez(path, **good_arrays())
    damage(path)
    with pytest.raises(_data.DataError) as error:
        _data.load_mnist(str(path))
    message = str(error.value)
    assert message.startswith(f"--data {path}: ")
    assert said in message
    assert "x_train, x_test: uint8 [N, 28, 28]" in message
    assert "'rendered'" in message
    assert "\n" not in message
    assert message.endswith(".")


def test_directory_instead_of_file(tmp_path: Path) -> None:
    """A directory is refused with the reason of the operating system."""
    with pytest.raises(_data.DataError, match="directory"):
        _data.load_mnist(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y_test": None}, "it holds no array y_test"),
        ({"x_train": np.zeros((30, 784), np.uint8)}, r"x_train is uint8 \[30, 784\]"),
        ({"x_test": np.zeros((20, 32, 32), np.uint8)}, r"x_test is uint8 \[20, 32, 32\]"),
        ({"x_test": np.zeros((20, 28, 28), np.float32)}, r"x_test is float32 \[20, 28, 28\]"),
        ({"y_train": np.zeros(29, np.uint8)}, r"y_train is uint8 \[29\] for 30 images"),
        ({"y_train": np.zeros((30, 10), np.uint8)}, r"y_train is uint8 \[30, 10\] for 30 images"),
        ({"y_train": np.zeros(30)}, r"y_train is float64 \[30\]"),
        ({"y_train": np.arange(30)}, "y_train runs from 0 to 29"),
        ({"y_test": np.arange(20) % 10 - 1}, "y_test runs from -1 to 8"),
        (
            {"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.uint8)},
            "x_test is empty",
        ),
    ],
)
def test_wrong_content(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Arrays that are missing or are not MNIST's are named with what they are."""
    path = tmp_path / "digits.npz"
    arrays = {k: v for k, v in {**good_arrays(), **changes}.items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(_data.DataError, match=said):
        _data.load_mnist(str(path))


def test_pickled_content(tmp_path: Path) -> None:
    """Object arrays are refused, for reading them can run code."""
    path = tmp_path / "digits.npz"
    np.savez(path, **{**good_arrays(), "y_train": np.array([None] * 30)})
    with pytest.raises(_data.DataError, match="Object arrays cannot be loaded"):
        _data.load_mnist(str(path))


@pytest.mark.skipif(not REAL_MNIST.exists(), reason="no copy of MNIST beside the repository")
def test_real_mnist() -> None:
    """The real file has MNIST's published sizes and its count of each digit."""
    (x_train, y_train), (x_test, y_test) = _data.load_mnist(str(REAL_MNIST))
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_train).tolist() == counts
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# The download


def raise_as_keras_does() -> None:
    """A bare Exception whose context is the URLError."""
    try:
        raise urllib.error.URLError("Name or service not known")
    except urllib.error.URLError as error:
        raise Exception(f"URL fetch failure: {error.reason}")  # noqa: B904, as Keras has it


def raise_timeout() -> None:
    """A download that stalls."""
    raise TimeoutError("The read operation timed out")


def raise_checksum() -> None:
    """A file that is not MNIST, such as a login page."""
    raise ValueError("Incomplete or corrupted file detected.")


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (raise_as_keras_does, "URL fetch failure: Name or service not known"),
        (raise_timeout, "The read operation timed out"),
        (raise_checksum, "Incomplete or corrupted file detected."),
    ],
)
def test_no_network_is_loud(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fail: Callable[[], None],
    reason: str,
) -> None:
    """A failed download puts reason, replacement, counts and remedy on stderr, then renders."""
    monkeypatch.setattr(_data, "_answers", lambda url, seconds: False)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    monkeypatch.setattr(_data, "RENDERED_TRAIN", 40)
    monkeypatch.setattr(_data, "RENDERED_TEST", 20)
    (x_train, y_train), (x_test, y_test) = _data.load_mnist()
    assert len(x_train) == len(y_train) == 40
    assert len(x_test) == len(y_test) == 20
    assert np.array_equal(x_train, _data.render_digits(40, seed=0)[0])
    notice = capsys.readouterr().err
    for part in (
        "NOT MNIST",
        f"Reason: {reason}",
        "40 training and 20 test digits",
        "--data mnist",
    ):
        assert part in notice
    assert "rendered with Pillow" in notice
    assert len(notice.strip().splitlines()) > 5


def test_other_errors_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no network explains is raised, not covered by rendered digits."""

    def fail() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(_data, "_answers", lambda url, seconds: True)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        _data.load_mnist()
    assert capsys.readouterr().err == ""


def test_download_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Keras loads is returned as it is, and named on stdout."""
    arrays = good_arrays()
    splits = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    monkeypatch.setattr(_data, "_answers", lambda url, seconds: True)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: splits)
    (x_train, y_train), (x_test, y_test) = _data.load_mnist()
    assert x_train is arrays["x_train"]
    assert y_train is arrays["y_train"]
    assert x_test is arrays["x_test"]
    assert y_test is arrays["y_test"]
    printed = capsys.readouterr()
    assert printed.out == "Data: keras.datasets.mnist, 30 + 20 digits.\n"
    assert printed.err == ""


@pytest.mark.parametrize(("answers", "timeout"), [(True, 20.0), (False, 0.1)])
def test_silent_server_gets_no_time(
    monkeypatch: pytest.MonkeyPatch, answers: bool, timeout: float
) -> None:
    """Keras runs with a short socket timeout where the server is silent; it does not outlast."""
    seen: list[float | None] = []

    def load_data() -> None:
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError

    monkeypatch.setattr(_data, "_answers", lambda url, seconds: answers)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    before = socket.getdefaulttimeout()
    with pytest.raises(TimeoutError):
        _data._download()
    assert seen == [timeout]
    assert socket.getdefaulttimeout() == before


@pytest.fixture
def local_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an HTTP server on this machine that answers every HEAD with 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_asking_the_server(local_server: str) -> None:
    """A server that answers is there; a closed port and one that never answers are not."""
    assert _data._answers(local_server, seconds=30.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert not _data._answers(closed, seconds=30.0)
        mute.listen()  # connections are taken, and nothing ever comes back
        assert not _data._answers(closed, seconds=0.2)


def test_rendered_on_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--data rendered` asks no network, says on stdout what it is, and gives no notice."""
    monkeypatch.setattr(_data, "_download", lambda: pytest.fail("the network was asked"))
    monkeypatch.setattr(_data, "RENDERED_TRAIN", 40)
    monkeypatch.setattr(_data, "RENDERED_TEST", 20)
    (x_train, _), (x_test, _) = _data.load_mnist("rendered")
    assert (len(x_train), len(x_test)) == (40, 20)
    assert not np.array_equal(x_test, _data.render_digits(20, seed=0)[0])
    assert not np.array_equal(x_train[:20], x_test)
    printed = capsys.readouterr()
    assert "40 + 20 digits rendered with Pillow, not MNIST" in printed.out
    assert printed.err == ""
