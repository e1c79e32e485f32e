"""When batches begin and end: callbacks that only look at the clock."""

from __future__ import annotations

import time

import keras


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Times of batches; put it first in the list, so that those behind it are timed too.

    Attributes:
        begun: when the fit began.
        first_step: seconds from there to the end of the first batch: tracing, mostly.
        begins: when each batch began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = self.first_step = 0.0
        self.begins: list[float] = []

    def on_train_begin(self, logs: object = None) -> None:
        """The fit begins."""
        self.begun = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """A batch begins."""
        self.begins.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """A batch has ended."""
        self.first_step = self.first_step or time.perf_counter() - self.begun

    @property
    def updates(self) -> list[float]:
        """Seconds from the beginning of each batch to that of the next, callbacks included."""
        return [b - a for a, b in zip(self.begins, self.begins[1:], strict=False)]
