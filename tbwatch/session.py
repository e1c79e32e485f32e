"""One watched `fit`: joins callbacks to one instrumented step and to their event files."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import math
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.capture import Capture
from tbwatch.layout import Layout
from tbwatch.models import PatternError
from tbwatch.parts import Part, RunFile, View
from tbwatch.quantities import derive
from tbwatch.record import Record
from tbwatch.sampler import Request, Sample

logger = logging.getLogger("tbwatch")


@dataclasses.dataclass
class _History:
    """What outlives a fit: a second fit of the same model goes on where the first one ended."""

    start: int | None = None
    initial_rms: dict[str, float | None] = dataclasses.field(default_factory=dict)


class Session:
    """One fit of one model, watched by the parts of one or more callbacks.

    The parts join at `on_train_begin` and leave at `on_train_end`. The first one to join has the
    step instrumented, the last one to leave has it restored, and on each batch the first of them
    does the work for all.

    Attributes:
        problems: what went wrong, by kind, and how often.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._history = _HISTORIES.setdefault(model, _History())
        self._parts: list[Part] = []
        self._runs: dict[str, RunFile] = {}
        self._layout: Layout | None = None
        self._capture: Capture | None = None
        self._epoch = 0
        self._batches_per_epoch: int | None = None
        self._batches_seen = 0
        # The updates that end an epoch, and which one.
        self._epoch_ends: dict[int, int] = {}
        self._known_updates = self._calls = self._first_planned = 0
        self._logged_nonfinite = False
        self.problems: Counter[str] = Counter()
        _SESSIONS.add(self)

    @property
    def is_over(self) -> bool:
        """Whether a fit was watched and has ended."""
        return self._capture is not None and not self._capture.is_attached

    # ------------------------------------------------------------------------- begin and end of fit

    def join(self, parts: Sequence[Part], params: Mapping[str, Any]) -> None:
        """Take part in the fit that begins."""
        if self._capture is None:
            self._begin(params)
        self._parts.extend(parts)
        for part in parts:
            self._runs.setdefault(part.log_dir, RunFile(part.log_dir))

    def leave(self, parts: Sequence[Part]) -> None:
        """The fit has ended for these parts."""
        self._parts = [part for part in self._parts if all(part is not p for p in parts)]
        if not self._parts and self._capture is not None:
            if not self._capture.applies:
                has_any = bool(self._model.trainable_variables)
                reason = (
                    "the training step never called model.optimizer"
                    if has_any
                    else "the model has no trainable variables"
                )
                logger.warning("tbwatch: nothing was watched: %s.", reason)
            self._capture.detach()

    def _begin(self, params: Mapping[str, Any]) -> None:
        self._batches_per_epoch = params.get("steps")
        self._capture = Capture(
            self._model,
            select=self._select,
            request=self._request,
            on_layout=self._on_layout,
            on_failure=lambda error: self._report("capture", f"sampling failed: {error!r}"),
            on_detach=self._end,
        )
        self._capture.attach()
        if self._history.start is None:
            self._history.start = self._capture.updates_done

    def _end(self) -> None:
        for run in self._runs.values():
            with self._reported("closing the event file"):
                run.close()
        self._parts = []

    def _request(self) -> Request:
        """What a sample has to hold for the parts that have joined; asked at the first trace."""
        steps = self._steps_per_execution
        kinds = frozenset().union(*(part.histogram_kinds for part in self._parts))
        with_histograms = [part.schedule for part in self._parts if part.histogram_kinds]
        return Request(
            updates="updates" in kinds or any(part.needs_updates for part in self._parts),
            histograms=kinds,
            slots=steps,
            histogram_slots=min(max(sum(s.most_within(steps) for s in with_histograms), 1), steps),
        )

    def _select(self, names: Sequence[str]) -> list[bool]:
        """Which of the model's trainable variables any part watches."""
        for part in self._parts:
            unmatched = part.selection.unmatched(names)
            if unmatched or not any(map(part.selection, names)):
                wrong = f"{unmatched[0]!r} matches" if unmatched else "include and exclude leave"
                raise PatternError(f"{wrong} no variable; the model has: {', '.join(names)}.")
        return [any(part.selection(name) for part in self._parts) for name in names]

    def _on_layout(self, layout: Layout) -> None:
        # W at init is what it was when this model was first watched, also in a second fit.
        for variable in layout.variables:
            self._history.initial_rms.setdefault(variable.name, variable.initial_rms)
        self._layout = dataclasses.replace(
            layout,
            variables=tuple(
                dataclasses.replace(v, initial_rms=self._history.initial_rms[v.name])
                for v in layout.variables
            ),
        )
        if layout.frozen:
            logger.info("tbwatch: frozen by trainable=False: %s", ", ".join(layout.frozen))
        for part in self._parts:
            part.start(self._model, self._layout)

    # ----------------------------------------------------------------------------------- each batch

    def begin_epoch(self, part: Part, epoch: int) -> None:
        """An epoch (from 0) begins."""
        if self._capture is None or part is not self._parts[0]:
            return
        self._epoch = epoch
        per_update = self._capture.batches_per_update
        done = self._capture.batches_done
        self._epoch_ends = {}
        if self._batches_per_epoch is None and self._batches_seen:
            # How long an epoch is shows only at its end: the first update after it stands in.
            self._batches_per_epoch = self._batches_seen
            self._epoch_ends[done // per_update + 1] = epoch - 1
        if self._batches_per_epoch:
            self._epoch_ends[(done + self._batches_per_epoch) // per_update] = epoch
        self._plan(done // per_update)

    def end_batch(self, part: Part, batch: int, logs: Mapping[str, Any] | None) -> None:
        """A batch (from 0), or an execution of several that ends with it, has been trained."""
        if self._capture is None or part is not self._parts[0]:
            return
        self._calls += 1
        # Not the optimizer's counter: Keras lets it advance when a generator has run dry.
        self._batches_seen = batch + 1
        numbers = {k: float(v) for k, v in (logs or {}).items() if _is_number(v)}
        with self._reported("handling a sample"):
            for sample in self._collected():
                self._dispatch(self._record(sample, numbers), sample.histograms)
        loss = numbers.get("loss", 0.0)
        if not math.isfinite(loss) and not self._logged_nonfinite:
            with self._reported("handling the logs"):
                self._dispatch_logs(numbers)
        self._logged_nonfinite = not math.isfinite(loss)

    def end_epoch(self, part: Part) -> None:
        """An epoch has ended: what was recorded of it goes to the disk."""
        if self._capture is None or part is not self._parts[0]:
            return
        self._flush()

    def _plan(self, done: int) -> None:
        """Plan the next due updates after `done`."""
        assert self._capture is not None
        steps = self._steps_per_execution
        due: set[int] = set()
        histograms: set[int] = set()
        for part in self._parts:
            update, mine = done, set()
            for _ in range(steps):
                following = part.schedule.next_due(
                    update, self._started_at, self._capture.batches_per_update
                )
                if following is None:
                    break
                update = following
                mine.add(update)
            for last, epoch in self._epoch_ends.items():
                if last > done and part.schedule.is_epoch_due(epoch):
                    mine.add(last)
            due |= mine
            if part.histogram_kinds:
                histograms |= mine
        planned = sorted(due)[:steps]
        self._known_updates, self._calls = done, 0
        self._first_planned = planned[0] if planned else 0
        self._capture.plan(planned, sorted(histograms))

    def _collected(self) -> list[Sample]:
        """Samples of the batches since the last look; does not ask the device before one is due."""
        assert self._capture is not None
        if not self._first_planned:
            return []
        steps = self._steps_per_execution
        # An optimizer makes at most one update per call of `apply`; tracing counts the calls.
        most = self._known_updates + self._calls * steps * max(self._capture.applies, 1)
        if most < self._first_planned:
            return []
        samples = self._capture.collect()
        self._plan(samples[-1].step if samples else self._capture.updates_done)
        return samples

    def _record(self, sample: Sample, logs: Mapping[str, float]) -> Record:
        assert self._layout is not None
        assert self._capture is not None
        values = dict(sample.values)
        loss, loss_is_known = values["loss"], bool(values["loss_is_known"])
        if not loss_is_known and "loss" in logs:
            loss, loss_is_known = logs["loss"], True
        return Record(
            step=sample.step,
            wall_time=time.time(),
            layout=self._layout,
            quantities=derive(sample.table, self._layout),
            epoch=self._epoch,
            learning_rate=values["learning_rate"],
            loss=loss,
            loss_is_known=loss_is_known,
            global_gradient_norm=values["global_gradient_norm"],
            loss_scale=values["loss_scale"],
            judged=not self._capture.overwrites_weights(sample.step),
            logs=logs,
        )

    def _dispatch(self, record: Record, histograms: Mapping[str, np.ndarray]) -> None:
        view = View(record, histograms)
        due = [part for part in self._parts if self._is_due(part, record.step)]
        new = {id(part): self._judged(part, record) for part in due}
        for log_dir, run in self._runs.items():
            mine = [part for part in due if part.log_dir == log_dir]
            if not mine:
                continue
            values = list(summaries.packed_record(record))
            active = sum(part.count_active_alerts() for part in mine)
            values += summaries.run_scalars(record, active)
            for part in mine:
                with self._reported(f"summaries of {type(part).__name__}"):
                    values += part.values(view)
            self._write(run, record, values, [a for part in mine for a in new[id(part)]])

    def _dispatch_logs(self, logs: Mapping[str, float]) -> None:
        """The loss became NaN or infinite at an update that was not sampled: say so at once."""
        assert self._capture is not None
        record = Record(
            step=self._capture.updates_done,
            wall_time=time.time(),
            layout=self._layout or Layout(()),
            quantities={},
            epoch=self._epoch,
            loss=logs["loss"],
            loss_is_known=True,
            logs=logs,
        )
        for part in list(self._parts):
            alerts = self._judged(part, record)
            if alerts:
                self._write(self._runs[part.log_dir], record, [], alerts)

    def _judged(self, part: Part, record: Record) -> list[Alert]:
        alerts: list[Alert] = []
        with self._reported(f"judging by {type(part).__name__}"):
            alerts = part.judge(record)
        for alert in alerts:
            with self._reported("telling of an alert"):
                part.notify(alert)
        return alerts

    def _write(
        self, run: RunFile, record: Record, values: list[summaries.Value], alerts: list[Alert]
    ) -> None:
        if alerts:
            run.alerts += alerts
            values.append(summaries.packed_alerts(run.alerts))
            values.append(summaries.text("alerts", summaries.alerts_markdown(alerts)))
        with self._reported("writing the event file"):
            run.write(record.step, record.wall_time, values)
            if alerts:
                run.flush()

    # -------------------------------------------------------------------------------------- helpers

    def _is_due(self, part: Part, step: int) -> bool:
        assert self._capture is not None
        per_update = self._capture.batches_per_update
        if part.schedule.is_due(step, self._started_at, per_update):
            return True
        return step in self._epoch_ends and part.schedule.is_epoch_due(self._epoch_ends[step])

    @property
    def _steps_per_execution(self) -> int:
        return max(int(self._model.steps_per_execution or 1), 1)

    @property
    def _started_at(self) -> int:
        """Updates that the model had seen when it was first watched."""
        return self._history.start or 0

    def _flush(self) -> None:
        for run in self._runs.values():
            with self._reported("flushing the event file"):
                run.flush()

    @contextlib.contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        """What goes wrong in here is reported once and counted; the training goes on."""
        try:
            yield
        except Exception as error:
            self._report(doing, f"{doing} failed: {error!r}")

    def _report(self, kind: str, message: str) -> None:
        self.problems[kind] += 1
        if self.problems[kind] == 1:
            logger.warning("tbwatch: %s. The training goes on; said once.", message)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


_HISTORIES: weakref.WeakKeyDictionary[keras.Model, _History] = weakref.WeakKeyDictionary()
_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()


def session_of(model: keras.Model) -> Session:
    """The session of the fit that is going on, or that begins."""
    for session in _SESSIONS:
        if session._model is model and not session.is_over:
            return session
    return Session(model)


@atexit.register
def _flush_all() -> None:
    for session in list(_SESSIONS):
        if not session.is_over:
            session._flush()
