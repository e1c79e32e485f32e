"""What outlives a fit: a second one of the same model goes on where the first one ended."""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import keras

from tbwatch.layout import Layout, WatchedActivation
from tbwatch.units import UnitStreaks


class History:
    """What is remembered of one model, and of each optimizer that trained it."""

    def __init__(self) -> None:
        self._first_values: dict[str, dict[str, Any]] = {}
        self._starts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._streaks: weakref.WeakKeyDictionary[Any, dict[tuple[str, int], UnitStreaks]] = (
            weakref.WeakKeyDictionary()
        )

    def start_of(self, optimizer: keras.optimizers.Optimizer, done: int) -> int:
        """Updates that an optimizer had made when it was first watched; `done` if that is now."""
        self._starts[optimizer] = min(self._starts.get(optimizer, done), done)
        return self._starts[optimizer]

    def with_first_values(self, layout: Layout) -> Layout:
        """The layout with W at init as it was when the model was first watched."""
        variables = []
        for variable in layout.variables:
            now = {"initial_rms": variable.initial_rms, "constant": variable.constant}
            first = self._first_values.setdefault(variable.name, now)
            variables.append(dataclasses.replace(variable, **first))
        return dataclasses.replace(layout, variables=tuple(variables))

    def streaks_of(
        self, optimizer: keras.optimizers.Optimizer, activation: WatchedActivation
    ) -> UnitStreaks:
        """How long each unit has been silent or saturated, at the updates of an optimizer."""
        known = self._streaks.setdefault(optimizer, {})
        key = (activation.name, activation.units)
        return known.setdefault(key, UnitStreaks(activation.units))


_HISTORIES: weakref.WeakKeyDictionary[keras.Model, History] = weakref.WeakKeyDictionary()


def history_of(model: keras.Model) -> History:
    """What is remembered of a model."""
    return _HISTORIES.setdefault(model, History())
