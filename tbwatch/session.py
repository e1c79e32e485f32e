"""One watched `fit`: joins callbacks to one instrumented step and to their event files."""

from __future__ import annotations

import dataclasses
import logging
import math
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from tbwatch.capture import Capture
from tbwatch.delivery import Delivery
from tbwatch.fit_records import FitRecords
from tbwatch.history import history_of
from tbwatch.hook import Hook
from tbwatch.layout import Layout
from tbwatch.lookout import Lookout
from tbwatch.parts import Part, activations_watched_by_any, wanted_by_any, watched_by_any
from tbwatch.problems import Problems
from tbwatch.recording import numbers_of
from tbwatch.sample import Request
from tbwatch.telling import tell
from tbwatch.watched_training import WatchedTraining


class Session:
    """One fit of one model, watched by the parts of one or more callbacks.

    The parts join at `on_train_begin` and leave at `on_train_end`. The first one to join has the
    step instrumented, the last one to leave has it restored, and on each batch the first of them
    does the work for all.

    Attributes:
        every: all sessions that somebody holds.
        problems: what went wrong in tbwatch itself.
    """

    every: ClassVar[weakref.WeakSet[Session]] = weakref.WeakSet()

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        hook: Hook,
        batches_per_epoch: int | None = None,
        batches_per_call: int | None = None,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._hook = hook
        self._history = history_of(model)
        self._parts: list[Part] = []
        self.problems = Problems()
        self._training = WatchedTraining(
            model,
            optimizer,
            # Where another optimizer trains the rest of the model, only what this one gets is ours.
            takes_all=hook.skips_first_trace and optimizer is getattr(model, "optimizer", None),
            select=lambda names: watched_by_any(self._parts, names),
            select_activations=lambda taps: activations_watched_by_any(self._parts, taps),
            request=self._request,
            on_layout=self._on_layout,
        )
        self._capture = Capture(
            self._training,
            on_failure=lambda error: self.problems.report("sampling", error),
            skips_first_trace=hook.skips_first_trace,
        )
        self._lookout = Lookout(self._capture, batches_per_epoch, batches_per_call)
        self._delivery = Delivery(self.problems, self._training.flight_log)
        self._records = FitRecords(
            self._training,
            self._delivery,
            is_due=self._lookout.is_due,
            streaks_of=lambda activation: self._history.streaks_of(optimizer, activation),
        )
        self._batches_at_start = self._training.batches_done
        self._has_begun = self._has_ended = self._has_said_unheard = False
        Session.every.add(self)

    def watches(self, optimizer: keras.optimizers.Optimizer) -> bool:
        """Whether it watches this optimizer now."""
        return self._optimizer is optimizer and not self.is_over

    def is_of(self, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> bool:
        """Whether it watches this optimizer train this model."""
        return self._model is model and self._optimizer is optimizer

    @property
    def is_over(self) -> bool:
        """Whether the fit has ended, or another one has taken its place."""
        return not self._hook.is_attached(self._capture)

    # ------------------------------------------------------------------------- begin and end of fit

    def join(self, parts: Sequence[Part]) -> None:
        """Take part in the fit that begins; joining twice is joining once."""
        self._parts += [part for part in parts if all(part is not p for p in self._parts)]
        self._delivery.open(part.log_dir for part in parts)
        if self.is_over:
            self._hook.attach(self._capture, self.flush)

    def leave(self, parts: Sequence[Part]) -> None:
        """The fit has ended for these parts."""
        was_watched = bool(self._parts)
        if was_watched and not self._has_ended:
            self._has_ended = True
            with self.problems.caught("judging the run as a whole"):
                self._records.of_end(self._parts)
        self._parts = [part for part in self._parts if all(part is not p for p in parts)]
        if self._parts or not was_watched:
            return
        if not self._capture.applies and self._lookout.batches:
            self._say_unheard()
        self._hook.detach(self._capture)
        self._delivery.close()

    def warn_if_unheard(self) -> None:
        """Say so, once, if the optimizer has made updates that did not pass through here."""
        if not self._capture.applies and self._training.batches_done > self._batches_at_start:
            self._say_unheard()

    def _say_unheard(self) -> None:
        if not self._has_said_unheard:
            has_any = bool(self._model.trainable_variables)
            reason = self._hook.unheard if has_any else "the model has no trainable variables"
            tell(logging.WARNING, "tbwatch: nothing was watched: %s.", reason)
        self._has_said_unheard = True

    def _request(self) -> Request:
        """What a sample has to hold for the parts that have joined; asked at the first trace."""
        histogram_slots = self._lookout.histogram_slots(self._parts)
        return wanted_by_any(self._parts, self._lookout.slots, histogram_slots)

    def _on_layout(self, layout: Layout) -> None:
        setup = layout.setup
        optimizers = max(setup.optimizers, self._hook.optimizers)
        layout = dataclasses.replace(
            layout, setup=dataclasses.replace(setup, optimizers=optimizers)
        )
        self._records.layout = layout = self._history.with_first_values(layout)
        if layout.frozen:
            tell(logging.INFO, "tbwatch: frozen by trainable=False: %s", ", ".join(layout.frozen))
        for part in self._parts:
            part.start(self._model, layout)

    # ----------------------------------------------------------------------------------- each batch

    def begin_epoch(self, part: Part, epoch: int) -> None:
        """An epoch (from 0) begins."""
        if not self._is_first(part):
            return
        if not self._has_begun:
            self._has_begun = True
            # Not in __init__: a callback behind us may have restored an interrupted run since.
            done = self._training.updates_done
            self._lookout.start(self._history.start_of(self._optimizer, done))
        self._records.epoch = epoch
        self._lookout.begin_epoch(epoch, self._parts)

    def end_batch(self, part: Part, batch: int, logs: Mapping[str, Any] | None) -> None:
        """A batch (from 0), or an execution of several that ends with it, has been trained."""
        if not self._is_first(part):
            return
        may_have_samples = self._lookout.end_batch(batch, self._parts)
        numbers = numbers_of(logs) if self._hook.gives_numbers else {}
        is_news = self._records.is_news(numbers)
        if is_news or may_have_samples:
            with self.problems.caught("handling a sample"):
                samples = self._training.collect()
                self._lookout.plan(self._parts)
                if any(not math.isfinite(sample.values["loss"]) for sample in samples):
                    is_news = False  # it was sampled, planned or not
                for sample in samples:
                    # The logs are those of the last batch of an execution.
                    known = numbers_of(logs) if sample is samples[-1] else {}
                    self._records.of_sample(sample, known, self._parts)
        if is_news:
            with self.problems.caught("handling the logs"):
                self._records.of_logs(numbers, self._parts)
        self._records.remember(numbers)
        self._delivery.flush_if_due()
        if self.is_over:
            # Another callback had the step rebuilt, as train_on_batch does.
            self._hook.attach(self._capture, self.flush)

    def forget_calls(self) -> None:
        """A step of a loop has ended, and what layers handed on in it."""
        self._capture.forget_calls()

    def end_epoch(self, part: Part, epoch: int) -> None:
        """An epoch (from 0) has ended: what was recorded of it goes to the disk."""
        if not self._is_first(part):
            return
        self._lookout.end_epoch()
        self.flush()

    def begin_validation(self) -> None:
        """Nothing more is recorded for a while: what was goes to the disk."""
        self.flush()

    def flush(self) -> None:
        """What was recorded goes to the disk."""
        self._delivery.flush()

    def _is_first(self, part: Part) -> bool:
        return bool(self._parts) and part is self._parts[0]
