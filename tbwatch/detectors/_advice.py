"""What the dead-update detector says: one sentence of fact and one of remedy per diagnosis."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Advice:
    """How a diagnosis is put into words.

    Attributes:
        severity: severity of the finding.
        value: name of the evidence that was judged.
        threshold: what it was compared with; None for the detector's own threshold.
        message: the fact; may name evidence in braces.
        remedy: what to do; may name `{layer}`.
    """

    severity: str
    value: str
    threshold: float | None
    message: str
    remedy: str


ADVICE = {
    "not_connected": Advice(
        "critical",
        "update_ratio",
        None,
        "the training step hands the optimizer no gradient (None) for it: no path leads from it to "
        "the loss.",
        "Connect {layer} to an output that has a loss, remove the stop_gradient or the "
        "non-differentiable operation behind it, or set trainable=False.",
    ),
    "decay_only": Advice(
        "critical",
        "decay_cosine",
        0.99,
        "only weight decay moves it (update ratio {update_ratio:.1e}, cosine of dW and -W "
        "{decay_cosine:.3f}); its gradient is zero.",
        "No signal from the loss reaches {layer}: look for dead ReLUs after it, stop_gradient, "
        "masks or a constant loss.",
    ),
    "zero_gradient": Advice(
        "critical",
        "gradient_zero_fraction",
        1.0,
        "every element of its gradient is exactly 0 (update ratio {update_ratio:.1e}; it last "
        "moved at update {last_moved_at:.0f}).",
        "No signal from the loss reaches {layer}: look for dead ReLUs after or before it, a "
        "saturated or one-unit softmax, rounding (sign, argmax), masks or a constant loss.",
    ),
    "regularisation_only": Advice(
        "warning",
        "gradient_weight_cosine",
        0.99,
        "its gradient points along the weights (cosine {gradient_weight_cosine:.3f}): an "
        "L2 penalty pulls it to zero, the loss adds next to nothing.",
        "Look for what stops the loss's gradient before {layer}, or weaken its L2 penalty.",
    ),
    "lost_update": Advice(
        "warning",
        "update_zero_fraction",
        0.5,
        "{update_zero_fraction:.0%} of its elements did not change although they have a gradient: "
        "in {dtype} the update is rounded away (update ratio {update_ratio:.1e}).",
        "Raise the learning rate of {layer}; if its variables are float16 or bfloat16, keep them "
        "in float32, as the policies mixed_float16 and mixed_bfloat16 do.",
    ),
    "dead_update": Advice(
        "critical",
        "update_ratio",
        None,
        "one update changes it by {update_ratio:.1e} of its size, below {threshold:.0e}, at a "
        "learning rate of {learning_rate:.1e}: it is not moving.",
        "Raise the learning rate of {layer}, shrink its initial weights, check constraints and "
        "clipping, or freeze it on purpose.",
    ),
    "weights_too_large": Advice(
        "warning",
        "weight_scale",
        10.0,
        "its initial weights are {weight_scale:.0f} times larger than a He initialiser's, so one "
        "update changes it by only {update_ratio:.1e} of its size: filters seem frozen, and the "
        "signal explodes.",
        "Use the default (Glorot) or a He initializer for {layer}; a higher learning rate does "
        "not cure it.",
    ),
    "update_too_small": Advice(
        "warning",
        "update_ratio",
        1e-6,
        "one update changes it by {update_ratio:.1e} of its size (a usual value is 1e-3) at a "
        "learning rate of {learning_rate:.1e}, and the loss does not fall.",
        "Raise the learning rate of {layer}.",
    ),
}
