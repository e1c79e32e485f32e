"""Listens to the layers of a model: what they hand on in a step that is traced, or run eagerly.

Gives what is heard by reference: nothing is computed here, and nothing of what is computed changes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager.record import could_possibly_record

from tbwatch import replicas
from tbwatch.activation_layers import cells_of, function_of, is_main, unit_axis
from tbwatch.activations import Activation
from tbwatch.layout import WatchedActivation, unique_names
from tbwatch.models import flat_layers, holders_of, is_container, layer_paths
from tbwatch.replacing import Replaced


@dataclasses.dataclass(frozen=True)
class Tap:
    """One activation of the step that is traced, or run eagerly.

    Attributes:
        activation: what it is.
        is_main: whether it is the output of a layer with weights or of an activation layer.
        source: what to measure.
    """

    activation: WatchedActivation
    is_main: bool
    source: Activation


@dataclasses.dataclass(frozen=True)
class _Heard:
    """One call of a layer: its output, and what its activation function received and returned."""

    layer: Any
    outputs: Any
    received: Any = None
    returned: Any = None
    function: str = ""


class Taps:
    """Replaces `call` and `activation` of all layers, as long as it is entered.

    Args:
        model: the model, built or not.
        only_in_tape: listen only where a gradient tape records: a loop may call the model for
            other purposes between two training steps.
    """

    def __init__(self, model: keras.Model, only_in_tape: bool = False) -> None:
        self._model = model
        self._only_in_tape = only_in_tape
        self._heard: list[_Heard] = []
        self._outputs: list[Any] = []
        # What a layer's activation function has received and returned in the call at hand.
        self._inside: dict[int, tuple[Any, Any, str]] = {}
        self._replaced: list[Replaced] = []
        self._known: set[int] = set()
        self._holders: dict[int, str] = {}
        self._is_entered = False

    def __enter__(self) -> Taps:
        self._find_layers()
        self._is_entered = True
        for replaced in self._replaced:
            replaced.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for replaced in reversed(self._replaced):
            replaced.__exit__()
        self._is_entered = False
        self.forget()

    def find_new_layers(self) -> None:
        """Listen also to layers that were made in this step, by a layer that it built."""
        self._known.clear()
        self._find_layers()
        self.forget()

    def take(self) -> list[Tap]:
        """What was heard since the last time and can be measured here, in the order of the calls.

        Outputs in inner graphs, such as the steps of a recurrent layer, are left out.
        """
        heard = [(h, _tensor_of(h.outputs)) for h in self._heard]
        calls = [(h, tensor) for h, tensor in heard if tensor is not None]
        paths = layer_paths([h.layer for h, _ in calls], self._model.name, self._holders)
        names = unique_names(name for name, _ in paths)
        taps = []
        for name, (_, layer), (h, tensor) in zip(names, paths, calls, strict=True):
            of_function = h.returned is tensor
            function = function_of(h.layer) or (h.function if of_function else "")
            before = _tensor_of(h.received)
            main = is_main(h.layer)
            if before is not None and h.function != "linear":
                taps.append(
                    _tap(f"{name}/pre_activation", layer, "linear", before, h.layer, main, True)
                )
            is_output = any(tensor is output for output in self._outputs)
            taps.append(_tap(name, layer, function, tensor, h.layer, main, False, is_output))
        self.forget()
        return [tap for tap in taps if tap.source.tensor.shape[tap.source.axis]]

    def _listens(self) -> bool:
        """Whether the call at hand belongs to a training step, in the replica that measures."""
        return replicas.is_first() and (not self._only_in_tape or could_possibly_record())

    def forget(self) -> None:
        """Let go of what was heard."""
        self._heard.clear()
        self._outputs.clear()
        self._inside.clear()

    def _find_layers(self) -> None:
        """Prepare to replace the functions of layers that are not known yet."""
        if self._known:
            return
        layers = flat_layers(self._model)
        cells = {id(part) for layer in layers for part in cells_of(layer)}
        prepared = {id(replaced.owner) for replaced in self._replaced}
        self._known = {id(self._model), *map(id, layers)}
        self._holders = holders_of(self._model)
        for layer in layers:
            if id(layer) in prepared or id(layer) in cells or is_container(layer):
                continue
            self._add(Replaced(layer, "call", functools.partial(self._listening, layer)))
            own = vars(layer).get("activation")
            if callable(own) and not isinstance(own, keras.layers.Layer):
                self._add(Replaced(layer, "activation", functools.partial(self._inner, layer)))
        if id(self._model) not in prepared:
            self._add(Replaced(self._model, "call", self._whole))

    def _add(self, replaced: Replaced) -> None:
        self._replaced.append(replaced)
        if self._is_entered:
            replaced.__enter__()

    def _listening(self, layer: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._listens():
                return original(*args, **kwargs)
            self._inside.pop(id(layer), None)
            outputs = original(*args, **kwargs)
            received, returned, function = self._inside.pop(id(layer), (None, None, ""))
            self._heard.append(_Heard(layer, outputs, received, returned, function))
            return outputs

        return call

    def _inner(self, layer: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        function = getattr(original, "__name__", "")
        is_whole = isinstance(layer, keras.layers.Activation)

        def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
            returned = original(x, *args, **kwargs)
            if self._listens():
                # An activation layer receives what the layer before hands on: heard already.
                self._inside[id(layer)] = (None if is_whole else x, returned, function)
            return returned

        return activation

    def _whole(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            outputs = original(*args, **kwargs)
            if self._listens():
                self._outputs += tf.nest.flatten(outputs)
            return outputs

        return call


def is_reachable(tensor: Any) -> bool:
    """Whether the code that is being traced (or run) may use this tensor."""
    if not isinstance(tensor, tf.Tensor):
        return False
    if tf.executing_eagerly():
        return hasattr(tensor, "numpy")
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if getattr(tensor, "graph", None) is graph:
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _tensor_of(outputs: Any) -> tf.Tensor | None:
    """The first floating point tensor with at least two axes that can be used here."""
    for tensor in tf.nest.flatten(outputs):
        if is_reachable(tensor) and tensor.dtype.is_floating and (tensor.shape.rank or 0) >= 2:
            return tensor
    return None


def _tap(
    name: str,
    layer_path: str,
    function: str,
    tensor: tf.Tensor,
    layer: Any,
    main: bool,
    before: bool,
    is_output: bool = False,
) -> Tap:
    axis = unit_axis(layer, tensor.shape.rank)
    units = tensor.shape[axis] or 0
    watched = WatchedActivation(name, layer_path, function, units, is_output, before)
    return Tap(watched, main, Activation(tensor, axis, function))
