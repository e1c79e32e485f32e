"""Small networks and data that several tests train."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event

L = keras.layers


def images(samples: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise images `[N, 8, 8, 1]` with labels 0..2 that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8, 8, 1)).astype("float32")
    return x, (np.abs(x.mean(axis=(1, 2, 3))) * 20).astype(int) % 3


def convnet(seed: int = 3, **compiled) -> keras.Model:
    """Convolution, dropout, two dense layers."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            L.Input((8, 8, 1)),
            L.Conv2D(4, 3, activation="relu", name="conv1"),
            L.Flatten(),
            L.Dense(8, activation="relu", name="fc1"),
            L.Dropout(0.25),
            L.Dense(3, name="out"),
        ]
    )
    return compile_(model, **compiled)


def compile_(model: keras.Model, **compiled) -> keras.Model:
    """Compile as most tests want it."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": "adam", "loss": loss, "jit_compile": False, **compiled})
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, updates: int = 8, **options):
    """Train on `images`, 8 samples to the batch, the same order each time."""
    x, y = images(updates * 8)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, y, callbacks=list(callbacks), **options)


def events(log_dir: str | os.PathLike[str]) -> Iterator[Event]:
    """All events of the files below a directory, read by TensorFlow."""
    for path in sorted(glob.glob(os.path.join(log_dir, "**", "*tfevents*"), recursive=True)):
        for record in tf.data.TFRecordDataset(path):
            yield Event.FromString(record.numpy())


def tags(log_dir: str | os.PathLike[str]) -> dict[str, list[int]]:
    """Tag -> steps, over all event files below a directory."""
    found: dict[str, list[int]] = {}
    for event in events(log_dir):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    return found


def scalars(log_dir: str | os.PathLike[str], tag: str) -> dict[int, float]:
    """Step -> value of a scalar tag."""
    return {
        event.step: value.simple_value
        for event in events(log_dir)
        for value in event.summary.value
        if value.tag == tag
    }
