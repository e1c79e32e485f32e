"""What layers of Keras say of their activations: the function, its units, whether to watch them."""

from __future__ import annotations

from typing import Any

import keras

_LAYER_FUNCTIONS = {
    keras.layers.ReLU: "relu",
    keras.layers.LeakyReLU: "leaky_relu",
    keras.layers.ELU: "elu",
    keras.layers.PReLU: "prelu",
    keras.layers.Softmax: "softmax",
}
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


def function_of(layer: Any) -> str:
    """The function of a layer that is one, or whose `activation` is such a layer; else ""."""
    if isinstance(layer, keras.layers.ReLU) and layer.negative_slope:
        return "leaky_relu"
    for kind, function in _LAYER_FUNCTIONS.items():
        if isinstance(layer, kind):
            return function
    own = vars(layer).get("activation")
    return function_of(own) if isinstance(own, keras.layers.Layer) else ""


def unit_axis(layer: Any, rank: int) -> int:
    """The axis of the units in what a layer hands on, of so many axes."""
    data_format = getattr(layer, "data_format", None)
    if data_format is None and rank >= 4:
        data_format = keras.config.image_data_format()
    return 1 if data_format == "channels_first" else rank - 1


def is_main(layer: Any) -> bool:
    """Whether its output is watched by default: it has weights, or is an activation layer."""
    own_weights = layer._trainable_variables or layer._non_trainable_variables
    is_function = function_of(layer) or isinstance(layer, keras.layers.Activation)
    return bool(own_weights or is_function) or isinstance(layer, _LOOPS)


def cells_of(layer: Any) -> list[Any]:
    """Layers that run once per time step, in a loop."""
    if not isinstance(layer, keras.layers.RNN):
        return []
    return [layer.cell, *layer.cell._flatten_layers(include_self=False, recursive=True)]
