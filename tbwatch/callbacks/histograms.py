"""Histograms of weights, gradients, updates and activations."""

from __future__ import annotations

from collections.abc import Iterator

from tbwatch import summaries
from tbwatch.callbacks._base import LogDir, PartCallback, sparse_schedule
from tbwatch.parts import View
from tbwatch.selection import LayerSelection, Pattern, Selection


class _Histograms(PartCallback):
    """Histograms of one kind of tensor."""

    kind = ""

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        histogram_freq: int = 1,
        update_freq: int | str | None = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
    ) -> None:
        schedule = sparse_schedule(histogram_freq, update_freq, "update_freq")
        super().__init__(log_dir, schedule, Selection(include, exclude))
        self.histogram_kinds = frozenset({self.kind})
        self.needs_updates = self.kind == "updates"

    def values(self, view: View) -> Iterator[summaries.Value]:
        """A histogram of each selected variable, if this record has some."""
        counts = view.histograms.get(self.kind)
        if counts is None:
            return
        for row, variable in enumerate(view.record.layout.variables):
            # Without a gradient there is nothing to draw, and an empty card helps nobody.
            if self.selection(variable.name) and counts[row].any():
                group = "biases" if self.kind == "weights" and variable.is_bias else self.kind
                yield summaries.histogram(f"{group}/{variable.name}", counts[row])


class WeightHistograms(_Histograms):
    """Histograms of weights, as `weights/<variable>`, and of biases, as `biases/<variable>`.

    The values are those before the update of the step: the first histogram shows the initial
    weights.

    Args:
        log_dir: directory of the run, as in Keras' `TensorBoard`; files go to
            `<log_dir>/tbwatch`.
        histogram_freq: every so many epochs, at the last update of the epoch; 0 for none of
            these. As in Keras.
        update_freq: also within epochs: every so many batches, or `"auto"`: updates 1, 2, 3, 4,
            6, 8, 11, ... each about 1.41 times the last, so that short runs are seen too; or None.
        include: only these variables: a shell pattern on their names or layers, a list of them,
            or a callable `name -> bool`. None for all.
        exclude: but not these.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[WeightHistograms("logs/run1")])  # doctest: +SKIP
    """

    kind = "weights"


class GradientHistograms(_Histograms):
    """Histograms of the gradients that the optimizer consumed, as `gradients/<variable>`.

    A gradient is unscaled, accumulated over micro-batches, and not yet clipped.

    Args:
        log_dir: as in `WeightHistograms`.
        histogram_freq: as in `WeightHistograms`.
        update_freq: as in `WeightHistograms`.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[GradientHistograms("logs/run1")])  # doctest: +SKIP
    """

    kind = "gradients"

    def values(self, view: View) -> Iterator[summaries.Value]:
        """The histograms, and the same gradients by magnitude for the tab Training health."""
        yield from super().values(view)
        counts = view.histograms.get(self.kind)
        if counts is not None:
            names = view.record.layout.names
            mine = [row for row, name in enumerate(names) if self.selection(name)]
            yield summaries.packed_magnitudes(tuple(names[row] for row in mine), counts[mine])


class UpdateHistograms(_Histograms):
    """Histograms of dW = W after - W before, as `updates/<variable>`.

    Keeps one copy of the watched variables on the device.

    Args:
        log_dir: as in `WeightHistograms`.
        histogram_freq: as in `WeightHistograms`.
        update_freq: as in `WeightHistograms`.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[UpdateHistograms("logs/run1")])  # doctest: +SKIP
    """

    kind = "updates"


class ActivationHistograms(PartCallback):
    """Histograms of what layers hand on in the training step, as `activations/<activation>`.

    These are the outputs of the very forward pass that the update comes from: no second one is
    made. Of a large activation the first examples of the batch are counted, up to 2**20 elements.

    Args:
        log_dir: as in `WeightHistograms`.
        histogram_freq: as in `WeightHistograms`.
        update_freq: as in `WeightHistograms`.
        include: only these layers, and what their activation functions receive too: a shell
            pattern on names or paths of layers, a list of them, or a callable `layer -> bool`.
            None for the outputs of all layers that have weights or are activation functions.
        exclude: but not these layers.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> callback = ActivationHistograms("logs/run1", include=["conv*", "dense"])
        >>> model.fit(x, y, callbacks=[callback])  # doctest: +SKIP
    """

    kind = "activations"

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        histogram_freq: int = 1,
        update_freq: int | str | None = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
    ) -> None:
        schedule = sparse_schedule(histogram_freq, update_freq, "update_freq")
        super().__init__(log_dir, schedule, Selection())
        self.activations = LayerSelection(include, exclude)
        self.histogram_kinds = frozenset({self.kind})

    def values(self, view: View) -> Iterator[summaries.Value]:
        """A histogram of each selected activation, if this record has some."""
        counts = view.histograms.get(self.kind)
        if counts is None or self.activations is None:
            return
        for row, activation in enumerate(view.record.layout.activations):
            # What is watched at all was chosen by this callback or another one.
            wanted = self.activations.takes(
                activation.layer, is_main=True, before=activation.before
            )
            if wanted and counts[row].any():
                yield summaries.histogram(f"{self.kind}/{activation.name}", counts[row])
