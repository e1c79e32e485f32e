"""A condition that is false at nearly every update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Result = TypeVar("Result")

# Operations. Where a condition is laid out, TensorFlow keeps track at each operation of what is not
# to be run: in the 14 000 of ResNet50 about a hundredth of the step, in some hundreds nothing.
SMALL_GRAPH = 2000


def seldom(
    condition: tf.Tensor, function: Callable[[], Result], otherwise: Callable[[], Result]
) -> Result:
    """`tf.cond`, with what is done seldom as one node to pass over.

    TensorFlow lays the branches of a condition out in the graph around it, and then passes over
    each operation of the branch that is not taken. A condition that is a node with its branches
    inside hands its work to another thread instead, taken or not, and that alone shows in a step of
    a few milliseconds. So in a small graph ours is both: laid out is a branch with a single
    operation, which is such a node. In a large graph it is that node alone. A node runs on one
    device, so where there are several all branches are laid out.

    Args:
        condition: bool scalar.
        function: what to do if it is true.
        otherwise: the same results for nothing.
    """
    if tf.executing_eagerly() or len(tf.config.list_logical_devices()) > 1:
        result: Result = tf.cond(condition, function, otherwise)
        return result

    def as_one_node() -> Result:
        inner: Result = tf.cond(condition, function, otherwise)
        for tensor in tf.nest.flatten(inner):
            node = tensor.op.inputs[0].op
            if node.type in ("If", "StatelessIf"):
                node._clear_attr("_lower_using_switch_merge")
        return inner

    if len(tf.compat.v1.get_default_graph().get_operations()) > SMALL_GRAPH:
        return as_one_node()
    result = tf.cond(condition, as_one_node, otherwise)
    return result
