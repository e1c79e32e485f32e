"""What foreign models have in common: what is known of one, its data, losses by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

L = keras.layers
ops = keras.ops
BATCH, UPDATES = 4, 3
SAMPLES = BATCH * UPDATES


@dataclasses.dataclass(frozen=True)
class Foreign:
    """A compiled model, its data, and what is known of it.

    Attributes:
        model: compiled; built or not.
        x: inputs of `SAMPLES` examples.
        y: targets; None where there are none.
        order: beginnings of the names of its variables, in forward order: those that belong to one
            layer have one entry.
        loss: the loss of a batch, worked out by hand from the model's outputs; None where that
            is not easy.
        withheld: those of `order` that the optimizer of the model is not given.
    """

    model: keras.Model
    x: Any
    y: Any
    order: list[str]
    loss: Callable[[keras.Model, Any, Any], Any] | None = None
    withheld: Sequence[str] = ()


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def normals(*shape: int) -> np.ndarray:
    return rng().normal(size=(SAMPLES, *shape)).astype("float32")


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean over all positions, from its definition."""
    chosen = tf.gather(tf.cast(logits, "float32"), labels, axis=-1, batch_dims=len(labels.shape))
    return tf.reduce_mean(tf.reduce_logsumexp(tf.cast(logits, "float32"), axis=-1) - chosen)


def log_loss(labels: Any, logits: Any) -> Any:
    signs = 1.0 - 2.0 * tf.cast(tf.reshape(labels, tf.shape(logits)), "float32")
    return tf.reduce_mean(tf.math.softplus(signs * logits))


FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
