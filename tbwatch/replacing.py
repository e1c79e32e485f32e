"""Replaces functions of instances for a while: the way into optimizers and layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


class Replaced:
    """A function of an instance, replaced as long as it is entered; again and again.

    Args:
        owner: the instance.
        name: the attribute.
        make: gives the replacement of an original.

    Example:
        >>> class Greeter:
        ...     def greet(self):
        ...         return "hello"
        >>> greeter = Greeter()
        >>> with Replaced(greeter, "greet", lambda original: lambda: original() + " there"):
        ...     greeter.greet()
        'hello there'
        >>> greeter.greet(), vars(greeter)
        ('hello', {})
    """

    def __init__(self, owner: Any, name: str, make: Callable[[Function], Function]) -> None:
        self.owner = owner
        self._attributes, self._name, self._make = vars(owner), name, make
        self._own: Any = None
        self._replacement: Function | None = None
        self._is_entered = False

    def __enter__(self) -> None:
        own = self._attributes.get(self._name)
        # A replacement is made anew only if the original is another one: layers are many.
        if self._replacement is None or own is not self._own:
            self._own, self._replacement = own, self._switched(getattr(self.owner, self._name))
        self._is_entered = True
        # Past Keras' attribute tracking: this is no part of the optimizer or the layer.
        self._attributes[self._name] = self._replacement

    def __exit__(self, *_: object) -> None:
        self._is_entered = False
        if self._attributes.get(self._name) is not self._replacement:
            return  # somebody has put another one there since, which stands on ours
        own = self._own
        # One that came earlier may have been left already.
        while isinstance(below := getattr(own, "of", None), Replaced) and not below._is_entered:
            own = below._own
        if own is None:
            del self._attributes[self._name]
        else:
            self._attributes[self._name] = own

    def _switched(self, original: Function) -> Function:
        """The replacement as long as this is entered, the original afterwards."""
        made = self._make(original)

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return (made if self._is_entered else original)(*args, **kwargs)

        replacement.of = self  # type: ignore[attr-defined]
        return replacement
