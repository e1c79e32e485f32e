"""Short names of the labels."""

from __future__ import annotations

HIGH, LOW, STUCK = "oscillating_or_high_lr", "slow_or_low_lr", "loss_not_decreasing"
EXPLODES, DEAD, NAN = "exploding_gradient", "dying_relu", "nonfinite"
STILL, VANISHES, SATURATED = "unchanged_weights", "vanishing_gradient", "saturated_activation"
MISFIT = "bad_output_or_loss"
