"""Undamaged event files to begin with: recorded by `fit`, and by TensorFlow's own writer."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tbwatch
from tests import event_files as ef

ROW = {"weight_norm": [3.0, 4.0], "gradient_norm": [0.0, np.inf], "update_ratio": [np.nan, 1e-9]}


def record(folder: Path) -> list[bytes]:
    """Make the files; small ones, so that many can be read."""
    logger = logging.getLogger("tbwatch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    of_fits = [_fit(folder / name, rate) for name, rate in (("well", 0.01), ("lost", 1e12))]
    logger.setLevel(level)
    return [*of_fits, _of_tests(folder / "packed"), _of_tensorflow(folder / "plain")]


def _fit(folder: Path, rate: float) -> bytes:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, name="out"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate), "mse")
    x = np.random.default_rng(0).normal(size=(24, 6, 6, 1)).astype("float32")
    watch = tbwatch.Watch(folder, update_freq=1, histogram_freq=0, flight_recorder=3)
    model.fit(x, x[:, :2, 0, 0], batch_size=4, epochs=1, verbose=0, callbacks=[watch])
    (file,) = (folder / "tbwatch").iterdir()
    return file.read_bytes()


def _of_tests(folder: Path) -> bytes:
    layout = ef.layout_json("a/kernel", "b/bias", frozen=["c/kernel"])
    events = [ef.version_event()]
    for step in range(1, 8):
        events.append(ef.event(step, ef.record_values(layout, ROW, first=step == 1)))
    events.append(ef.event(8, [ef.alerts_value([ef.alert_json(), ef.alert_json(state="cleared")])]))
    return ef.write(folder, events).read_bytes()


def _of_tensorflow(folder: Path) -> bytes:
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for step in range(3):
            tf.summary.scalar("loss", 0.5, step)
            tf.summary.histogram("weights", [1.0, 2.0, np.nan], step)
            tf.summary.text("tbwatch/alerts", "[]", step)
    writer.close()
    (file,) = folder.glob("*tfevents*")
    return file.read_bytes()


if __name__ == "__main__":
    work = Path(sys.argv[1])
    (work / "corpus").mkdir()
    for number, data in enumerate(record(work / "recorded")):
        (work / "corpus" / str(number)).write_bytes(data)
