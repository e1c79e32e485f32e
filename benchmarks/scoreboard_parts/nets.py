"""Small nets that several programs share."""

from __future__ import annotations

from typing import Any

import keras

L = keras.layers

SPARSE_CE = "sparse_categorical_crossentropy"
BINARY_CE = "binary_crossentropy"


def compiled(model: keras.Model, optimizer: Any, loss: Any, **compile: Any) -> keras.Model:
    """Compile without XLA and without metrics, unless asked."""
    model.compile(optimizer=optimizer, loss=loss, **{"jit_compile": False, **compile})
    return model


def sequential(shape: tuple[int, ...], *layers: Any) -> keras.Model:
    """A Sequential model with an Input."""
    return keras.Sequential([L.Input(shape), *layers])


def dense_stack(depth: int, units: int, activation: Any = "relu", **dense: Any) -> list[Any]:
    """Dense layers `h1`, `h2`, ..."""
    return [L.Dense(units, activation=activation, name=f"h{i + 1}", **dense) for i in range(depth)]


def classifier(
    shape: tuple[int, ...], *hidden: Any, classes: int = 10, optimizer: Any, **compile: Any
) -> keras.Model:
    """Hidden layers, then a softmax over the classes, with integer targets."""
    out = L.Dense(classes, activation="softmax", name="out", dtype="float32")
    loss = compile.pop("loss", SPARSE_CE)
    return compiled(sequential(shape, *hidden, out), optimizer, loss, **compile)


def binary(shape: tuple[int, ...], *hidden: Any, optimizer: Any, **compile: Any) -> keras.Model:
    """Hidden layers, then one sigmoid."""
    out = L.Dense(1, activation="sigmoid", name="out")
    return compiled(sequential(shape, *hidden, out), optimizer, BINARY_CE, **compile)


def regressor(shape: tuple[int, ...], *hidden: Any, optimizer: Any, loss: Any = "mse") -> Any:
    """Hidden layers, then one linear unit."""
    return compiled(sequential(shape, *hidden, L.Dense(1, name="out")), optimizer, loss)


def digit_net(optimizer: Any, **compile: Any) -> keras.Model:
    """196-64-32-10 with ReLU."""
    hidden = [
        L.Dense(64, activation="relu", name="h1"),
        L.Dense(32, activation="relu", name="h2"),
    ]
    return classifier((196,), *hidden, optimizer=optimizer, **compile)


def conv_net(optimizer: Any, activation: str = "relu", norm: bool = False) -> keras.Model:
    """Two convolutions over 14 x 14 digits, perhaps with batch normalisation."""
    layers: list[Any] = []
    for name, filters in (("c1", 8), ("c2", 16)):
        layers.append(L.Conv2D(filters, 3, padding="same", name=name))
        if norm:
            layers.append(L.BatchNormalization(momentum=0.9, name=f"{name}_bn"))
        layers += [L.Activation(activation, name=f"{name}_act"), L.MaxPooling2D(2)]
    return classifier((14, 14, 1), *layers, L.Flatten(), optimizer=optimizer)
