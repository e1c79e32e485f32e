"""What a Keras model is made of: names, kernels, frozen weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.models.functional import Functional

from tbwatch.format import shown
from tbwatch.layout import Setup, unique_names

# Of each part of a path: TensorBoard has tags in addresses, and people read them.
LONGEST_NAME = 100
_BLOCK = 2**20  # elements
_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
_OVER_CLASSES = ("categorical_crossentropy", "sparse_categorical_crossentropy")


class PatternError(ValueError):
    """Patterns that match nothing: a wrong argument, so it ends the run before it begins."""


def flat_layers(model: keras.Model) -> list[Any]:
    """All layers of a model, nested ones too, in forward order as far as Keras knows it."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def is_container(layer: Any) -> bool:
    """Whether it only calls its layers one after the other: its output is that of the last one."""
    return isinstance(layer, (keras.Sequential, Functional))


def layer_paths(
    layers: Sequence[Any], model_name: str, holders: Mapping[int, str]
) -> list[tuple[str, str]]:
    """For each layer its own path, and that of the layer that holds its first variable.

    The two differ for a recurrent layer, whose weights are its cell's. Without the model's name.

    Args:
        layers: of the model.
        model_name: its name.
        holders: `holders_of` it.
    """
    paths = []
    for layer in layers:
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
        path = (layer.path or layer.name).removeprefix(model_name + "/")
        if "/" not in path:  # Keras built it before the model that holds it, as some ReLUs
            path = holders.get(id(layer), "") + path
        path = _safe(path)
        if own:
            path = path_of(own[0], model_name).rpartition("/")[0] or path
        of_first = path
        if not own and isinstance(layer, (keras.layers.RNN, keras.layers.Wrapper)):
            weights = layer.weights
            of_first = path_of(weights[0], model_name).rpartition("/")[0] if weights else path
        paths.append((path, of_first))
    return paths


def holders_of(model: keras.Model) -> dict[int, str]:
    """Id of a layer in a nested model or layer -> the name of that one, and a slash."""
    found = {id(layer): "" for layer in model._layers}
    for holder in flat_layers(model):
        for layer in holder._layers:
            found.setdefault(id(layer), f"{holder.name}/")
    return found


def innermost(optimizer: Any) -> Any:
    """The optimizer that makes the update: inside any loss-scaling wrapper."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def setup_of(model: keras.Model, optimizer: Any, output_units: Sequence[int]) -> Setup:
    """How a model was compiled.

    Args:
        model: a compiled model.
        optimizer: the innermost one.
        output_units: sizes of the unit axes of the model's outputs, as far as they were heard.
    """
    if not output_units and isinstance(model, Functional):
        output_units = [output.shape[-1] or 0 for output in model.outputs]
    loss = _only_loss(model)
    name = _name_of(loss)
    return Setup(
        optimizer=type(optimizer).__name__,
        epsilon=_number(getattr(optimizer, "epsilon", None)),
        loss=name,
        chance_loss=_chance_loss(model, loss, output_units),
        optimizers=1 + len(_further_optimizers(model)),
        clipnorm=_number(optimizer.clipnorm),
        clipvalue=_number(optimizer.clipvalue),
        global_clipnorm=_number(optimizer.global_clipnorm),
    )


def has_own_step(model: keras.Model) -> bool:
    """Whether the model's class has a `train_step` of its own."""
    return type(model).train_step is not keras.Model.train_step


def _further_optimizers(model: keras.Model) -> set[int]:
    """Optimizers that a model keeps besides the one that it was compiled with."""
    every = {id(v) for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)}
    return every - {id(getattr(model, "optimizer", None))}


def _only_loss(model: keras.Model) -> Any:
    """The loss if `compile` got exactly one, else None."""
    compiled = getattr(model, "_compile_loss", None)
    losses = [
        loss for loss in tf.nest.flatten(getattr(compiled, "_user_loss", None)) if loss is not None
    ]
    return losses[0] if len(losses) == 1 else None


def _name_of(loss: Any) -> str:
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", ""))


def _chance_loss(model: keras.Model, loss: Any, output_units: Sequence[int]) -> float | None:
    if loss is None or model._compile_loss._user_loss_weights is not None:
        return None
    if getattr(loss, "reduction", _MEANS[0]) not in _MEANS:
        return None
    if isinstance(loss, keras.losses.Loss):
        kind = keras.src.utils.naming.to_snake_case(type(loss).__name__)
    else:
        kind = _name_of(loss)
    if kind == "binary_crossentropy":
        return math.log(2.0)
    if kind in _OVER_CLASSES and len(output_units) == 1 and output_units[0] > 1:
        return math.log(output_units[0])
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


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
                f"no kernels can be drawn of the layer {name!r}, which {what}; layers with such a "
                f"kernel: {', '.join(fits) or 'none'}."
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
    # Keras walks through nested models from behind.
    place = {key_of(variable): number for number, variable in enumerate(model.weights)}
    forward = sorted(frozen, key=lambda key: place.get(key, len(place)))
    return unique_names(path_of(frozen[key], model.name) for key in forward)


def native(variable: Any) -> tf.Variable:
    """The TensorFlow variable inside a Keras variable."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def key_of(variable: Any) -> int:
    """Tells variables apart, whether Keras' or TensorFlow's own."""
    return id(native(variable))


def path_of(variable: Any, model_name: str) -> str:
    """Keras path of a variable without the model's name."""
    path: str = getattr(variable, "path", None) or variable.name.partition(":")[0]
    return _safe(path.removeprefix(model_name + "/"))


def _safe(path: str) -> str:
    """A path that fits into tags, logs and addresses, whatever the user called the layers."""
    return "/".join(shown(part, LONGEST_NAME) for part in path.split("/"))


def is_watchable(variable: Any) -> bool:
    """Whether it has elements, and these are real floating point numbers."""
    inner = native(variable)
    return bool(inner.dtype.is_floating and inner.shape.num_elements())


def value_facts(variable: tf.Variable) -> tuple[float | None, bool]:
    """Its root mean square in float64, None if it is not finite; whether all elements are equal.

    Read once, and looked at in blocks: nothing else takes copies of large variables.
    """
    values = np.asarray(variable.read_value()).reshape(-1)  # a view where it is in main memory
    squares, is_constant = 0.0, True
    for first in range(0, values.size, _BLOCK):
        block = values[first : first + _BLOCK]
        squares += float(np.sum(np.square(block, dtype=np.float64)))
        is_constant = is_constant and bool((block == values[0]).all())
    rms = math.sqrt(squares / values.size)
    return rms if math.isfinite(rms) else None, is_constant
