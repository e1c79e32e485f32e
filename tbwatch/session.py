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
from tbwatch.history import history_of
from tbwatch.hook import Hook
from tbwatch.layout import Layout
from tbwatch.parts import (
    Part,
    View,
    activations_watched_by_any,
    wanted_by_any,
    watched_by_any,
)
from tbwatch.planner import Planner
from tbwatch.problems import Problems
from tbwatch.record import Record
from tbwatch.recording import numbers_of, record_of_end, record_of_logs, to_record
from tbwatch.sample import Request, Sample
from tbwatch.telling import tell
from tbwatch.watched_training import WatchedTraining

# Updates that can be sampled between two looks of the host.
LEAST_SLOTS = 4


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
        self._given_batches_per_call = batches_per_call
        self._history = history_of(model)
        self._parts: list[Part] = []
        self.problems = Problems()
        self._delivery = Delivery(self.problems, lambda: self._training.flight_log())
        self._last: Record | None = None
        self._has_ended = False
        self._layout: Layout | None = None
        self._epoch = 0
        self._batches = self._batches_before_epoch = 0
        self._known_updates = self._calls = self._first_planned = self._run_before = 0
        self._logged_nonfinite = self._sampled_before = False
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
        self._batches_at_start, self._has_said_unheard = self._training.batches_done, False
        self._batches_per_epoch = batches_per_epoch
        self._planner = Planner(0)
        self._has_begun = False
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
                self._dispatch_end()
        self._parts = [part for part in self._parts if all(part is not p for p in parts)]
        if self._parts or not was_watched:
            return
        if not self._capture.applies and self._batches:
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

    def _started_at(self) -> int:
        """Updates that the optimizer had made when it was first watched."""
        return self._history.start_of(self._optimizer, self._training.updates_done)

    def _request(self) -> Request:
        """What a sample has to hold for the parts that have joined; asked at the first trace."""
        with_histograms = [part.schedule for part in self._parts if part.histogram_kinds]
        histogram_slots = self._planner.most_within(with_histograms, self._batches_per_call)
        return wanted_by_any(self._parts, self._slots, histogram_slots)

    def _on_layout(self, layout: Layout) -> None:
        setup = layout.setup
        optimizers = max(setup.optimizers, self._hook.optimizers)
        layout = dataclasses.replace(
            layout, setup=dataclasses.replace(setup, optimizers=optimizers)
        )
        self._layout = self._history.with_first_values(layout)
        if layout.frozen:
            tell(logging.INFO, "tbwatch: frozen by trainable=False: %s", ", ".join(layout.frozen))
        for part in self._parts:
            part.start(self._model, self._layout)

    # ----------------------------------------------------------------------------------- each batch

    def begin_epoch(self, part: Part, epoch: int) -> None:
        """An epoch (from 0) begins."""
        if not self._is_first(part):
            return
        if not self._has_begun:
            self._has_begun = True
            # Not in __init__: a callback behind us may have restored an interrupted run since.
            per_update = self._training.batches_per_update
            self._planner = Planner(self._started_at(), per_update, self._batches_per_epoch)
        self._epoch = epoch
        self._batches_before_epoch = self._training.batches_done
        self._planner.begin_epoch(epoch, self._batches_before_epoch)
        self._plan(self._training.updates_done)

    def end_batch(self, part: Part, batch: int, logs: Mapping[str, Any] | None) -> None:
        """A batch (from 0), or an execution of several that ends with it, has been trained."""
        if not self._is_first(part):
            return
        self._calls += 1
        self._batches = batch + 1
        numbers = numbers_of(logs) if self._hook.gives_numbers else {}
        loss = numbers.get("loss", 0.0)
        is_news = not math.isfinite(loss) and not self._logged_nonfinite
        left = self._batches_to_wanted_end()
        if left:
            self._planner.expect_end(self._epoch, left, self._training.batches_done)
        if is_news or left or self._may_have_sampled():
            with self.problems.caught("handling a sample"):
                samples = self._collected()
                if samples and not self._hook.gives_numbers:
                    numbers = numbers_of(logs)
                if any(not math.isfinite(sample.values["loss"]) for sample in samples):
                    is_news = False  # it was sampled, planned or not
                for sample in samples:
                    # The logs are those of the last batch of an execution.
                    known = numbers if sample is samples[-1] else {}
                    self._dispatch(self._record(sample, known), sample)
        if is_news:
            with self.problems.caught("handling the logs"):
                self._dispatch_logs(numbers)
        self._logged_nonfinite = not math.isfinite(loss)
        self._delivery.flush_if_due()
        if self.is_over:
            # Another callback had the step rebuilt, as train_on_batch does.
            self._hook.attach(self._capture, self.flush)

    def _batches_to_wanted_end(self) -> int:
        """Batches of the next call, if that ends an epoch whose last update is wanted; else 0.

        Which update that is nobody knows at the beginning of the epoch: updates are skipped, or an
        optimizer has not its turn in every batch.
        """
        left = self._planner.batches_left(self._batches)
        if left > self._batches_per_call:  # nearly always: asked at every batch
            return 0
        return left if any(p.schedule.is_epoch_due(self._epoch) for p in self._parts) else 0

    def forget_calls(self) -> None:
        """A step of a loop has ended, and what layers handed on in it."""
        self._capture.forget_calls()

    def end_epoch(self, part: Part, epoch: int) -> None:
        """An epoch (from 0) has ended: what was recorded of it goes to the disk."""
        if not self._is_first(part):
            return
        if not self._planner.knows_epochs:
            done = self._training.batches_done
            # Keras lets the optimizer count once more when a generator runs dry, and counts too
            # many batches itself when an execution of several is cut short.
            counted = done - self._batches_before_epoch
            batches = self._batches if self._batches_per_call == 1 else counted
            self._planner.end_epoch(epoch, batches, done)
        self.flush()

    def begin_validation(self) -> None:
        """Nothing more is recorded for a while: what was goes to the disk."""
        self.flush()

    def flush(self) -> None:
        """What was recorded goes to the disk."""
        self._delivery.flush()

    def _is_first(self, part: Part) -> bool:
        return bool(self._parts) and part is self._parts[0]

    def _plan(self, done: int) -> None:
        """Plan the next due updates after `done`."""
        planned, histograms = self._planner.plan(
            [(part.schedule, bool(part.histogram_kinds)) for part in self._parts], done, self._slots
        )
        self._known_updates, self._calls = done, 0
        self._run_before = self._capture.applies_run
        self._first_planned = planned[0] if planned else 0
        self._training.plan(planned, histograms)

    def _may_have_sampled(self) -> bool:
        """Whether a planned update may have happened since the last look; asks the host alone."""
        # An optimizer makes at most one update per call of `apply`: those of a step that is run
        # eagerly pass through here, those of a traced one only when it is traced.
        run = self._capture.applies_run
        traced = max(self._capture.applies - run, 0 if run else 1)
        most = self._known_updates + self._calls * self._batches_per_call * traced
        return 0 < self._first_planned <= most + run - self._run_before

    def _collected(self) -> list[Sample]:
        """Samples of the batches since the last look, from the device."""
        samples = self._training.collect()
        self._plan(self._training.updates_done)
        return samples

    @property
    def _batches_per_call(self) -> int:
        given = self._given_batches_per_call
        return given or max(int(self._model.steps_per_execution or 1), 1)

    @property
    def _slots(self) -> int:
        # More than one per batch, for training steps that apply an optimizer more than once.
        return max(2 * self._batches_per_call, LEAST_SLOTS)

    def _record(self, sample: Sample, logs: Mapping[str, float]) -> Record:
        assert self._layout is not None
        is_first, self._sampled_before = not self._sampled_before, True
        return to_record(
            sample,
            self._layout,
            epoch=self._epoch,
            logs=logs,
            judged=not self._training.overwrites_weights(sample.step),
            is_first_sample=is_first,
            streaks_of=lambda activation: self._history.streaks_of(self._optimizer, activation),
        )

    def _dispatch(self, record: Record, sample: Sample) -> None:
        # The loss has become NaN or infinite: news for all but those who only want histograms.
        first = record.loss_is_nonfinite and not self._logged_nonfinite
        is_news = first or not sample.planned
        due = [
            part
            for part in self._parts
            if self._planner.is_due(part.schedule, record.step)
            or (is_news and not part.schedule.growing)
        ]
        self._last = record
        self._delivery.deliver(View(record, sample.histograms), self._parts, due)

    def _dispatch_logs(self, logs: Mapping[str, float]) -> None:
        """The loss of an update became NaN or infinite where the step does not show it."""
        layout = self._layout or Layout(())
        record = record_of_logs(self._training.updates_done, layout, self._epoch, logs)
        self._delivery.deliver(View(record, {}), self._parts, self._parts)

    def _dispatch_end(self) -> None:
        """What rules need to judge the run as a whole."""
        if self._last is None:
            return
        record = record_of_end(self._last, self._training.updates_done)
        self._delivery.deliver(View(record, {}), self._parts, self._parts)
