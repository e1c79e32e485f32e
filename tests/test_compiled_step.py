"""Under XLA an update that is not sampled does not copy what a sample would write."""

from __future__ import annotations

import re

import pytest
import tensorflow as tf

from tbwatch.quantities import COLUMNS
from tbwatch.sample import Request
from tbwatch.sampler import Sampler

SIZE = 100_003  # no other tensor of the step is as large


def _copies(is_compiled):
    """Copies of the weights, or of our copy of them, that a compiled step makes at each update."""
    weights = tf.Variable(tf.ones([SIZE]))
    sampler = Sampler(["a/kernel"], [weights], Request(), is_compiled)

    @tf.function(jit_compile=True)
    def step(number):
        finish = sampler.around(number, True, lambda: [weights * 0.5], list, dict)
        weights.assign_sub(weights * 0.5)
        finish()

    number = tf.constant(1, tf.int64)
    step(number)
    program = step.experimental_get_compiler_ir(number)(stage="optimized_hlo")
    found = 0
    for computation in program.split("\n\n"):
        # A branch that is not taken is run at each update; the body of the loop at a sample.
        name = computation.split("(")[0]
        if name.startswith("ENTRY") or "false" in name:
            found += len(re.findall(rf"f32\[{SIZE}\]\S* copy\(", computation))
    return found


def test_our_copy_of_the_weights_stays_where_it_is():
    """One copy is left, of the weights: the update may come before the branch that reads them."""
    in_branch, in_loop = _copies(False), _copies(True)
    assert in_loop <= 1
    assert in_branch >= in_loop + 2


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_window_is_the_change_since_the_sample_before(is_compiled):
    """Weights 8, 4, 2, 1: the copy is read before it is written, and written at samples only."""
    weights = tf.Variable(tf.fill([4], 8.0))
    sampler = Sampler(["a/kernel"], [weights], Request(slots=4), is_compiled)

    @tf.function(jit_compile=is_compiled)
    def step(number):
        finish = sampler.around(number, True, lambda: [weights * 0.5], list, dict)
        weights.assign(weights * 0.5)
        finish()

    sampler.plan([1, 3], [])
    for number in (1, 2, 3):
        step(tf.constant(number, tf.int64))
    first, second = sampler.collect()
    norms = second.table[0, [COLUMNS.index(name) for name in ("weight_norm", "window_norm")]]
    assert norms.tolist() == [4.0, 12.0]  # of four elements of 2, and of 2 - 8
    assert first.table[0, COLUMNS.index("update_norm")] == 8.0  # of 4 - 8
