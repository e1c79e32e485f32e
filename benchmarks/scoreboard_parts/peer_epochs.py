"""The two tools that look once an epoch: AutoTrainer and DeepDiagnosis.

Sources: Zhang et al., "AutoTrainer: An Automatic DNN Training Problem Detection and Repair
System", ICSE 2021, and its default parameters; Wardat et al., "DeepDiagnosis: Automatically
Diagnosing Faults and Recommending Actionable Fixes in Deep Learning Programs", ICSE 2022, and its
callback's constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from benchmarks.scoreboard_parts.peer_common import (
    DEAD,
    NONFINITE,
    STUCK,
    UNCHANGED,
    VANISHING,
    Array,
    Fired,
    first_named,
    first_of_each,
    first_output_above,
    kernels_of,
    nonfinite_of,
    outputs_of,
    rms_of,
    sampled,
)
from tbwatch.record import Record


def _epochs(records: Sequence[Record]) -> list[tuple[Record, float]]:
    """The last sampled record of each epoch and the epoch's mean loss."""
    found: list[tuple[Record, float]] = []
    losses: list[float] = []
    for record, following in zip(records, [*records[1:], None], strict=True):
        losses.append(record.loss)
        if following is None or following.epoch != record.epoch:
            found.append((record, float(np.mean(losses))))
            losses = []
    return found


def autotrainer(records: Sequence[Record]) -> list[Fired]:
    """Vanishing and exploding gradients, dying ReLU, oscillating loss, slow convergence.

    Judged at the ends of epochs with the paper's parameters (1e-3, 1e-4, 70, 0.7, 0.03, 0.2,
    0.01), the loss from 30 % of the epochs on. Gradient problems count only while the accuracy is
    below 0.7; here only while the epoch's loss is above 70 % of the first epoch's, or of the first
    record's. For accuracies stand the losses relative to the first record's.
    """
    return first_of_each(_autotrainer(sampled(records)))


def _autotrainer(records: Sequence[Record]) -> Iterator[Fired]:
    epochs = _epochs(records)
    relative: list[float] = []
    for count, (record, loss) in enumerate(epochs, 1):
        step = record.step
        bad = nonfinite_of(record)
        if bad is not None or not np.isfinite(loss):
            labels = ("exploding_gradient", *NONFINITE)
            yield Fired("exploding gradient", labels, step, bad or "loss")
            return
        relative.append(loss / records[0].loss if records[0].loss else 1.0)
        if count < 0.3 * len(epochs):
            continue
        if min(relative) < 0.7:
            if _swings(relative):
                yield Fired("oscillating loss", ("oscillating_or_high_lr",), step, "loss")
            continue
        falls = [a - b for a, b in pairwise(relative)]
        if len(relative) > 1 and max(falls) < 0.01:
            yield Fired("slow convergence", STUCK, step, "loss")
        yield from _gradient_problem(record)


def _gradient_problem(record: Record) -> Iterator[Fired]:
    kernels = np.flatnonzero(kernels_of(record))
    if not len(kernels):
        return
    sizes, name = record.layout.sizes, record.layout.names[kernels[0]]
    zeros = float(np.sum(record.quantity("gradient_zero_fraction") * sizes) / np.sum(sizes))
    norms = record.quantity("gradient_norm")[kernels].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = norms[0] / norms[-1]
    if zeros >= 0.7:
        yield Fired("dying ReLU", DEAD, record.step, name)
    elif rate > 70:
        yield Fired("exploding gradient", ("exploding_gradient",), record.step, name)
    elif rate < 1e-3 and norms[0] < 1e-4:
        yield Fired("vanishing gradient", VANISHING, record.step, name)


def _swings(values: Sequence[float]) -> bool:
    """Whether tops are 0.03 above bottoms, and in at least 20 % of the epochs."""
    tops, bottoms = [], []
    for before, now, after in zip(values, values[1:], values[2:], strict=False):
        if now >= before and now >= after:
            tops.append(now)
        if now <= before and now <= after:
            bottoms.append(now)
    swings = sum(top - bottom >= 0.03 for top, bottom in zip(tops, bottoms, strict=False))
    return swings > 0 and swings >= 0.2 * len(values)


def deepdiagnosis(records: Sequence[Record]) -> list[Fired]:
    """Numerical errors, dead nodes, saturation, vanishing gradient, what does not change, loss.

    Judged at the ends of epochs, with the callback's constants. Left out, for want of what they
    look at: the range of targets, and accuracy.
    """
    return first_of_each(_deepdiagnosis(sampled(records)))


def _deepdiagnosis(records: Sequence[Record]) -> Iterator[Fired]:
    epochs = _epochs(records)
    losses: list[float] = []
    means: list[Array] = []
    for count, (record, loss) in enumerate(epochs, 1):
        step, kernels = record.step, kernels_of(record)
        # Numerical problems: a mean that is NaN, Inf or exactly 0, of outputs, weights, gradients.
        bad = nonfinite_of(record)
        if bad is not None or not np.isfinite(loss):
            yield Fired("numerical error", NONFINITE, step, bad or "loss")
            return
        hit = (record.quantity("gradient_zero_fraction") == 1) & kernels
        hit |= (record.quantity("weight_norm") == 0) & kernels
        if hit.any():
            yield Fired("numerical error: zero", VANISHING, step, first_named(record, hit))
        # Vanishing: mean |g| < 1e-7; rms(g), as above.
        hit = (rms_of(record, "gradient_norm") < 1e-7) & kernels
        if hit.any():
            yield Fired("vanishing gradient", VANISHING, step, first_named(record, hit))
        # Dead node: at least 70 % of a ReLU layer's outputs are 0 in the last epoch.
        if count == len(epochs):
            name = first_output_above(record, "activation_zero_fraction", ("relu",), 0.7 - 1e-6)
            if name is not None:
                yield Fired("dead node", DEAD, step, name)
        losses.append(loss)
        outputs, names = outputs_of(record, "activation_mean", ())
        means.append(outputs)
        if count % 5:
            continue
        # Each fifth epoch. Saturated: more than 50 % of inputs beyond 5; here by the outputs'
        # limit, which is met at 3 (tanh) and 6 (sigmoid).
        saturated = first_output_above(record, "saturated_fraction", ("tanh", "sigmoid"), 0.5)
        if saturated is not None:
            yield Fired("saturated activation", ("saturated_activation",), step, saturated)
        # Loss not decreasing, unchanged tensor: five epochs with exactly the same mean.
        if np.mean(losses[-5:]) == np.max(losses[-5:]):
            yield Fired("loss not decreasing", STUCK, step, "loss")
        if all(len(mean) == len(outputs) > 0 for mean in means[-5:]):
            same = np.ptp(np.array(means[-5:]), axis=0) == 0
            if same.any():
                yield Fired("unchanged tensor", UNCHANGED, step, names[np.flatnonzero(same)[0]])
