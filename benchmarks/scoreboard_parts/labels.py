"""What a diagnosis of tbwatch says in the words of the programs' truth. Edit here."""

from __future__ import annotations

LABELS_OF: dict[str, tuple[str, ...]] = {
    # the whole run
    "nonfinite": ("nonfinite",),
    "exploding_gradient": ("exploding_gradient", "oscillating_or_high_lr"),
    "loss_diverging": ("oscillating_or_high_lr", "exploding_gradient", "loss_not_decreasing"),
    "loss_oscillating": ("oscillating_or_high_lr",),
    "loss_stuck": ("loss_not_decreasing", "slow_or_low_lr"),
    "learning_rate_too_low": ("slow_or_low_lr", "loss_not_decreasing"),
    "learning_rate_vanished": ("slow_or_low_lr", "unchanged_weights"),
    "loss_scale": ("nonfinite", "exploding_gradient"),
    "always_clipped": ("slow_or_low_lr",),
    # layers
    "dead_relu": ("dying_relu",),
    "saturated_activation": ("saturated_activation",),
    "output_mismatch": ("bad_output_or_loss",),
    "signal_lost": ("vanishing_gradient", "loss_not_decreasing"),
    "constant_output": ("bad_output_or_loss", "unchanged_weights"),
    # variables
    "not_connected": ("disconnected", "unchanged_weights"),
    "identical_units": ("unchanged_weights", "bad_output_or_loss"),
    "decay_only": ("unchanged_weights", "vanishing_gradient"),
    "zero_gradient": ("unchanged_weights", "vanishing_gradient"),
    "regularisation_only": ("vanishing_gradient", "unchanged_weights", "loss_not_decreasing"),
    "vanishing_gradient": ("vanishing_gradient",),
    "lost_update": ("unchanged_weights",),
    "dead_update": ("unchanged_weights", "slow_or_low_lr"),
    "update_too_small": ("slow_or_low_lr", "unchanged_weights"),
    "weights_too_large": ("exploding_gradient", "slow_or_low_lr", "saturated_activation"),
    "update_too_large": ("oscillating_or_high_lr",),
    "weight_divergence": ("exploding_gradient", "oscillating_or_high_lr"),
}


def labels_of(diagnosis: str) -> tuple[str, ...]:
    """Labels of a diagnosis; none for one that is not listed."""
    return LABELS_OF.get(diagnosis, ())
