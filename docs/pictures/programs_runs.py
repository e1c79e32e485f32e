"""Faulty programs: outputs, losses and settings of the optimizer.

Each has its fault in the one line that asks `if faulty`.
"""

from __future__ import annotations

import keras
import numpy as np

from docs.pictures.program import LOGITS, Digits, L, Training, dense_layers, net, program

Schedules = keras.optimizers.schedules


@program("activation_mean")
def output_mismatch(faulty: bool, digits: Digits) -> Training:
    """A softmax over the only unit of a yes-or-no question."""
    activation = "softmax" if faulty else "sigmoid"
    out = L.Dense(1, activation=activation, name="is_large")
    model = keras.Sequential([L.Input((28, 28, 1)), *dense_layers(2, 64, "relu"), out])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    return Training(model, digits.images, (digits.labels > 4).astype(np.float32))


@program("update_ratio", of="fc1/kernel", also="learning_rate")
def learning_rate_vanished(faulty: bool, digits: Digits) -> Training:
    """`decay_steps` counts updates, and was given in epochs."""
    updates_per_epoch = len(digits.images) // 32
    decay_steps = 2 if faulty else 2 * updates_per_epoch
    rate = Schedules.ExponentialDecay(1e-3, decay_steps, 0.5)
    model = net(*dense_layers(2, 64, "relu"))
    model.compile(keras.optimizers.Adam(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio", of="fc1/kernel")
def loss_diverging(faulty: bool, digits: Digits) -> Training:
    """A schedule that grows by 4 % with every update."""
    growth = 1.04 if faulty else 0.99
    rate = Schedules.ExponentialDecay(1e-3, 1, growth)
    model = net(*dense_layers(2, 64, "elu"))
    model.compile(keras.optimizers.Adam(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("update_ratio", of="fc1/kernel")
def loss_oscillating(faulty: bool, digits: Digits) -> Training:
    """A rate for batches of 128, with batches of 2."""
    batch_size = 2 if faulty else 128
    model = net(*dense_layers(2, 64, "gelu"))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOGITS)
    return Training(model, digits.images, digits.labels, batch_size=batch_size, epochs=1)


@program("update_ratio", of="fc1/kernel")
def loss_stuck(faulty: bool, digits: Digits) -> Training:
    """The images were shuffled, the labels were not."""
    order = np.random.default_rng(0).permutation(len(digits.labels))
    labels = digits.labels if faulty else digits.labels[order]
    model = net(*dense_layers(2, 64, "relu"))
    model.compile(keras.optimizers.Adam(1e-3), LOGITS)
    return Training(model, digits.images[order], labels)


@program("update_ratio", of="fc1/kernel")
def learning_rate_too_low(faulty: bool, digits: Digits) -> Training:
    """A learning rate of 1e-4 for plain SGD."""
    rate = 1e-4 if faulty else 0.03
    model = net(*dense_layers(2, 64, "relu"))
    model.compile(keras.optimizers.SGD(rate), LOGITS)
    return Training(model, digits.images, digits.labels)


@program("gradient_norm", of="fc1/kernel", also="loss_scale")
def loss_scale(faulty: bool, digits: Digits) -> Training:
    """Mixed precision, and broken pixels in every 200th image: float16 ends at 65504."""
    images = digits.images.copy()
    images[::200, 14, 14] = 30_000.0 if faulty else 1.0
    hidden = dense_layers(2, 64, "relu", dtype="mixed_float16")
    model = keras.Sequential([L.Input((28, 28, 1)), *hidden, L.Dense(1, name="value")])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3))
    model.compile(optimizer, "mse")
    return Training(model, images, digits.labels.astype(np.float32), epochs=1)


@program("update_ratio", of="fc1/kernel", also="global_gradient_norm")
def always_clipped(faulty: bool, digits: Digits) -> Training:
    """A clipping norm of 1e-3 where 5 was meant."""
    norm = 1e-3 if faulty else 5.0
    model = net(*dense_layers(2, 64, "relu"))
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=norm), LOGITS)
    return Training(model, digits.images, digits.labels)
