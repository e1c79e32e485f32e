"""Built-in rules of Amazon SageMaker Debugger, with the defaults of their pages.

Source: the pages of the built-in rules in the Amazon SageMaker developer guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.scoreboard_parts.peer_common import (
    DEAD,
    NONFINITE,
    UNCHANGED,
    VANISHING,
    Array,
    Fired,
    first_named,
    first_of_each,
    first_output_above,
    kernels_of,
    nonfinite_of,
    rms_of,
    sampled,
    scale_of,
)
from tbwatch.record import Record


def sagemaker(records: Sequence[Record]) -> list[Fired]:
    """Seven rules at their defaults, at every sampled update."""
    return first_of_each(_sagemaker(sampled(records)))


def _sagemaker(records: Sequence[Record]) -> Iterator[Fired]:
    still: Array | None = None
    for record in records:
        step, kernels = record.step, kernels_of(record)
        # ExplodingTensor: NaN or Inf in any tensor.
        bad = nonfinite_of(record)
        if bad is not None:
            yield Fired("ExplodingTensor", (*NONFINITE, "exploding_gradient"), step, bad)
        # VanishingGradient: mean |g| < 1e-7. Here rms(g), which is never below the mean: it fires
        # later and less often.
        hit = (rms_of(record, "gradient_norm") < 1e-7) & kernels
        if hit.any():
            yield Fired("VanishingGradient", VANISHING, step, first_named(record, hit))
        # UnchangedTensor: numpy.allclose (rtol 1e-5, atol 1e-8) over three saved steps. With rtol
        # the elements nearest to zero decide, and those have atol only; here the rms of the change
        # between samples against atol alone, so that slow weights are not called unchanged.
        with np.errstate(invalid="ignore"):
            moved = record.quantity("window_change") * scale_of(record)
        now = (moved <= 1e-8) & kernels
        if still is not None and len(still) == len(now) and (still & now).any():
            yield Fired("UnchangedTensor", UNCHANGED, step, first_named(record, still & now))
        still = now
        # WeightUpdateRatio: update / weight above 10 or below 1e-8, epsilon 1e-9; of L2 norms.
        # Weights only: biases, which start at zero, would fire at once.
        with np.errstate(invalid="ignore"):
            root = np.sqrt(record.layout.sizes)
            ratio = record.quantity("update_norm") / (record.quantity("weight_norm") + 1e-9 * root)
        if (hit := (ratio > 10) & kernels).any():
            labels = ("oscillating_or_high_lr", "exploding_gradient")
            yield Fired("WeightUpdateRatio large", labels, step, first_named(record, hit))
        if (hit := (ratio < 1e-8) & kernels).any():
            yield Fired("WeightUpdateRatio small", UNCHANGED, step, first_named(record, hit))
        # DeadRelu: more than 50 % of a layer's units active less than 1 % of the time; here units
        # that are 0 for the whole batch, which are fewer.
        if (name := first_output_above(record, "silent_units", ("relu",), 0.5)) is not None:
            yield Fired("DeadRelu", DEAD, step, name)
        # SaturatedActivation: more than 50 % of units with inputs beyond 9.5
        # (tanh) or 17 (sigmoid). Here units saturated for 95 % of 1024 examples in a row: reached
        # with smaller inputs, but it has to last.
        if (
            name := first_output_above(record, "saturated_units", ("tanh", "sigmoid"), 0.5)
        ) is not None:
            yield Fired("SaturatedActivation", ("saturated_activation",), step, name)
        # AllZero: 100 % zeros in a tensor: gradients and weights, biases apart, and outputs.
        hit = (record.quantity("gradient_zero_fraction") == 1) & kernels
        hit |= (record.quantity("weight_norm") == 0) & kernels
        if hit.any():
            yield Fired(
                "AllZero", ("unchanged_weights", *VANISHING), step, first_named(record, hit)
            )
        if (
            name := first_output_above(record, "activation_zero_fraction", (), 1 - 1e-9)
        ) is not None:
            yield Fired("AllZero", (*DEAD, "unchanged_weights"), step, name)
