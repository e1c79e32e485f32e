"""An independent account of a training step, to hold what tbwatch logs against.

`TruthModel` is a functional model with a training step written by hand with a GradientTape. It
stores every gradient and every weight before and after each call of the optimizer; NumPy works out
the expected quantities from them in float64 after the fit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tbwatch.record import Record


class Tape:
    """Full tensors of each call of the optimizer, kept out of the model's own tracking."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.stores: dict[str, list[tf.Variable]] = {}
        self.count: tf.Variable | None = None

    def build(self, variables: list[keras.Variable]) -> None:
        if self.count is not None:
            return
        with tf.init_scope():
            self.count = tf.Variable(0, dtype=tf.int64, trainable=False)
            for kind in ("gradient", "before", "after"):
                self.stores[kind] = [
                    tf.Variable(tf.zeros([self.calls, *v.shape], tf.float64)) for v in variables
                ]
            for kind in ("loss", "scale"):
                self.stores[kind] = [tf.Variable(tf.zeros([self.calls], tf.float64))]

    def write(self, kind: str, tensors: list[tf.Tensor]) -> None:
        for store, tensor in zip(self.stores[kind], tensors, strict=True):
            store.scatter_nd_update([[self.count]], [tf.cast(tensor, tf.float64)])


class TruthStep:
    """A training step that keeps everything it does; mixed into a class of models."""

    def train_step(self, data):
        x, y = data
        tape_of_all = vars(self)["truth"]
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables  # there are none before the first call
        gradients = tape.gradient(scaled, variables)
        scale = scaled / loss  # what the optimizer multiplied the loss with
        tape_of_all.build(variables)
        tape_of_all.write("loss", [loss])
        tape_of_all.write("scale", [scale])
        dense = [
            tf.zeros(v.shape) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(gradients, variables, strict=True)
        ]
        tape_of_all.write(
            "gradient", [tf.cast(g, tf.float64) / tf.cast(scale, tf.float64) for g in dense]
        )
        tape_of_all.write("before", [tf.identity(v.value) for v in variables])
        self.optimizer.apply(gradients, variables)
        tape_of_all.write("after", [tf.identity(v.value) for v in variables])
        tape_of_all.count.assign_add(1)
        return {"loss": loss}


class TruthModel(TruthStep, keras.Model):
    """A model whose training step keeps everything it does."""


@dataclasses.dataclass
class Truth:
    """Expected quantities of one update, `[V]` float64 each, and numbers of all of it."""

    weight_norm: np.ndarray
    gradient_norm: np.ndarray
    update_norm: np.ndarray
    update_ratio: np.ndarray
    gradient_zero_fraction: np.ndarray
    update_zero_fraction: np.ndarray
    decay_cosine: np.ndarray
    gradient_weight_cosine: np.ndarray
    global_gradient_norm: float
    loss: float
    loss_scale: float


def expected(model: TruthStep, accumulation: int = 1) -> dict[int, Truth]:
    """Update number -> expected quantities, from the stored tensors of all calls."""
    tape = vars(model)["truth"]
    stores = {k: [v.numpy() for v in members] for k, members in tape.stores.items()}
    calls = int(tape.count.numpy())
    truths, update = {}, 0
    for last in range(accumulation - 1, calls, accumulation):
        gradients = [g[last + 1 - accumulation : last + 1].mean(axis=0) for g in stores["gradient"]]
        before = [w[last] for w in stores["before"]]
        after = [w[last] for w in stores["after"]]
        if all((a == b).all() for a, b in zip(after, before, strict=True)):
            continue  # the loss-scaling optimizer skipped this one
        update += 1
        initial = [w[0] for w in stores["before"]]
        (loss,), (scale,) = stores["loss"], stores["scale"]
        truths[update] = _truth(gradients, before, after, initial, loss[last], scale[last])
    return truths


def _truth(gradients, before, after, initial, loss, scale) -> Truth:
    def rms(x):
        return np.sqrt(np.mean(np.square(x)))

    def cosine(x, y):
        norms = np.linalg.norm(x) * np.linalg.norm(y)
        return np.sum(x * y) / norms if norms else np.nan

    rows = []
    for g, w, v, w0 in zip(gradients, before, after, initial, strict=True):
        change = v - w
        floor = 1e-12 if w0.any() else 1e-3
        rows.append(
            (
                np.linalg.norm(w),
                np.linalg.norm(g),
                np.linalg.norm(change),
                rms(change) / max(rms(w), rms(w0), floor),
                np.mean(g == 0),
                np.mean(change == 0),
                cosine(change, -w),
                cosine(g, w),
            )
        )
    together = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
    return Truth(*np.array(rows).T, together, loss, scale)


def truth_model(inputs, outputs, calls: int) -> TruthModel:
    """A functional `TruthModel` with room for so many calls of the optimizer."""
    model = TruthModel(inputs, outputs)
    vars(model)["truth"] = Tape(calls)
    return model


def compare(
    records: Sequence[Record],
    truths: Mapping[int, Truth],
    of_gradient: float = 1e-5,
) -> None:
    """Every quantity of every record against the independent account: relative to it 1e-5.

    Args:
        records: of consecutive updates, from the first.
        truths: of the same updates.
        of_gradient: the relative tolerance of what gradients give.
    """
    assert [record.step for record in records] == sorted(truths)
    for record in records:
        truth = truths[record.step]
        first = record is records[0]
        assert np.isnan(record.quantity("window_change")).all() == first
        assert record.loss_scale == truth.loss_scale
        for field in dataclasses.fields(truth):
            want = getattr(truth, field.name)
            of_all = np.ndim(want) == 0
            got = getattr(record, field.name) if of_all else record.quantity(field.name)
            scale = 1.0 if field.name.endswith(("cosine", "fraction")) else np.abs(want)
            rtol = of_gradient if "gradient" in field.name else 1e-5
            bad = ~np.isclose(got, want, rtol=0, atol=rtol * scale, equal_nan=True)
            assert not bad.any(), (record.step, field.name, got, want)
