"""Watching a custom training loop."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import keras

from tbwatch import replicas
from tbwatch.alerts import Alert
from tbwatch.callbacks._base import LogDir
from tbwatch.callbacks.watch import LoopCallback
from tbwatch.detectors.rule import check_int
from tbwatch.format import counted
from tbwatch.loop_hook import LoopHook
from tbwatch.session import Session
from tbwatch.sessions import is_watched
from tbwatch.telling import tell


class LoopWatch:
    """What `attach` returns: watches the updates of one optimizer until it is closed.

    Example:
        >>> watch = attach(model, "logs/run1", optimizer=optimizer)  # doctest: +SKIP
        >>> train_step(x, y)  # doctest: +SKIP
        >>> watch.step()  # doctest: +SKIP
        >>> watch.close()  # doctest: +SKIP
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        watch: LoopCallback,
        updates_per_step: int,
    ) -> None:
        self._model, self._optimizer, self._watch = model, optimizer, watch
        self._updates_per_step = updates_per_step
        self._steps = self._epoch = 0
        self._session: Session | None = None
        self._begin()

    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, oldest first."""
        return self._watch.alerts

    @property
    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now, the gravest first."""
        return self._watch.holding

    @property
    def log_dir(self) -> str:
        """Directory of the run."""
        return self._watch.log_dir

    @property
    def should_stop(self) -> bool:
        """Whether an alert out of `stop_on` was raised: for the loop to ask."""
        return bool(self._model.stop_training)

    def report(self, width: int = 100) -> str:
        """What is left, ranked, as plain text: as in `Watch.report`."""
        return self._watch.report(width)

    def step(self, loss: Any = None, **logs: Any) -> None:
        """Tell that a training step has been done; call it after each.

        Args:
            loss: that of the step, for the record and the judgement of the loss; a scalar tensor
                or a number. A tensor is read only if the update was sampled, so that the device
                need not wait.
            **logs: other numbers of the step, read as seldom, for detectors of your own: they are
                in `Record.logs`, and not written.
        """
        if self._session is None:
            return
        numbers: Mapping[str, Any] = logs if loss is None else {"loss": loss, **logs}
        self._session.end_batch(self._watch.members()[0], self._steps, numbers)
        self._session.forget_calls()
        self._steps += 1
        self._session.warn_if_unheard()

    def end_epoch(self) -> None:
        """Tell that an epoch has ended: some alerts wait for epochs, and files are flushed."""
        if self._session is None:
            return
        part = self._watch.members()[0]
        self._session.end_epoch(part, self._epoch)
        self._epoch += 1
        self._steps = 0
        self._session.begin_epoch(part, self._epoch)

    def close(self) -> None:
        """Take everything out of the model and the optimizer, and close the files."""
        session, self._session = self._session, None
        if session is not None:
            session.leave(self._watch.members())
            self._watch.say_last(session.problems.counts)

    def __repr__(self) -> str:
        found = counted(len(self.alerts), "alert")
        return f"<LoopWatch {self.log_dir!r}: {found}, {'open' if self._session else 'closed'}>"

    def __enter__(self) -> LoopWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        strategy = self._model.distribute_strategy
        self._model.stop_training = False
        if not replicas.is_chief(strategy):
            # The gradient that the chief sees is the sum over all workers.
            tell(logging.INFO, "tbwatch: the chief watches; this worker writes nothing.")
            return
        session = Session(
            self._model, self._optimizer, LoopHook(), batches_per_call=self._updates_per_step
        )
        session.join(self._watch.members())
        session.begin_epoch(self._watch.members()[0], 0)
        self._session = session


def attach(
    model: keras.Model,
    log_dir: LogDir = "logs",
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    updates_per_step: int = 1,
    **options: Any,
) -> LoopWatch:
    """Watch a custom training loop, as `Watch` does `fit`.

    What is recorded is what `optimizer.apply` (or `apply_gradients`) is handed: after any clipping
    of your own, before that of the optimizer. It works for loops that run eagerly, and for a
    `tf.function` that is called for the first time after `attach`. Attach once for each optimizer:
    to a GAN twice, with two log directories.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` the gradient is the sum over all
    replicas, activations are those of the first one, and only the chief writes.

    Args:
        model: the model that is trained: names its variables and layers. Compiled or not.
        log_dir: as in `Watch`.
        optimizer: the optimizer that the loop calls; None for the one that the model was compiled
            with. Only the variables that it gets are watched.
        updates_per_step: the most updates that it makes between two calls of `step()`, for a
            `tf.function` with a loop of its own inside.
        **options: all other arguments of `Watch`.

    Returns:
        A `LoopWatch`, for `with` or until its `close()`.

    Raises:
        TypeError: if `model` is no Keras model, there is no optimizer, or `Watch` does not know an
            option.
        ValueError: for an argument out of its range, an optimizer that is watched already, or a
            distribution strategy that is not supported.

    Example:
        >>> optimizer = keras.optimizers.SGD(0.1)
        >>> with tbwatch.attach(model, "logs/run1", optimizer=optimizer) as watch:
        ...     for x, y in batches:
        ...         with tf.GradientTape() as tape:
        ...             loss = loss_function(y, model(x, training=True))
        ...         gradients = tape.gradient(loss, model.trainable_variables)
        ...         optimizer.apply(gradients, model.trainable_variables)
        ...         watch.step(loss=loss)  # doctest: +SKIP
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model; got {model!r}.")
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "optimizer must be a Keras optimizer, or None for that of a compiled model; got "
            f"{optimizer!r}."
        )
    check_int("updates_per_step", updates_per_step, 1)
    reason = replicas.refusal(model.distribute_strategy)
    if reason:
        raise ValueError(f"attach cannot watch this: {reason}.")
    if is_watched(optimizer):
        raise ValueError(f"optimizer is watched already: close the other watch of {optimizer!r}.")
    return LoopWatch(model, optimizer, LoopCallback(log_dir, **options), updates_per_step)
