"""What a session asks of a way into the training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tbwatch.capture import Capture


class Hook(Protocol):
    """A way into the training step.

    Attributes:
        skips_first_trace: as in `Capture`.
        gives_numbers: whether logs are on the host already; reading others makes the device wait.
        unheard: what it means if updates do not pass through the hooks.
    """

    skips_first_trace: bool
    gives_numbers: bool
    unheard: str

    @property
    def optimizers(self) -> int:
        """How many optimizers are watched by such hooks at a time, as far as they know."""

    def attach(self, capture: Capture, on_detach: Callable[[], None]) -> None:
        """Put the hooks of a capture in place, until they are detached by whomever."""

    def detach(self, capture: Capture) -> None:
        """Take them out."""

    def is_attached(self, capture: Capture) -> bool:
        """Whether they are in place."""
