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

    def __enter__(self) -> None:
        own = self._attributes.get(self._name)
        # A replacement is made anew only if the original is another one: layers are many.
        if self._replacement is None or own is not self._own:
            original = getattr(self.owner, self._name)
            self._own, self._replacement = own, functools.wraps(original)(self._make(original))
        # Past Keras' attribute tracking: this is no part of the optimizer or the layer.
        self._attributes[self._name] = self._replacement

    def __exit__(self, *_: object) -> None:
        if self._attributes.get(self._name) is not self._replacement:
            return  # somebody has put another one there since
        if self._own is None:
            del self._attributes[self._name]
        else:
            self._attributes[self._name] = self._own
