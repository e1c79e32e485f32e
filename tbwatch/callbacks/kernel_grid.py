"""Pictures of convolution kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from tbwatch import kernels, models, summaries
from tbwatch.callbacks._base import LogDir, PartCallback, sparse_schedule
from tbwatch.layout import Layout
from tbwatch.parts import View
from tbwatch.selection import Selection


class KernelGrid(PartCallback):
    """Pictures of convolution kernels and of their change since the start, as `kernels/<layer>`.

    On the left the filters, on the right the same grid of W_t - W_0: the direct answer to "do my
    filters change?".

    Args:
        log_dir: as in `WeightHistograms`.
        layers: names of layers, nested ones too; None for the first 2-D convolution, if any.
        histogram_freq: as in `WeightHistograms`.
        update_freq: as in `WeightHistograms`.
        grid: as in `put_kernels_on_grid`.
        pad: width of the lines between two filters, in weights, as in `put_kernels_on_grid`.
        scale: as in `put_kernels_on_grid`; "shared" by default, so that filters compare.
        selection: for `Watch`, which hands on its own; leave it out.

    Raises:
        TypeError: for an argument of another type than above, in one sentence.
        ValueError: for one that is out of its range.

    Example:
        >>> model.fit(x, y, callbacks=[KernelGrid("logs/run1", layers="conv1")])  # doctest: +SKIP
    """

    def __init__(
        self,
        log_dir: LogDir = "logs",
        *,
        layers: str | Sequence[str] | None = None,
        histogram_freq: int = 1,
        update_freq: int | str | None = "auto",
        grid: tuple[int, int] | None = None,
        pad: int = 1,
        scale: str = "shared",
        selection: Selection | None = None,
    ) -> None:
        schedule = sparse_schedule(histogram_freq, update_freq, "update_freq")
        super().__init__(log_dir, schedule, selection or Selection())
        self.layers = layer_names("layers", layers)
        kernels.put_kernels_on_grid(np.zeros((1, 1, 1, 1)), grid, pad, scale=scale)  # checks them
        self.grid, self.pad, self.scale = grid, pad, scale
        self._initial: dict[str, np.ndarray] = {}

    def start(self, model: keras.Model, layout: Layout) -> None:
        """Find the kernels, and keep W_0 of a model that is watched for the first time."""
        if self.layers is None:
            self._kernels = models.first_conv_kernel(model)
        else:
            self._kernels = models.named_kernels(model, self.layers)
        if self._is_new(model):
            self._initial = {name: kernel.numpy() for name, kernel in self._kernels.items()}
        for name, initial in self._initial.items():
            self._picture(initial, initial, name)

    def values(self, view: View) -> Iterator[summaries.Value]:
        """A picture of each kernel after the update."""
        for name, kernel in self._kernels.items():
            picture = self._picture(kernel.numpy(), self._initial[name], name)
            png = kernels.to_png(picture)
            yield summaries.image(f"kernels/{name}", png, picture.shape[0], picture.shape[1])

    def _picture(self, kernel: np.ndarray, initial: np.ndarray, name: str) -> np.ndarray:
        try:
            return kernels.kernels_beside(kernel, initial, self.grid, self.pad, scale=self.scale)
        except ValueError as error:
            raise models.PatternError(f"kernel of the layer {name!r}: {error}") from error


def layer_names(
    argument: str, layers: str | Sequence[str] | None, or_else: str = "None"
) -> Sequence[str] | None:
    """The names in a list, or None; TypeError for anything else, by the name of the argument."""
    names = [layers] if isinstance(layers, str) else layers
    is_list = isinstance(names, (list, tuple)) and len(names) > 0
    if names is not None and not (is_list and all(isinstance(n, str) and n for n in names)):
        raise TypeError(
            f"{argument} must be a layer name, a list of them, or {or_else}; got {layers!r}."
        )
    return names
