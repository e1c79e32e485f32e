"""Which variables and activations are watched, and what a layout says of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras

from tbwatch.activations import Activation
from tbwatch.layout import WatchedActivation, WatchedVariable, unique_names
from tbwatch.models import is_watchable, key_of, native, path_of, value_facts
from tbwatch.taps import Tap


class Watched:
    """The variables that are watched, in the order of the layout.

    Args:
        model: their model; its forward order is theirs.
        variables: those that may be watched; what the model does not know comes last.
        select: tells of the names of all of them which ones are.

    Attributes:
        names: their names.
        variables: the TensorFlow variables.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Sequence[Any],
        select: Callable[[Sequence[str]], Sequence[bool]],
    ) -> None:
        allowed = {key_of(v) for v in variables}
        known = {key_of(v): v for v in [*model.trainable_variables, *variables]}
        members = [v for key, v in known.items() if key in allowed and is_watchable(v)]
        names = unique_names(path_of(v, model.name) for v in members)
        chosen = [
            (name, variable)
            for name, variable, take in zip(names, members, select(names), strict=True)
            if take
        ]
        self.names = [name for name, _ in chosen]
        self.variables = [native(variable) for _, variable in chosen]
        self._rows = {key_of(variable): row for row, (_, variable) in enumerate(chosen)}
        self._regularized = [getattr(v, "regularizer", None) is not None for _, v in chosen]

    def describe(self, missing: Collection[int]) -> tuple[WatchedVariable, ...]:
        """As the layout has them, with today's weights for those at init.

        Args:
            missing: `key_of` the variables that get no gradient.
        """
        return tuple(
            WatchedVariable(
                name=name,
                shape=tuple(variable.shape),
                dtype=variable.dtype.name,
                initial_rms=rms,
                connected=key_of(variable) not in missing,
                regularized=regularized,
                constant=is_constant,
            )
            for name, variable, regularized in zip(
                self.names, self.variables, self._regularized, strict=True
            )
            for rms, is_constant in [value_facts(variable)]
        )

    def positions(self, variables: Sequence[Any]) -> tuple[dict[int, int], list[int]]:
        """Where these are: row of a watched one -> its place here, and places of the others."""
        places: dict[int, int] = {}
        others: list[int] = []
        for place, variable in enumerate(variables):
            row = self._rows.get(key_of(variable))
            if row is None:
                others.append(place)
            else:
                places[row] = place
        return places, others

    def names_besides(self, keys: Collection[int]) -> list[str]:
        """Names of those that are not among these."""
        pairs = zip(self.names, self.variables, strict=True)
        return [name for name, variable in pairs if key_of(variable) not in keys]


class WatchedActivations:
    """The activations that are watched, in the order of the layout.

    Args:
        taps: all activations of the step that is traced, or run eagerly.
        select: tells of all of them which ones are.

    Attributes:
        described: as the layout has them.
        units: units of each.
    """

    def __init__(
        self, taps: Sequence[Tap], select: Callable[[Sequence[Tap]], Sequence[bool]]
    ) -> None:
        taken = [tap.activation for tap, take in zip(taps, select(taps), strict=True) if take]
        self.described: tuple[WatchedActivation, ...] = tuple(taken)
        self.units = [activation.units for activation in taken]
        self._rows = {activation.name: row for row, activation in enumerate(taken)}

    def among(self, taps: Sequence[Tap]) -> list[Activation | None]:
        """What to measure of a later step: None for what it does not compute as it did then."""
        found: list[Activation | None] = [None] * len(self.units)
        for tap in taps:
            row = self._rows.get(tap.activation.name)
            if row is not None and self.units[row] == tap.source.units:
                found[row] = tap.source
        return found
