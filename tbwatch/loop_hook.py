"""The way into a custom training loop: hooks that stay in place for the length of a `with`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import ClassVar

from tbwatch.capture import Capture


class LoopHook:
    """Keeps the hooks of one capture in place until they are taken out.

    A `tf.function` that is traced meanwhile keeps our operations for good; afterwards they rest.
    """

    skips_first_trace = gives_numbers = False
    unheard = (
        "the training step calls another optimizer, or is a tf.function that was traced before "
        "attach(): call attach() before its first call, or wrap it with tf.function anew"
    )
    in_place: ClassVar[set[LoopHook]] = set()

    def __init__(self) -> None:
        self._hooks: contextlib.ExitStack | None = None
        self._on_detach: Callable[[], None] | None = None

    @property
    def optimizers(self) -> int:
        """How many loops are watched now: those of a GAN have opposed losses."""
        return len(self.in_place)

    def attach(self, capture: Capture, on_detach: Callable[[], None]) -> None:
        """Put the hooks in place.

        Args:
            capture: what samples.
            on_detach: called when they have been taken out.
        """
        self._hooks, self._on_detach = contextlib.ExitStack(), on_detach
        self._hooks.enter_context(capture.instrumented())
        self.in_place.add(self)

    def detach(self, capture: Capture) -> None:
        """Take the hooks out."""
        hooks, self._hooks = self._hooks, None
        if hooks is None:
            return
        self.in_place.discard(self)
        hooks.close()
        capture.training.rest()
        if self._on_detach is not None:
            self._on_detach()

    def is_attached(self, capture: Capture) -> bool:
        """Whether the hooks are in place."""
        return self._hooks is not None
