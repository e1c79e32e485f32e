"""The tab Training health in a notebook."""

from __future__ import annotations

import html
import os
from typing import Any

from tbwatch.reader import read_runs

__all__ = ["Shown", "show"]

HEIGHT = 900


class Shown:
    """What a notebook displays: the tab in a frame. Made by `show`.

    Args:
        attributes: HTML attributes of the frame, with what it shows.
        url: address of the TensorBoard behind it; by default "", for a page without one.

    Attributes:
        url: address of the TensorBoard behind it.

    Example:
        >>> Shown('src="http://localhost:6006/#tbwatch"', "http://localhost:6006/#tbwatch")
        Training health at http://localhost:6006/#tbwatch
    """

    def __init__(self, attributes: str, url: str = "") -> None:
        self._attributes = attributes
        self.url = url

    def __repr__(self) -> str:
        return f"Training health at {self.url}" if self.url else "Training health, as a page"

    def _repr_html_(self) -> str:
        return f'<iframe title="Training health" {self._attributes}></iframe>'


def show(
    log_dir: str | os.PathLike[str] = "logs", *, height: int = HEIGHT, live: bool = True
) -> Shown:
    """Show the tab Training health below the cell of a notebook.

    Args:
        log_dir: log directory of a run, or a directory above several; "logs" as in `Watch`.
        height: of the frame, in pixels; 900 shows a map of 25 rows and the curves below it.
        live: True starts a TensorBoard in this process, which follows a run that is being
            written, and opens its tab; the browser has to run on the same machine, or reach its
            ports. That is for notebooks: in a script that ends, threads of TensorBoard can make
            Python abort at its exit. False shows what is recorded now, as `tbwatch report` would:
            it needs no server, and stays in a notebook that is saved.

    Returns:
        What a notebook displays if it is the last value of a cell.

    Raises:
        ValueError: for a height that is no positive number.
        ReadError: with `live=False`, if there are no records.

    Example:
        >>> from tbwatch import notebook
        >>> notebook.show("logs")  # doctest: +SKIP
    """
    if not isinstance(height, int) or isinstance(height, bool) or height < 1:
        raise ValueError(f"height must be a number of pixels, at least 1; got {height!r}.")
    style = f'width="100%" height="{height}" style="border:0"'
    if live:
        url = f"{_launched(os.fspath(log_dir))}#tbwatch"
        return Shown(f'src="{html.escape(url)}" {style}', url)
    from tbwatch.tab import page, recorded

    content = page.page("Training health", recorded.answers(read_runs(log_dir)))
    return Shown(f'srcdoc="{html.escape(content)}" {style}')


def _launched(log_dir: str) -> str:
    """The address of a TensorBoard on a free port, which ends with this process."""
    from tensorboard import default, program

    board: Any = program.TensorBoard(default.get_plugins())
    board.configure(argv=["tensorboard", "--logdir", log_dir, "--port", "0"])
    address: str = board.launch()
    return address
