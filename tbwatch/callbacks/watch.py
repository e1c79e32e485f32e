"""Everything with one callback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras

from tbwatch import lines, replicas
from tbwatch.alerts import Alert
from tbwatch.callbacks._base import (
    LogDir,
    PartCallback,
    SharedCallback,
    check_flight,
    sparse_schedule,
)
from tbwatch.callbacks.histograms import (
    ActivationHistograms,
    GradientHistograms,
    UpdateHistograms,
    WeightHistograms,
)
from tbwatch.callbacks.judge import Judge
from tbwatch.callbacks.kernel_grid import KernelGrid, layer_names
from tbwatch.callbacks.norms import GradientNorms
from tbwatch.detectors import Chosen
from tbwatch.format import counted
from tbwatch.layout import Layout
from tbwatch.parts import Part
from tbwatch.selection import LayerSelection, Pattern, Selection
from tbwatch.telling import tell
from tbwatch.verdict import nothing_recorded, ranked, report


class Watch(SharedCallback):
    """Watches a whole training run: everything the parts do, with one callback.

    Args:
        log_dir: directory of the run, as in Keras' `TensorBoard`, which may write into the same
            one; files go to `<log_dir>/tbwatch`.
        optimizer: the optimizer to watch, where the training step of your model calls another one
            than `model.optimizer`, as in a GAN: one `Watch` for each, with a `log_dir` of its own.
            Only the variables that it gets are watched. None for `model.optimizer`.
        update_freq: when to record norms, ratios and judge them: as in `GradientNorms`.
        histogram_freq: histograms and kernel pictures every so many epochs, as in
            `WeightHistograms`; 0 for none at all, as in Keras.
        histogram_update_freq: histograms and kernel pictures within epochs: `update_freq` of
            `WeightHistograms`.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.
        activations: what layers hand on: `"auto"` for the outputs of layers that have weights or
            are activation functions; True for the outputs of all layers, and for what their
            activation functions receive; a pattern on names of layers, or a list of them, for
            the same of these; False for none. Pre-activations are not in `"auto"`: keeping them
            takes memory, and in a graph it can change the last bit of a result (docs/modes.md).
        kernels: True for the kernel of the first 2-D convolution, if any, whose filters can be
            seen as pictures best; names of layers; or False.
        detectors: names (`tbwatch.detectors.DETECTORS`), detector objects, or functions of a
            record; None for all.
        flight_recorder: keep the gradient and weight norms of the last so many updates, each of
            them, on the device, and write them when a critical alert is raised; read them with
            `tbwatch flight`. 0, the default, for none: unlike samples it costs something at each
            update.
        on_alert: called with each `Alert`; what it raises is logged, and ends nothing. None for
            nothing.
        stop_on: severities (and what is graver), or names of the detectors at work, that end the
            training, e.g. `{"nonfinite"}`. By default none does: what to do is for you to decide.
        verbose: print a line at the first update (what is watched, how often, where to) and one
            at the end (what was found): 1 for yes, 0 for no. `"auto"`, the default: as Keras does,
            so not in a `fit` with `verbose=0`. Alerts are logged in any case.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> watch = Watch("logs/run1")
        >>> model.fit(x, y, callbacks=[watch])  # doctest: +SKIP
        >>> watch.alerts
        []
    """

    _is_for_fit = True

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        update_freq: int | str = "auto",
        histogram_freq: int = 1,
        histogram_update_freq: int | str | None = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
        activations: bool | str | Sequence[str] = "auto",
        kernels: bool | str | Sequence[str] = True,
        detectors: Sequence[Chosen] | Chosen | None = None,
        flight_recorder: int = 0,
        on_alert: Callable[[Alert], object] | None = None,
        stop_on: Collection[str] = (),
        verbose: int | str = "auto",
    ) -> None:
        super().__init__()
        lines.check_verbose(verbose)
        self.verbose = verbose
        if optimizer is not None and not isinstance(optimizer, keras.optimizers.Optimizer):
            raise TypeError(f"optimizer must be a Keras optimizer, or None; got {optimizer!r}.")
        self.optimizer = optimizer
        if self._is_for_fit and replicas.has_workers():
            tell(
                logging.WARNING,
                "tbwatch: TF_CONFIG names several workers, and fit of Keras 3 fails under "
                "MultiWorkerMirroredStrategy, watched or not; write the loop yourself and watch it "
                "with tbwatch.attach.",
            )
        chosen: dict[str, Any] = {"include": include, "exclude": exclude}
        selection = Selection(include, exclude)
        sparse_schedule(histogram_freq, histogram_update_freq, "histogram_update_freq")
        sparse: dict[str, Any] = {
            "histogram_freq": histogram_freq,
            "update_freq": histogram_update_freq,
        }
        self._judge = Judge(log_dir, update_freq, selection, detectors, on_alert, stop_on)
        self._judge.announce = self._say_first
        self._has_begun = False
        self._parts: list[PartCallback] = [
            self._judge,
            GradientNorms(log_dir, update_freq=update_freq, **chosen),
        ]
        self._judge.flight = check_flight(flight_recorder)
        of_kernels = None
        if not isinstance(kernels, bool):
            of_kernels = layer_names("kernels", kernels, "True or False")
        layers = _chosen_layers(activations)
        if layers is not None:
            self._judge.activations = layers
        if histogram_freq:
            for part in (WeightHistograms, GradientHistograms, UpdateHistograms):
                self._parts.append(part(log_dir, **sparse, **chosen))
            if layers is not None:
                histograms = ActivationHistograms(log_dir, **sparse)
                histograms.activations, histograms.selection = layers, selection
                self._parts.append(histograms)
            if kernels is not False:
                self._parts.append(
                    KernelGrid(log_dir, layers=of_kernels, selection=selection, **sparse)
                )

    @property
    def alerts(self) -> list[Alert]:
        """Every alert of the run so far, oldest first.

        A model that is compiled anew, or another one, begins a new run.
        """
        return self._judge.alerts

    @property
    def holding(self) -> list[Alert]:
        """One alert for each cause that holds now, the gravest first."""
        return ranked(self._judge.holding())

    def report(self, width: int = 100) -> str:
        """What is left, ranked: each cause that holds now, with its remedy, as plain text.

        Args:
            width: columns to wrap at; 0 for lines of any length.

        Example:
            >>> print(Watch("logs/run1").report(width=60))  # before any fit
            Nothing was recorded: pass the watch to fit in `callbacks=`;
            if it was passed, the log says why.
        """
        latest = self._judge.latest
        if latest is None:
            return nothing_recorded(width)
        return report(
            self.holding, self.alerts, width, self._judge.notes, frozen=latest.layout.frozen
        )

    @property
    def log_dir(self) -> str:
        """Directory of the run."""
        return self._judge.log_dir

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Keras tells how the fit is run."""
        super().set_params(params)
        for part in self._parts:
            part.set_params(params)

    def members(self) -> Sequence[Part]:
        """Its parts."""
        return self._parts

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A fit begins."""
        self._has_begun, self._judge.records = False, 0
        super().on_train_begin(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """A fit has ended."""
        session = self._session
        super().on_train_end(logs)
        if session is not None:
            self._say_last(session.problems.counts)

    def _say_last(self, problems: Collection[str]) -> None:
        found, judge = self.holding, self._judge
        self._say(lines.last_line(found, self.alerts, judge.records, len(problems), self.log_dir))

    def _say_first(self, model: keras.Model, layout: Layout) -> None:
        if self._has_begun:
            return  # the step was traced once more
        self._has_begun = True
        when = self._judge.schedule.described()
        self._say(lines.first_line(model.name, layout, when, self.log_dir))

    def _say(self, line: str) -> None:
        is_wanted = self.verbose
        if is_wanted == "auto":
            is_wanted = (self.params or {}).get("verbose") != 0
        if is_wanted:
            with contextlib.suppress(Exception):  # nobody can be told, and the training goes on
                lines.say(line)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.log_dir!r}: {counted(len(self.alerts), 'alert')}>"


class LoopCallback(Watch):
    """A `Watch` that no `fit` calls, but a custom loop."""

    _is_for_fit = False

    def say_last(self, problems: Collection[str]) -> None:
        """The loop has ended: print what was found; `problems` are kinds of failures."""
        self._say_last(problems)


def _chosen_layers(activations: object) -> LayerSelection | None:
    """The activations to watch; None for none."""
    if activations is False:
        return None
    if activations is True:
        return LayerSelection(include="*")
    if activations == "auto":
        return LayerSelection()
    patterns = list(activations) if isinstance(activations, (list, tuple)) else [activations]
    texts = [pattern for pattern in patterns if isinstance(pattern, str) and pattern]
    if not texts or len(texts) < len(patterns):
        raise TypeError(
            'activations must be "auto", True, False, a pattern on names of layers or a list of '
            f"them; got {activations!r}."
        )
    return LayerSelection(include=texts)
