"""What goes wrong in tbwatch while a model trains: reported once and counted."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator

from tbwatch.format import told
from tbwatch.telling import tell


class Problems:
    """Keeps failures of tbwatch away from the training.

    Attributes:
        counts: kind of failure -> how often.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @contextlib.contextmanager
    def caught(self, doing: str) -> Iterator[None]:
        """What goes wrong in here is reported once and counted; the training goes on."""
        try:
            yield
        except Exception as error:
            self.report(doing, error)

    def report(self, doing: str, error: Exception) -> None:
        """Count a failure; the first one of its kind goes to the log."""
        self.counts[doing] += 1
        if self.counts[doing] == 1:
            message = "tbwatch: %s failed: %s. The training goes on; said once."
            tell(logging.WARNING, message, doing, told(error))
