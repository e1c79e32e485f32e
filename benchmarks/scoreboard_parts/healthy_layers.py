"""Healthy programs: activations, convolutions, normalisation, residuals."""

from __future__ import annotations

import keras

from benchmarks.scoreboard_parts.datasets import (
    digits,
)
from benchmarks.scoreboard_parts.nets import (
    SPARSE_CE,
    L,
    classifier,
    compiled,
    conv_net,
    dense_stack,
)
from benchmarks.scoreboard_parts.program import Register, accuracy

O = keras.optimizers  # noqa: E741
HEALTHY = Register(healthy=True)
IMAGES = digits(2000, flat=False)

# activation -> (initializer, depth, learning rate)
_ACTIVATIONS = {
    "tanh": ("glorot_uniform", 2, 2e-3),
    "sigmoid": ("glorot_uniform", 2, 5e-3),
    "selu": ("lecun_normal", 4, 1e-3),
    "gelu": ("glorot_uniform", 3, 2e-3),
    "elu": ("he_normal", 3, 1e-3),
    "swish": ("he_uniform", 3, 2e-3),
    "leaky_relu": ("he_normal", 4, 1e-3),
    "softplus": ("glorot_uniform", 2, 2e-3),
    "relu6": ("he_normal", 3, 2e-3),
    "softsign": ("glorot_uniform", 2, 3e-3),
}


def _dense_with(activation: str, initializer: str, depth: int, rate: float) -> keras.Model:
    hidden = dense_stack(depth, 48, activation, kernel_initializer=initializer)
    return classifier((196,), *hidden, optimizer=O.Adam(rate))


for _name, (_init, _depth, _rate) in _ACTIVATIONS.items():
    HEALTHY(
        f"dense_{_name}", f"{_depth} x 48 {_name}", data=digits(2000), measure=accuracy, goal=0.6,
        epochs=4,
    )(lambda n=_name, i=_init, d=_depth, r=_rate: _dense_with(n, i, d, r))  # fmt: skip


@HEALTHY(
    "deep_tanh", "10 x 32 tanh, Glorot", data=digits(2000), measure=accuracy, goal=0.55, epochs=5
)
def _deep_tanh() -> keras.Model:
    return classifier((196,), *dense_stack(10, 32, "tanh"), optimizer=O.Adam(1e-3))


@HEALTHY(
    "deep_relu_he", "8 x 64 ReLU, He", data=digits(2000), measure=accuracy, goal=0.55, epochs=4
)
def _deep_relu() -> keras.Model:
    hidden = dense_stack(8, 64, kernel_initializer="he_normal")
    return classifier((196,), *hidden, optimizer=O.Adam(1e-3))


@HEALTHY("conv", "two convolutions", data=IMAGES, measure=accuracy, goal=0.55, epochs=3)
def _conv() -> keras.Model:
    return conv_net(O.Adam(2e-3))


@HEALTHY(
    "conv_batch_norm", "convolutions with a useless bias before BatchNormalization", data=IMAGES,
    measure=accuracy, goal=0.8, epochs=4,
)  # fmt: skip
def _conv_bn() -> keras.Model:
    return conv_net(O.Adam(2e-3), norm=True)


@HEALTHY(
    "conv_batch_norm_sgd", "the same with SGD and momentum", data=IMAGES, measure=accuracy,
    goal=0.8, epochs=4,
)  # fmt: skip
def _conv_bn_sgd() -> keras.Model:
    return conv_net(O.SGD(0.02, momentum=0.9), norm=True)


@HEALTHY(
    "dense_batch_norm_sigmoid", "BatchNormalization in front of sigmoids", data=digits(2000),
    measure=accuracy, goal=0.8, epochs=4,
)  # fmt: skip
def _bn_sigmoid() -> keras.Model:
    layers: list[object] = []
    for i in range(3):
        layers += [
            L.Dense(48, name=f"h{i + 1}"),
            L.BatchNormalization(momentum=0.9),
            L.Activation("sigmoid"),
        ]
    return classifier((196,), *layers, optimizer=O.Adam(5e-3))


@HEALTHY(
    "layer_norm", "LayerNormalization", data=digits(2000), measure=accuracy, goal=0.8, epochs=4
)
def _layer_norm() -> keras.Model:
    layers: list[object] = []
    for i in range(3):
        layers += [L.Dense(48, activation="relu", name=f"h{i + 1}"), L.LayerNormalization()]
    return classifier((196,), *layers, optimizer=O.Adam(2e-3))


@HEALTHY(
    "group_norm_depthwise", "depthwise and separable convolutions, GroupNormalization",
    data=IMAGES, measure=accuracy, goal=0.55, epochs=6,
)  # fmt: skip
def _depthwise() -> keras.Model:
    layers = [
        L.Conv2D(8, 3, padding="same", activation="relu", name="c1"),
        L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="dw"),
        L.GroupNormalization(4),
        L.ReLU(),
        L.SeparableConv2D(16, 3, strides=2, activation="relu", name="sep"),
        L.GlobalAveragePooling2D(),
    ]
    return classifier((14, 14, 1), *layers, optimizer=O.Adam(5e-3))


@HEALTHY(
    "dropout_half", "half of all units dropped", data=digits(2000), measure=accuracy, goal=0.55,
    epochs=6,
)  # fmt: skip
def _dropout() -> keras.Model:
    layers = [L.Dense(128, activation="relu", name="h1"), L.Dropout(0.5)]
    layers += [L.Dense(64, activation="relu", name="h2"), L.Dropout(0.5)]
    return classifier((196,), *layers, optimizer=O.Adam(2e-3))


@HEALTHY(
    "prelu_noise", "PReLU, Gaussian noise", data=digits(2000), measure=accuracy, goal=0.55, epochs=4
)
def _prelu() -> keras.Model:
    layers = [L.GaussianNoise(0.1), L.Dense(64, name="h1"), L.PReLU(name="prelu")]
    return classifier((196,), *layers, L.Dense(32, activation="relu"), optimizer=O.Adam(2e-3))


@HEALTHY("residual", "residual blocks", data=IMAGES, measure=accuracy, goal=0.8, epochs=7)
def _residual() -> keras.Model:
    i = L.Input((14, 14, 1))
    x = L.Conv2D(12, 3, padding="same", name="stem")(i)
    for block in range(3):
        y = L.BatchNormalization(momentum=0.9)(x)
        y = L.Conv2D(12, 3, padding="same", name=f"b{block}_1")(L.ReLU()(y))
        y = L.Conv2D(12, 3, padding="same", name=f"b{block}_2")(L.ReLU()(y))
        x = L.Add()([x, y])
    x = L.GlobalAveragePooling2D()(L.ReLU()(x))
    out = L.Dense(10, activation="softmax", name="out")(x)
    return compiled(keras.Model(i, out), O.Adam(1e-2), SPARSE_CE)


@HEALTHY(
    "residual_zero_init_branch", "residual branches whose last kernel starts at zero",
    data=digits(2000), measure=accuracy, goal=0.8, epochs=4,
)  # fmt: skip
def _zero_branch() -> keras.Model:
    i = L.Input((196,))
    x = L.Dense(48, name="stem")(i)
    for block in range(3):
        y = L.Dense(48, activation="relu", name=f"b{block}_1")(x)
        x = L.Add()([x, L.Dense(48, kernel_initializer="zeros", name=f"b{block}_2")(y)])
    out = L.Dense(10, activation="softmax", name="out")(x)
    return compiled(keras.Model(i, out), O.Adam(2e-3), SPARSE_CE)
