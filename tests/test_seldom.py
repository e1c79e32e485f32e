"""What is false at nearly every update is one node to pass over, and does what `tf.cond` does."""

from __future__ import annotations

import pytest
import tensorflow as tf

import tbwatch
from tbwatch import sampler
from tbwatch.seldom import seldom
from tests.nets import convnet, fit


def traced(counter):
    """A function that adds 10 to a variable if its argument is positive, and how it is traced."""

    def add():
        counter.assign_add(10.0)
        return counter.read_value(), tf.constant([1, 2])

    def leave():
        return counter.read_value(), tf.constant([0, 0])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.float32)])
    def function(x):
        return seldom(x > 0, add, leave)

    return function, function.get_concrete_function().graph


def shape_of(graph):
    """Of each condition of a graph "one node" if its first branch is one to pass over."""
    functions = {of.signature.name: of.node_def for of in graph.as_graph_def().library.function}

    def is_laid_out(node):
        return "_lower_using_switch_merge" in node.attr

    def of(condition):
        if not is_laid_out(condition):
            return "node alone"
        branch = functions[condition.attr["then_branch"].func.name]
        inner = [node for node in branch if node.op not in ("Identity", "NoOp")]
        is_node = [node.op for node in inner] == ["If"] and not is_laid_out(inner[0])
        return "one node" if is_node else "all laid out"

    ifs = [op.node_def for op in graph.get_operations() if op.type in ("If", "StatelessIf")]
    return [of(condition) for condition in ifs]


@pytest.mark.parametrize(
    ("devices", "small", "shape"),
    [
        (1, 2000, "one node"),
        (1, 0, "node alone"),
        (2, 2000, "all laid out"),
        (2, 0, "all laid out"),
    ],
)
def test_a_branch_is_one_node_where_there_is_one_device(devices, small, shape, monkeypatch):
    """One node has to run on one device; and in a large graph nothing is laid out."""
    monkeypatch.setattr("tbwatch.seldom.SMALL_GRAPH", small)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: ["a device"] * devices)
    counter = tf.Variable(0.0)
    function, graph = traced(counter)
    assert shape_of(graph) == [shape]
    assert [result.numpy().tolist() for result in function(-1.0)] == [0.0, [0, 0]]
    assert [result.numpy().tolist() for result in function(3.0)] == [10.0, [1, 2]]
    assert [result.numpy().tolist() for result in function(-1.0)] == [10.0, [0, 0]]


def test_eagerly_one_branch_is_run():
    assert seldom(tf.constant(True), lambda: tf.constant(1), lambda: 1 / 0).numpy() == 1
    assert seldom(tf.constant(False), lambda: 1 / 0, lambda: tf.constant(2)).numpy() == 2


def test_a_watched_step_holds_nothing_of_a_sample_beside_two_such_nodes(tmp_path, monkeypatch):
    """Statistics are inside; they would each take their time at updates that are not sampled."""
    found = []

    def spy(condition, *branches):
        result = seldom(condition, *branches)
        found.append(tf.nest.flatten(result)[0].op.graph)
        return result

    monkeypatch.setattr(sampler, "seldom", spy)
    fit(convnet(), tbwatch.Watch(tmp_path, update_freq=1))
    before, after = found
    assert before is after
    assert shape_of(before) == ["one node", "one node"]
    measuring = {"PartitionedCall", "StatefulPartitionedCall", "DenseBincount", "L2Loss"}
    assert not measuring & {op.type for op in before.get_operations()}
