"""The order of diagnosis: of all that can be said of a variable, the first line that holds is said.

Read it as a table. What stands higher explains what stands below: a variable without a path to the
loss has no gradient either, and without a gradient nothing moves.
"""

from __future__ import annotations

from tbwatch.detectors.dead_update import DeadUpdate
from tbwatch.detectors.decay_only import DecayOnly
from tbwatch.detectors.identical_units import IdenticalUnits
from tbwatch.detectors.lost_update import LostUpdate
from tbwatch.detectors.not_connected import NotConnected
from tbwatch.detectors.regularisation_only import RegularisationOnly
from tbwatch.detectors.rule import VariableRule
from tbwatch.detectors.update_too_large import UpdateTooLarge
from tbwatch.detectors.update_too_small import UpdateTooSmall
from tbwatch.detectors.vanishing_gradient import VanishingGradient
from tbwatch.detectors.weight_divergence import WeightDivergence
from tbwatch.detectors.weights_too_large import WeightsTooLarge
from tbwatch.detectors.zero_gradient import ZeroGradient

# No verdict at all where the update was none: rate 0, weights overwritten by their average.
# rule                   holds if                                  not to be confused with
ORDER: tuple[type[VariableRule], ...] = (
    NotConnected,  #       the gradient is None                      a gradient of zeros
    IdenticalUnits,  #     it and the next kernel start constant     a zero kernel before the output
    DecayOnly,  #          no gradient, yet dW points to zero        a healthy small update
    ZeroGradient,  #       every element of g is 0                   a vanishing gradient
    RegularisationOnly,  # g points along W, by an L2 penalty        learning
    WeightDivergence,  #   W grew a hundredfold, the loss stays up   small initial weights
    VanishingGradient,  #  g is tiny beside those behind it          a small but sufficient update
    LostUpdate,  #         g is there, W + dW == W, in half precision  a rate that is merely low
    DeadUpdate,  #         U < 1e-7                                  slow learning, a schedule's end
    WeightsTooLarge,  #    W is many times He's, U small beside it   a learning rate too low
    UpdateTooSmall,  #     U < 1e-6, the loss does not fall          slow learning
    UpdateTooLarge,  #     U > 0.1, the loss is worse than before    the first steps of training
)

# Those about variables that move too much, not too little.
MOVING: tuple[type[VariableRule], ...] = (WeightDivergence, UpdateTooLarge)
