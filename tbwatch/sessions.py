"""The fits that are watched now: who joins which, and what is flushed when the program exits."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Mapping
from typing import Any

import keras

from tbwatch import replicas
from tbwatch.fit_hook import fit_hook
from tbwatch.session import Session
from tbwatch.telling import tell


def session_of(
    model: keras.Model, params: Mapping[str, Any], optimizer: keras.optimizers.Optimizer | None
) -> Session | None:
    """The session of the fit that is going on, or that begins; None if it cannot be watched.

    Args:
        model: the model that is fitted.
        params: what Keras tells callbacks of the fit.
        optimizer: the one to watch; None for that of the model.
    """
    if optimizer is None:
        optimizer = model.optimizer
    if optimizer is None:
        tell(logging.WARNING, "tbwatch: nothing is watched: the model has no optimizer.")
        return None
    reason = replicas.refusal(model.distribute_strategy)
    if reason:
        tell(logging.WARNING, "tbwatch: nothing is watched: %s.", reason)
        return None
    for session in Session.every:
        if session.is_of(model, optimizer) and not session.is_over:
            return session
    return Session(model, optimizer, fit_hook(model), params.get("steps"))


def is_watched(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether a session watches this optimizer now."""
    return any(session.watches(optimizer) for session in Session.every)


@atexit.register
def _flush_all() -> None:
    for session in list(Session.every):
        session.flush()
