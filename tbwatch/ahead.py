"""Makes ahead what the first trace of a step would make: variables of optimizer and metrics.

TensorFlow traces a step that makes variables a second time. With all of them there before, one
trace is enough, and that saves more time than watching costs.
"""

from __future__ import annotations

import logging
from typing import Any

import keras
import tensorflow as tf
from keras.src.models.functional import Functional

from tbwatch.models import has_own_step
from tbwatch.optimizers import ensure_built

logger = logging.getLogger("tbwatch")


def build_ahead(model: keras.Model, batches: Any) -> None:
    """Build the optimizer and metrics of a model as its first training step would.

    What fails here is left to that step: Keras makes it anew there, or says what is wrong. Nothing
    is made where it cannot be told for sure what that step would make: with a `train_step` of the
    model's own, before its layers are built, under a distribution strategy, and, as far as metrics
    go, for a model that does not say what its one output is before it is called.

    Args:
        model: a compiled model.
        batches: what the training function is called with: an iterator of a `tf.data.Dataset`.
    """
    try:
        _build(model, batches)
    except Exception:
        logger.debug("tbwatch: nothing was made ahead of the first trace", exc_info=True)


def _build(model: keras.Model, batches: Any) -> None:
    optimizer = model.optimizer
    if optimizer is None or has_own_step(model) or model.run_eagerly:
        return
    if tf.distribute.has_strategy() or model._distribute_strategy is not None:
        return
    if not all(layer.built for layer in model._flatten_layers()):
        return
    variables = model.trainable_variables
    if variables:
        ensure_built(optimizer, variables)
    metrics = model._compile_metrics
    if metrics is None or metrics.built:
        return
    if type(model).compute_metrics is not keras.Model.compute_metrics:
        return
    target, output = _only_target(batches), _only_output(model)
    if target is not None and output is not None:
        metrics.build(target, output)


def _only_target(batches: Any) -> keras.KerasTensor | None:
    """The one tensor of targets of a batch; None if there are others, or none."""
    _, *rest = batches.element_spec
    specs = tf.nest.flatten(rest[0]) if rest else []
    if len(specs) != 1 or not isinstance(specs[0], tf.TensorSpec):
        return None
    return keras.KerasTensor(specs[0].shape, specs[0].dtype.name)


def _only_output(model: keras.Model) -> keras.KerasTensor | None:
    """The one output of a functional or sequential model; None for any other model."""
    is_known = type(model).call in (Functional.call, keras.Sequential.call)
    return model.outputs[0] if is_known and len(model.outputs) == 1 else None
