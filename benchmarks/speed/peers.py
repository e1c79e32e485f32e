"""What people use today for histograms of a training, as callbacks."""

from __future__ import annotations

import os

import keras
import tensorflow as tf


class TapeHistograms(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Histograms of gradients that are computed once more for a batch, at the end of each epoch.

    The callback that is written by hand when gradients are wanted: they are those of another
    forward pass than the training's, one for each epoch.

    Args:
        log_dir: of the event file.
        x: a batch.
        y: its labels.
    """

    def __init__(self, log_dir: str, x: object, y: object) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(os.path.join(log_dir, "gradients"))
        self._x, self._y = tf.constant(x), tf.constant(y)

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Compute gradients and write them."""
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.model(self._x, training=True)
            loss = self.model.compute_loss(self._x, self._y, outputs)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        with self._writer.as_default():
            for variable, gradient in zip(variables, gradients, strict=True):
                tf.summary.histogram(f"gradients/{variable.path}", gradient, step=epoch)
        self._writer.flush()
