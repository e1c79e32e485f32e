"""The log: what tbwatch has to say while somebody trains."""

from __future__ import annotations

import contextlib
import logging

_LOGGER = logging.getLogger("tbwatch")


def tell(level: int, message: str, *arguments: object) -> None:
    """Write a line to the log `tbwatch`; a log handler that raises stops nothing.

    Args:
        level: of `logging`; warnings and above show without any set-up of it.
        message: the line, with `%s` for arguments.
        *arguments: what belongs there.
    """
    with contextlib.suppress(Exception):
        _LOGGER.log(level, message, *arguments, stacklevel=2)
