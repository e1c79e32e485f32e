"""All programs, by diagnosis: importing it fills the table."""

from __future__ import annotations

from docs.pictures import programs_layers, programs_runs, programs_updates
from docs.pictures.program import PROGRAMS

__all__ = ["PROGRAMS", "programs_layers", "programs_runs", "programs_updates"]
