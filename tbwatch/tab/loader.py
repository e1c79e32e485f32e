"""What TensorBoard imports when it starts: an exception here would keep it from starting at all.

So this imports nothing but TensorBoard itself, and the rest only when a plugin is to be made.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

from tensorboard.plugins import base_plugin

# TensorBoard keeps 10 or 100 records of a plugin's own tensors by default, too few for a map.
SAMPLES = 2000

logger = logging.getLogger("tbwatch")


class Loader(base_plugin.TBLoader):  # type: ignore[misc]  # TensorBoard is untyped
    """Makes the plugin, and has TensorBoard keep enough of its records."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Ask for `SAMPLES` records of each series; `--samples_per_plugin` of the user wins."""
        try:
            chosen = dict(getattr(flags, "samples_per_plugin", None) or {})
            chosen.setdefault("tbwatch", SAMPLES)
            flags.samples_per_plugin = chosen
        except Exception as error:
            logger.warning("tbwatch: TensorBoard will show few records: %r.", error)

    def load(self, context: base_plugin.TBContext) -> Any:
        """The plugin; None, so that TensorBoard starts without it, if there can be none."""
        try:
            from tbwatch.tab.plugin import HealthPlugin

            return HealthPlugin(context)
        except Exception as error:
            logger.warning("tbwatch: the tab Training health cannot be shown: %r.", error)
            return None
