"""The way into `fit`: an instrumented training function in the place of Keras' own.

Hooks are in place while a training step is traced, or run eagerly, and only then: they cost
nothing at the other updates, and nothing of tbwatch can stay behind in the optimizer, whatever ends
the run. What stays until the next `fit` or `train_on_batch` after an exception elsewhere is the
training function itself; both begin with `make_train_function`, which then puts a fresh one in its
place.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tbwatch.ahead import build_ahead
from tbwatch.capture import Capture
from tbwatch.models import has_own_step, key_of
from tbwatch.optimizers import variables_of
from tbwatch.telling import tell


class FitHook:
    """The instrumented training function of one model; shared by those who watch it.

    Args:
        model: a compiled model.
    """

    skips_first_trace = gives_numbers = True
    unheard = (
        "the training step never called model.optimizer; if it calls another one, hand that to "
        "Watch(optimizer=...)"
    )

    def __init__(self, model: keras.Model) -> None:
        self._model = weakref.ref(model)
        self._plain: Callable[..., Any] | None = None
        self._is_in_step = self._is_ready = False
        self._captures: dict[Capture, Callable[[], None]] = {}

    @property
    def optimizers(self) -> int:
        """How many optimizers of this model are watched."""
        return len(self._captures)

    def attach(self, capture: Capture, on_detach: Callable[[], None]) -> None:
        """Instrument the step for a capture; `fit` traces it at the next batch.

        Args:
            capture: what samples.
            on_detach: called when the step is plain again, whoever asked for it.
        """
        model = self._fitted
        if not self._captures and model.train_function is not None:
            _warn_of_changed_flags(model, capture.optimizer)
        self._captures[capture] = on_detach
        self._instrument()

    def detach(self, capture: Capture) -> None:
        """Take a capture out; with the last one the step is plain again."""
        on_detach = self._captures.pop(capture, None)
        if on_detach is None:
            return
        if not self._captures:
            vars(self._fitted).pop("make_train_function", None)
            self._fitted.train_function = None
            self._plain = None
        on_detach()

    def is_attached(self, capture: Capture) -> bool:
        """Whether the training function in place is instrumented for this capture."""
        return capture in self._captures

    @property
    def _fitted(self) -> keras.Model:
        model = self._model()
        assert model is not None, "a model is alive while it is fitted"
        return model

    def _train_function(self, iterator: Iterator[Any]) -> Any:
        assert self._plain is not None
        try:
            if not self._is_ready:
                self._is_ready = True
                build_ahead(self._fitted, iterator)
                for capture in self._captures:
                    capture.prepare()
            with contextlib.nullcontext() if self._is_in_step else self._hooks():
                logs = self._plain(iterator)
            if any(capture.needs_another_trace for capture in self._captures):
                self._instrument()
            return logs
        except (StopIteration, tf.errors.OutOfRangeError):
            raise  # the regular end of an epoch
        except BaseException:
            self._detach_all()
            raise

    def _instrument(self) -> None:
        """Put a new training function in place, with the hooks in it or, where not, around it."""
        model = self._fitted
        vars(model).pop("make_train_function", None)
        own = type(model).make_train_function is not keras.Model.make_train_function
        # Replicas run a step in threads of their own, but its hooks are those of one optimizer.
        self._is_in_step = not own and model.distribute_strategy.num_replicas_in_sync == 1
        self._is_ready = False
        if self._is_in_step:
            self._plain = model._make_function(self._step)
        else:
            model.make_train_function(force=True)
            self._plain = model.train_function
        # Past Keras' attribute tracking: these are no part of the model.
        vars(model)["train_function"] = self._train_function
        vars(model)["make_train_function"] = self._make_train_function

    def _step(self, data: Any) -> Any:
        with self._hooks():
            return self._fitted.train_step(data)

    @contextlib.contextmanager
    def _hooks(self) -> Iterator[None]:
        with contextlib.ExitStack() as hooks:
            for capture in self._captures:
                hooks.enter_context(capture.instrumented())
            yield

    def _make_train_function(self, force: bool = False) -> Any:
        # A new fit or a train_on_batch begins, and the fit that was watched never ended.
        self._detach_all()
        return self._fitted.make_train_function(force=force)

    def _detach_all(self) -> None:
        for capture in list(self._captures):
            self.detach(capture)


def fit_hook(model: keras.Model) -> FitHook:
    """The hook that is in place in a model, or a new one."""
    found = getattr(vars(model).get("make_train_function"), "__self__", None)
    return found if isinstance(found, FitHook) else FitHook(model)


def _warn_of_changed_flags(model: keras.Model, optimizer: Any) -> None:
    """Say so if the step that was traced before trains other variables than a new one will.

    Keras goes on with the old trace until `compile`. Watching needs a new one, which follows the
    flags: the one case in which watching changes what is trained.
    """
    if has_own_step(model):
        return  # which variables its optimizer trains is its own affair
    traced = {key_of(variable) for variable in variables_of(optimizer)}
    now = {key_of(variable) for variable in model.trainable_variables}
    if optimizer.built and traced != now:
        tell(
            logging.WARNING,
            "tbwatch: `trainable` was changed without compile(), so Keras alone would go on "
            "training the %d variables it trained before; watched, the %d variables with "
            "trainable=True are trained. Call compile() after changing it.",
            len(traced),
            len(now),
        )
