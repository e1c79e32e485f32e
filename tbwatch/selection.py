"""Which variables a user wants: patterns or callables on their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence

Pattern = str | Sequence[str] | Callable[[str], bool] | None


class Selection:
    """Variables by name: included, and not excluded.

    A pattern is a shell pattern (`*`, `?`, `[...]`) and matches the whole name of a variable
    (`"conv1/kernel"`, `"*/bias"`) or the name of a layer that holds it, nested ones by name or by
    path (`"conv1"`, `"encoder"`, `"encoder/conv1"`).

    Args:
        include: pattern, list of patterns, or callable `name -> bool`; None takes all.
        exclude: the same, for what to leave out; None leaves out nothing.

    Raises:
        TypeError: if an argument is none of these.
        ValueError: if a pattern is empty.

    Example:
        >>> chosen = Selection(include="conv*", exclude="*/bias")
        >>> [chosen(name) for name in ("conv1/kernel", "conv1/bias", "out/kernel")]
        [True, False, False]
    """

    def __init__(self, include: Pattern = None, exclude: Pattern = None) -> None:
        self._include = _checked("include", include)
        self._exclude = _checked("exclude", exclude)

    def __call__(self, name: str) -> bool:
        """Whether a variable of this name is wanted."""
        included = self._include is None or _matches(self._include, name)
        return included and not (self._exclude is not None and _matches(self._exclude, name))

    def unmatched(self, names: Sequence[str]) -> list[str]:
        """Patterns that match none of these names."""
        patterns = [
            pattern
            for patterns in (self._include, self._exclude)
            if isinstance(patterns, list)
            for pattern in patterns
        ]
        return [p for p in patterns if not any(_matches([p], name) for name in names)]


class LayerSelection(Selection):
    """Activations by the name of their layer; by default the outputs of the layers that matter.

    Args:
        include: patterns on names or paths of layers, or a callable `layer -> bool`: all
            activations of these layers, pre-activations too. None for the outputs of layers with
            weights and of activation layers.
        exclude: the same, for what to leave out.

    Example:
        >>> chosen = LayerSelection(include=["conv*", "encoder"])
        >>> [chosen.takes(layer, is_main=True) for layer in ("conv1", "encoder/fc", "pool")]
        [True, True, False]
        >>> [LayerSelection().takes(layer, is_main=layer == "fc") for layer in ("fc", "pool")]
        [True, False]
    """

    def takes(self, layer: str, *, is_main: bool, before: bool = False) -> bool:
        """Whether an activation is wanted.

        Args:
            layer: path of its layer.
            is_main: whether it is the output of a layer with weights or of an activation layer.
            before: whether it is a pre-activation.
        """
        if self._exclude is not None and _matches_layer(self._exclude, layer):
            return False
        if self._include is None:
            return is_main and not before
        return _matches_layer(self._include, layer)

    def unmatched(self, names: Sequence[str]) -> list[str]:
        """Patterns that match none of these layers."""
        return super().unmatched([f"{name}/" for name in names])


def _matches_layer(patterns: list[str] | Callable[[str], bool], layer: str) -> bool:
    if callable(patterns):
        return bool(patterns(layer))
    # A layer's own name matches as that of a layer that holds a variable does.
    return _matches(patterns, f"{layer}/")


def _checked(argument: str, pattern: Pattern) -> list[str] | Callable[[str], bool] | None:
    if pattern is None or callable(pattern):
        return pattern
    patterns = [pattern] if isinstance(pattern, str) else pattern
    is_list = isinstance(patterns, (list, tuple, set, frozenset))
    if not is_list or not all(isinstance(item, str) for item in patterns):
        raise TypeError(
            f"{argument} must be a pattern, a list of patterns or a callable on the variable's "
            f"name; got {pattern!r}."
        )
    if not patterns or not all(patterns):
        raise ValueError(f"{argument} must hold patterns that are not empty; got {pattern!r}.")
    return list(patterns)


def _matches(patterns: list[str] | Callable[[str], bool], name: str) -> bool:
    if callable(patterns):
        return bool(patterns(name))
    parts = name.split("/")
    layers = len(parts) - 1
    spans = [(a, b) for a in range(layers) for b in range(a + 1, layers + 1)]
    candidates = [name, *("/".join(parts[a:b]) for a, b in spans)]
    return any(fnmatch.fnmatchcase(c, pattern) for pattern in patterns for c in candidates)
