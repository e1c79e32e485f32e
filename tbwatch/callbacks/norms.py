"""Gradient norms."""

from __future__ import annotations

from collections.abc import Iterator

from tbwatch import summaries
from tbwatch.callbacks._base import LogDir, PartCallback, dense_schedule
from tbwatch.parts import View
from tbwatch.selection import Pattern, Selection


class GradientNorms(PartCallback):
    """L2 norms of the gradients that the optimizer consumed, as scalars `gradient_norm/<variable>`.

    Args:
        log_dir: directory of the run, as in Keras' `TensorBoard`; files go to
            `<log_dir>/tbwatch`.
        update_freq: every so many batches, `"batch"` (1), `"epoch"` (its last update), or
            `"auto"`: each of the first 50 updates, then about every 4 % of the run so far and at
            least every 100th. As in Keras, whose default is `"epoch"`; a run of one epoch would
            then show a single point.
        include: as in `WeightHistograms`.
        exclude: as in `WeightHistograms`.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[GradientNorms("logs/run1")])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        update_freq: int | str = "auto",
        include: Pattern = None,
        exclude: Pattern = None,
    ) -> None:
        super().__init__(log_dir, dense_schedule(update_freq), Selection(include, exclude))

    def values(self, view: View) -> Iterator[summaries.Value]:
        """One scalar per selected variable."""
        return self._per_variable("gradient_norm", view.record)
