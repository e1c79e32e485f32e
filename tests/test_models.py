"""What a Keras model is made of."""

from __future__ import annotations

import keras

from tbwatch.models import frozen_names
from tests.nets import L


def test_frozen_weights_come_in_forward_order():
    """Of a nested model too, which Keras walks through from behind; nothing that is trained."""
    base = keras.Sequential(
        [L.Input((8,)), L.Dense(4, name="first"), L.Dense(4, use_bias=False, name="second")],
        name="base",
    )
    last = L.Dense(2, name="last")
    model = keras.Sequential([L.Input((8,)), base, L.Dense(4, name="head"), last])
    base.trainable = last.trainable = False
    names = ["base/first/kernel", "base/first/bias", "base/second/kernel"]
    assert frozen_names(model) == [*names, "last/kernel", "last/bias"]
