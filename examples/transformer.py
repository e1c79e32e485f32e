"""A small transformer that reverses sequences, watched by tbwatch.

    python examples/transformer.py                          learns well, no alert
    python examples/transformer.py --fault masked_mean      a loss by hand divides by a length of 0
    python examples/transformer.py --fault normal           all kernels drawn from N(0, 1)
    python examples/transformer.py --fault inverted_mask    sees padding only: NOT found by tbwatch

Each sequence has 6 to 12 tokens out of 12 kinds, then zeros; what is asked for is the same tokens
in reverse order. One sequence in 200 is empty, as empty lines of a text are. The net: embeddings of
tokens and of places, two encoder blocks of width 64 with four heads, normalization first (pre-LN),
13 logits at each place. Adam at 1e-3, batches of 64, 1500 updates.

It finds 97.3 % of the tokens then, without an alert. What the faults do:

    masked_mean     the loss of a sequence is its sum by its length, and 0 / 0 for an empty one: all
                    is NaN from update 4 on, and `nonfinite` says that it arose in the loss itself
    normal          23.4 % of the tokens; `weights_too_large` at update 21
    inverted_mask   True where it should be False, as between two libraries whose masks mean the
                    opposite: 14.9 % of the tokens and no alert. The loss falls from 2.6 to 2.3, and
                    each layer is healthy. Only a baseline tells: guessing has ln 12 = 2.48
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from _common import make_parser, plan_updates, print_alerts, whole_number
from numpy.typing import NDArray

import tbwatch

TOKENS, LENGTH, WIDTH, HEADS = 12, 12, 64, 4
PADDING = 0
TESTED = 1000


def make_sequences(count: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sequences of tokens, padded with zeros, and the same in reverse order: each `[count, 12]`.

    Example:
        >>> tokens, reverse = make_sequences(8, seed=0)
        >>> n = np.count_nonzero(tokens[0])
        >>> bool((tokens[0, :n] == reverse[0, n - 1 :: -1]).all())
        True
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(6, LENGTH + 1, (count, 1))
    lengths[rng.permutation(count)[: count // 200]] = 0
    places = np.arange(LENGTH)
    tokens = rng.integers(1, TOKENS + 1, (count, LENGTH)) * (places < lengths)
    mirrored = np.take_along_axis(tokens, np.maximum(lengths - 1 - places, 0), 1)
    return tokens.astype(np.int32), (mirrored * (places < lengths)).astype(np.int32)


class Places(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Adds a learned vector for each place."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Makes the table of vectors."""
        self.table = self.add_weight(shape=shape[1:], initializer="uniform", name="table")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """The input and its place."""
        return x + self.table


def build_model(fault: str | None) -> keras.Model:
    """Tokens `[B, 12]` to logits `[B, 12, 13]`."""
    layers = keras.layers

    def start() -> dict[str, Any]:
        drawn = keras.initializers.RandomNormal(stddev=1.0)
        return {"kernel_initializer": drawn} if fault == "normal" else {}

    def seen(tokens: tf.Tensor) -> tf.Tensor:
        mask = tf.equal if fault == "inverted_mask" else tf.not_equal
        return mask(tokens, PADDING)[:, None, :]

    tokens = keras.Input((LENGTH,), dtype="int32")
    mask = layers.Lambda(seen, output_shape=(1, LENGTH), name="mask")(tokens)
    x = layers.Embedding(TOKENS + 1, WIDTH, name="tokens")(tokens)
    x = Places(name="places")(x)
    for n in (1, 2):
        y = layers.LayerNormalization(name=f"norm{n}a")(x)
        attention = layers.MultiHeadAttention(
            HEADS, WIDTH // HEADS, name=f"attention{n}", **start()
        )
        x = layers.Add()([x, attention(y, y, attention_mask=mask)])
        y = layers.LayerNormalization(name=f"norm{n}b")(x)
        y = layers.Dense(2 * WIDTH, activation="relu", name=f"up{n}", **start())(y)
        x = layers.Add()([x, layers.Dense(WIDTH, name=f"down{n}", **start())(y)])
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(tokens, layers.Dense(TOKENS + 1, name="out", **start())(x))


def masked_mean(y: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The mean loss of the tokens of each sequence: 0 / 0 for one without tokens."""
    y = tf.cast(y, tf.int32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
    counted = tf.cast(y != PADDING, tf.float32)
    return tf.reduce_sum(losses * counted, -1) / tf.reduce_sum(counted, -1)


def main(argv: Sequence[str] | None = None) -> list[tbwatch.Alert]:
    """Trains, tests, and prints the alerts; returns them."""
    parser = make_parser(
        __doc__, "transformer", epochs=5, batch_size=64, learning_rate=1e-3, digits=False
    )
    add = parser.add_argument
    add("--sequences", type=whole_number(1), default=19_200, help="default: %(default)s")
    add("--fault", choices=("masked_mean", "normal", "inverted_mask"), help="see above")
    options = parser.parse_args(argv)
    epochs, steps = plan_updates(
        options.sequences, options.batch_size, options.epochs, options.steps
    )
    train = make_sequences(options.sequences, options.seed)
    tokens, reverse = make_sequences(TESTED, options.seed + 1)
    keras.utils.set_random_seed(options.seed)
    model = build_model(options.fault)
    by_keras = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)
    model.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=masked_mean if options.fault == "masked_mean" else by_keras,
    )
    batches = tf.data.Dataset.from_tensor_slices(train)
    batches = batches.shuffle(options.sequences, seed=options.seed).repeat()
    watch = tbwatch.Watch(options.log_dir)
    model.fit(
        batches.batch(options.batch_size).prefetch(2),
        epochs=epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        callbacks=[watch],
    )
    found = model.predict(tokens, batch_size=500, verbose=0).argmax(-1)
    accuracy = np.mean((found == reverse)[tokens != PADDING])
    print(f"\nTest accuracy: {accuracy:.3f} of the tokens ({TESTED} sequences)\n")
    print_alerts(watch.alerts, options.log_dir)
    return watch.alerts


if __name__ == "__main__":
    main()
