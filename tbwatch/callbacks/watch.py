"""Everything with one callback."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tbwatch.alerts import Alert
from tbwatch.callbacks._base import LogDir, PartCallback, SharedCallback, sparse_schedule
from tbwatch.callbacks.histograms import GradientHistograms, UpdateHistograms, WeightHistograms
from tbwatch.callbacks.judge import Judge
from tbwatch.callbacks.kernel_grid import KernelGrid
from tbwatch.callbacks.norms import GradientNorms
from tbwatch.detectors import Detector, make_detectors
from tbwatch.parts import Part
from tbwatch.selection import Pattern, Selection


class Watch(SharedCallback):
    """Watches a whole training run: everything the parts do, with one callback.

    Args:
        log_dir: directory of the run, as in Keras' `TensorBoard`, which may write into the same
            one; files go to `<log_dir>/tbwatch`.
        update_freq: when to record norms, ratios and judge them: as in `GradientNorms`.
        histogram_freq: histograms and kernel pictures every so many epochs, as in
            `WeightHistograms`; 0 for none at all, as in Keras.
        histogram_update_freq: histograms and kernel pictures within epochs: `update_freq` of
            `WeightHistograms`.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.
        kernels: True for the kernels of the first 2-D convolution, if any; names of layers; or
            False.
        detectors: names (`"nonfinite"`, `"dead_update"`) or detector objects; None for all.
        on_alert: called with each `Alert`.
        stop_on: names of diagnoses, rules or severities (and what is graver) that end the
            training, e.g. `{"nonfinite"}`.

    Attributes:
        alerts: every alert of the run so far, oldest first; a model that is compiled anew, or
            another one, begins a new run.

    Raises:
        TypeError, ValueError: for an argument that is not as above, in one sentence.

    Example:
        >>> watch = Watch("logs/run1")
        >>> model.fit(x, y, callbacks=[watch])  # doctest: +SKIP
        >>> watch.alerts
        []
    """

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        update_freq: int | str = "auto",
        histogram_freq: int = 1,
        histogram_update_freq: int | str | None = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
        kernels: bool | str | Sequence[str] = True,
        detectors: Sequence[str | Detector] | str | None = None,
        on_alert: Callable[[Alert], object] | None = None,
        stop_on: Collection[str] = (),
    ) -> None:
        super().__init__()
        chosen: dict[str, Any] = {"include": include, "exclude": exclude}
        selection = Selection(include, exclude)
        sparse_schedule(histogram_freq, histogram_update_freq, "histogram_update_freq")
        sparse: dict[str, Any] = {
            "histogram_freq": histogram_freq,
            "update_freq": histogram_update_freq,
        }
        judges = make_detectors(detectors)
        self._judge = Judge(log_dir, update_freq, selection, judges, on_alert, stop_on)
        self._parts: list[PartCallback] = [
            self._judge,
            GradientNorms(log_dir, update_freq=update_freq, **chosen),
        ]
        if histogram_freq:
            for part in (WeightHistograms, GradientHistograms, UpdateHistograms):
                self._parts.append(part(log_dir, **sparse, **chosen))
            if kernels is not False:
                layers = None if kernels is True else kernels
                self._parts.append(
                    KernelGrid(log_dir, layers=layers, selection=selection, **sparse)
                )

    @property
    def alerts(self) -> list[Alert]:
        """Every alert so far, oldest first."""
        return self._judge.alerts

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
