"""A condition that is false at nearly every update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Result = TypeVar("Result")


def seldom(
    condition: tf.Tensor, function: Callable[[], Result], otherwise: Callable[[], Result]
) -> Result:
    """`tf.cond`, as one node of the graph where it can be.

    TensorFlow lays the branches of a condition out in the graph around it, and then passes over
    each operation of the branch that is not taken. Of a node with its branches inside, it runs one.
    Such a node runs on one device, so where there are several the branches are laid out.

    Args:
        condition: bool scalar.
        function: what to do if it is true.
        otherwise: the same results for nothing.
    """
    result: Result = tf.cond(condition, function, otherwise)
    if not tf.executing_eagerly() and len(tf.config.list_logical_devices()) == 1:
        for tensor in tf.nest.flatten(result):
            node = tensor.op.inputs[0].op
            if node.type in ("If", "StatelessIf"):
                node._clear_attr("_lower_using_switch_merge")
    return result
