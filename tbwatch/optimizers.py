"""What a Keras optimizer does to gradients, and what it knows of an update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tbwatch.groups import Gradient


def ensure_built(optimizer: Any, variables: Sequence[Any]) -> None:
    """Build an optimizer as its `apply` would: in its scope, which names its variables."""
    if not optimizer.built:
        with keras.name_scope(optimizer.name, caller=optimizer):
            optimizer.build(variables)


def batches_per_update(optimizer: Any) -> int:
    """Gradient accumulation steps; 1 without accumulation."""
    return optimizer.gradient_accumulation_steps or 1


def batches_done(optimizer: Any) -> int:
    """Calls that it counted so far (a device read)."""
    return int(optimizer._iterations.numpy())


def variables_of(optimizer: Any) -> list[Any]:
    """Those that it was built with; none before."""
    return list(optimizer._trainable_variables)


def overwrites_weights(optimizer: Any, step: int) -> bool:
    """Whether this update replaced the weights by their moving average."""
    frequency = optimizer.ema_overwrite_frequency if optimizer.use_ema else None
    return frequency is not None and step % frequency == 0


def handed(optimizer: Any, gradient: Gradient, variable: Any) -> Gradient:
    """The gradient of one update: loss scale removed, accumulated over micro-batches.

    Args:
        optimizer: the innermost one.
        gradient: what its `apply` was given for the variable.
        variable: one that the optimizer was built with.
    """
    scale, steps = optimizer.loss_scale_factor, batches_per_update(optimizer)
    if scale is not None:
        gradient = tf.convert_to_tensor(gradient) / tf.cast(scale, gradient.dtype)
    if steps > 1:
        sums = optimizer._accumulated_gradients[optimizer._get_variable_index(variable)]
        gradient = (tf.convert_to_tensor(gradient) + sums.value) / steps
    return gradient


def step_values(outer: Any, inner: Any, loss: tf.Tensor | None) -> dict[str, tf.Tensor]:
    """`sample.STEP_VALUES` of the update at hand, all but the global gradient norm.

    Args:
        outer: the optimizer that the training step calls.
        inner: the innermost one, which makes the update.
        loss: scalar; None where it is not known.
    """
    unknown = tf.constant(float("nan"))
    rate = getattr(inner, "learning_rate", None)
    scale = getattr(outer, "dynamic_scale", None)
    if scale is None:
        scale = getattr(outer, "loss_scale_factor", None) or 1.0
    return {
        "learning_rate": unknown if rate is None else tf.convert_to_tensor(rate),
        "loss": unknown if loss is None else loss,
        "loss_is_known": tf.constant(0.0 if loss is None else 1.0),
        "loss_scale": tf.convert_to_tensor(scale),
    }
