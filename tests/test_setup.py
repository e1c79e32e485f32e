"""What is known of how a model was compiled."""

import math

import keras
import pytest

from tbwatch.layout import Setup
from tbwatch.models import innermost, setup_of
from tests.nets import L

LN10 = math.log(10.0)
losses, optimizers = keras.losses, keras.optimizers


def _setup(units=10, outputs=1, output_units=(), **compiled):
    inputs = L.Input((4,))
    out = [L.Dense(units, name=f"out{i}")(inputs) for i in range(outputs)]
    model = keras.Model(inputs, out[0] if outputs == 1 else out)
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return setup_of(model, innermost(model.optimizer), output_units)


@pytest.mark.parametrize(
    ("loss", "name", "chance"),
    [
        ("categorical_crossentropy", "categorical_crossentropy", LN10),
        (losses.CategoricalCrossentropy(from_logits=True), "categorical_crossentropy", LN10),
        (losses.sparse_categorical_crossentropy, "sparse_categorical_crossentropy", LN10),
        (losses.SparseCategoricalCrossentropy(name="mine"), "mine", LN10),
        ({"out0": "sparse_categorical_crossentropy"}, "sparse_categorical_crossentropy", LN10),
        (losses.CategoricalCrossentropy(reduction="sum"), "categorical_crossentropy", None),
        ("binary_crossentropy", "binary_crossentropy", math.log(2.0)),
        ("mse", "mean_squared_error", None),
        (lambda y, p: p, "<lambda>", None),
        (None, "", None),
    ],
)
def test_losses(loss, name, chance):
    """Ln C for a classifier of C classes, ln 2 for yes or no; else unknown."""
    found = _setup(loss=loss)
    assert (found.loss, found.chance_loss) == (name, chance)


def test_weighted_losses_and_several():
    """A loss that is weighted, or one of two, is no loss of chance."""
    weighted = _setup(loss="categorical_crossentropy", loss_weights=2.0)
    assert (weighted.loss, weighted.chance_loss) == ("categorical_crossentropy", None)
    two = _setup(outputs=2, loss=["categorical_crossentropy", "mse"])
    assert (two.loss, two.chance_loss) == ("", None)


def test_the_output_that_was_heard_counts():
    """A model that cannot tell its outputs: their sizes come from the step."""
    found = _setup(loss="categorical_crossentropy", output_units=[7])
    assert found.chance_loss == math.log(7.0)


def test_optimizers():
    """Class name without a loss scale around it, epsilon, and how gradients are clipped."""
    assert _setup(optimizer=optimizers.SGD(clipnorm=2.0)) == Setup(
        "SGD", None, "mean_squared_error", clipnorm=2.0
    )
    adam = optimizers.Adam(epsilon=1e-3, clipvalue=0.5)
    assert _setup(optimizer=optimizers.LossScaleOptimizer(adam)) == Setup(
        "Adam", 1e-3, "mean_squared_error", clipvalue=0.5
    )
    lion = _setup(optimizer=optimizers.Lion(global_clipnorm=1.0))
    assert (lion.optimizer, lion.epsilon, lion.global_clipnorm) == ("Lion", None, 1.0)
