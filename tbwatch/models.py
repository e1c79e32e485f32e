"""What a Keras model is made of: names, kernels, frozen weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tbwatch.layout import unique_names


class PatternError(ValueError):
    """Patterns that match no variable: a wrong argument, so it ends the run before it begins."""


def flat_layers(model: keras.Model) -> list[Any]:
    """All layers of a model, nested ones too, in forward order as far as Keras knows it."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def first_conv_kernel(model: keras.Model) -> dict[str, tf.Variable]:
    """Name and kernel of the first 2-D convolution, also a nested one; empty if there is none."""
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    for layer in flat_layers(model):
        if isinstance(layer, convolutions) and layer.built:
            return {_kernel_name(layer, model): native(layer.kernel)}
    return {}


def named_kernels(model: keras.Model, names: Sequence[str]) -> dict[str, tf.Variable]:
    """Kernels of the layers of these names (or paths), nested ones included.

    Raises:
        PatternError: if a layer is missing or has no kernel with four axes.
    """
    kernels = {}
    for name in names:
        found = [la for la in flat_layers(model) if name in (la.name, la.path) and la.built]
        of_four = [layer for layer in found if _has_four_axes(layer)]
        if not of_four:
            what = "has no kernel with four axes" if found else "does not exist"
            fits = [layer.name for layer in flat_layers(model) if _has_four_axes(layer)]
            raise PatternError(
                f"kernels names the layer {name!r}, which {what}; layers with such a kernel: "
                f"{', '.join(fits) or 'none'}."
            )
        kernels.update({_kernel_name(layer, model): native(layer.kernel) for layer in of_four})
    return kernels


def _has_four_axes(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", None)
    return len(getattr(kernel, "shape", ())) == 4


def _kernel_name(layer: Any, model: keras.Model) -> str:
    return path_of(layer.kernel, model.name).rpartition("/")[0]


def frozen_names(model: keras.Model) -> list[str]:
    """Names of the weights that `trainable=False` takes out of training."""
    frozen = {
        key_of(variable): variable
        for layer in flat_layers(model)
        if not layer.trainable
        for variable in layer._trainable_variables
    }
    return unique_names(path_of(variable, model.name) for variable in frozen.values())


def native(variable: Any) -> tf.Variable:
    """The TensorFlow variable inside a Keras variable."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def key_of(variable: Any) -> int:
    """Tells variables apart, whether Keras' or TensorFlow's own."""
    return id(native(variable))


def path_of(variable: Any, model_name: str) -> str:
    """Keras path of a variable without the model's name."""
    path: str = getattr(variable, "path", None) or variable.name.partition(":")[0]
    return path.removeprefix(model_name + "/")


def is_watchable(variable: Any) -> bool:
    """Whether it has elements, and these are real floating point numbers."""
    inner = native(variable)
    return bool(inner.dtype.is_floating and inner.shape.num_elements())


def rms_of(variable: tf.Variable) -> float | None:
    """Root mean square in float64; None if it is not finite."""
    value = np.asarray(variable.numpy(), np.float64)
    rms = float(np.sqrt(np.mean(np.square(value))))
    return rms if np.isfinite(rms) else None
