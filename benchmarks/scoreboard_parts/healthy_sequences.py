"""Healthy programs: recurrence, attention, embeddings, several paths."""

from __future__ import annotations

import keras
from keras import ops

from benchmarks.scoreboard_parts.datasets import (
    sentences,
    series,
    spirals,
    sums,
    waves,
)
from benchmarks.scoreboard_parts.nets import (
    L,
    binary,
    compiled,
    dense_stack,
    regressor,
    sequential,
)
from benchmarks.scoreboard_parts.program import Data, Register, accuracy, r2

O = keras.optimizers  # noqa: E741
HEALTHY = Register(healthy=True)


@HEALTHY("lstm", "LSTM over sines", data=series, measure=r2, goal=0.7, epochs=6)
def _lstm() -> keras.Model:
    return regressor((20, 1), L.LSTM(24, name="lstm"), optimizer=O.Adam(5e-3))


@HEALTHY("gru_sum", "GRU, sign of a sum", data=sums, measure=accuracy, goal=0.8, epochs=6)
def _gru() -> keras.Model:
    return binary((10, 1), L.GRU(16, name="gru"), optimizer=O.Adam(1e-2))


@HEALTHY("simple_rnn", "SimpleRNN over sines", data=series, measure=r2, goal=0.7, epochs=5)
def _simple_rnn() -> keras.Model:
    return regressor((20, 1), L.SimpleRNN(24, name="rnn"), optimizer=O.Adam(3e-3))


@HEALTHY(
    "bidirectional_masked", "embedding with a mask, bidirectional LSTM",
    data=lambda: sentences(1500, words=300), measure=accuracy, goal=0.75, epochs=6,
)  # fmt: skip
def _bidirectional() -> keras.Model:
    layers = [L.Embedding(300, 16, mask_zero=True, name="emb"), L.Bidirectional(L.LSTM(8))]
    return binary((12,), *layers, optimizer=O.Adam(1e-2))


@HEALTHY(
    "embedding_rare_rows", "embedding of 5000 words, most of them rare",
    data=lambda: sentences(2000, words=5000), measure=accuracy, goal=0.75, epochs=6,
)  # fmt: skip
def _embedding() -> keras.Model:
    layers = [L.Embedding(5000, 16, name="emb"), L.GlobalAveragePooling1D()]
    return binary((12,), *layers, *dense_stack(1, 16), optimizer=O.Adam(5e-3))


@HEALTHY(
    "embedding_sgd", "the same with SGD: touched rows alone move",
    data=lambda: sentences(2000, words=500), measure=accuracy, goal=0.7, epochs=8,
)  # fmt: skip
def _embedding_sgd() -> keras.Model:
    layers = [L.Embedding(500, 16, name="emb"), L.GlobalAveragePooling1D()]
    return binary((12,), *layers, *dense_stack(1, 16), optimizer=O.SGD(0.5, momentum=0.9))


@HEALTHY(
    "transformer", "two attention blocks over words", data=lambda: sentences(1500, words=200),
    measure=accuracy, goal=0.75, epochs=6,
)  # fmt: skip
def _transformer() -> keras.Model:
    i = L.Input((12,), dtype="int32")
    x = L.Embedding(200, 24, name="emb")(i)
    for block in range(2):
        y = L.LayerNormalization()(x)
        x = L.Add()([x, L.MultiHeadAttention(2, 12, name=f"attention{block}")(y, y)])
        y = L.Dense(48, activation="gelu", name=f"up{block}")(L.LayerNormalization()(x))
        x = L.Add()([x, L.Dense(24, name=f"down{block}")(y)])
    x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x))
    out = L.Dense(1, activation="sigmoid", name="out")(x)
    return compiled(keras.Model(i, out), O.Adam(2e-3), "binary_crossentropy")


@HEALTHY(
    "conv1d", "causal 1-D convolutions over sines", data=series, measure=r2, goal=0.7, epochs=5
)
def _conv1d() -> keras.Model:
    layers = [
        L.Conv1D(16, 3, padding="causal", dilation_rate=d, activation="relu", name=f"c{d}")
        for d in (1, 2, 4)
    ]
    return regressor((20, 1), *layers, L.Flatten(), optimizer=O.Adam(2e-3))


@HEALTHY(
    "maxout_spirals", "units that compete, on two spirals", data=spirals, measure=accuracy,
    goal=0.8, epochs=40,
)  # fmt: skip
def _maxout() -> keras.Model:
    i = L.Input((2,))
    x = L.Dense(64, name="pieces")(i)
    x = L.Lambda(lambda t: ops.max(ops.reshape(t, (-1, 32, 2)), axis=-1))(x)
    x = L.Dense(32, activation="relu", name="h2")(x)
    out = L.Dense(1, activation="sigmoid", name="out")(x)
    return compiled(keras.Model(i, out), O.Adam(1e-2), "binary_crossentropy")


@HEALTHY(
    "experts", "four experts behind a softmax gate", data=waves, measure=r2, goal=0.7, epochs=12
)
def _experts() -> keras.Model:
    i = L.Input((3,))
    gate = L.Dense(4, activation="softmax", name="gate")(i)
    experts = [
        L.Dense(1, name=f"e{k}_out")(L.Dense(8, activation="relu", name=f"e{k}_h")(i))
        for k in range(4)
    ]
    out = L.Dot(1)([gate, L.Concatenate()(experts)])
    return compiled(keras.Model(i, out), O.Adam(1e-2), "mse")


def _wide_and_deep_data() -> Data:
    x, y = waves(1500)
    return [x, x[:, :1]], y


@HEALTHY(
    "wide_and_deep", "a linear path beside a deep one", data=_wide_and_deep_data, measure=r2,
    goal=0.7, epochs=10,
)  # fmt: skip
def _wide_and_deep() -> keras.Model:
    a, b = L.Input((3,)), L.Input((1,))
    deep = L.Dense(24, activation="tanh", name="h2")(L.Dense(24, activation="tanh", name="h1")(a))
    out = L.Add()([L.Dense(1, name="deep_out")(deep), L.Dense(1, name="wide")(b)])
    return compiled(keras.Model([a, b], out), O.Adam(1e-2), "mse")


@HEALTHY(
    "orthogonal_deep_linear", "a deep linear net, orthogonal kernels", data=waves, measure=r2,
    goal=0.3, epochs=4,
)  # fmt: skip
def _orthogonal() -> keras.Model:
    hidden = dense_stack(6, 16, None, kernel_initializer="orthogonal")
    return compiled(sequential((3,), *hidden, L.Dense(1, name="out")), O.SGD(0.01), "mse")
