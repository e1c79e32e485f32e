"""What the examples share: options, batches, the number of updates, the closing report."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from _data import RENDERED, DataError, Digits, load_mnist

if TYPE_CHECKING:
    import tbwatch


def make_parser(
    doc: str,
    name: str,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    digits: bool = True,
) -> argparse.ArgumentParser:
    """The options that the examples have in common, with each one's own defaults.

    Args:
        doc: The script's docstring, shown by `--help`.
        name: Names the default log directory, `logs/<name>/<time stamp>`.
        epochs: Default of `--epochs`.
        batch_size: Default of `--batch-size`.
        learning_rate: Default of `--learning-rate`; None where the script works it out itself and
            its docstring says how.
        digits: It trains on MNIST: adds `--data`.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    if digits:
        add(
            "--data",
            metavar="FILE.npz",
            help="MNIST as keras.datasets.mnist stores it, or the word "
            f"'{RENDERED}' for digits rendered with Pillow (default: download with Keras)",
        )
    add("--epochs", type=whole_number(1), default=epochs, help="default: %(default)s")
    add(
        "--steps",
        type=whole_number(1),
        help="at most so many updates in all, for a short run (default: no limit)",
    )
    add("--batch-size", type=whole_number(1), default=batch_size, help="default: %(default)s")
    rate_help = "default: see above" if learning_rate is None else "default: %(default)s"
    add("--learning-rate", type=positive, default=learning_rate, help=rate_help)
    add(
        "--log-dir",
        type=directory,
        default=str(Path("logs", name, time.strftime("%Y%m%d-%H%M%S"))),
        help=f"used as given (default: logs/{name}/<time stamp>)",
    )
    add("--seed", type=whole_number(0), default=0, help="default: %(default)s")
    return parser


def add_init(parser: argparse.ArgumentParser, **more: str) -> None:
    """Adds `--init`, None if it is not given; `more` are choices of one script, with their help."""
    choices = {
        "default": "Keras's (Glorot, zero biases)",
        "normal": "all, biases too, drawn from N(0, 1)",
        **more,
    }
    parser.add_argument(
        "--init",
        choices=tuple(choices),
        help="initial weights; "
        + "; ".join(f"{choice}: {meaning}" for choice, meaning in choices.items())
        + " (default: default)",
    )


def load_or_exit(parser: argparse.ArgumentParser, path: str | None) -> tuple[Digits, Digits]:
    """`load_mnist(path)`; data that cannot be used ends the program with a sentence, status 2."""
    try:
        return load_mnist(path)
    except DataError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


def make_batches(
    digits: Digits, batch_size: int, *, image: int = 28, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Batches of float32 images `[B, image, image, 1]` from 0 to 1, and uint8 labels `[B]`.

    Images are enlarged batch by batch, for 60000 of 227 x 227 take 12 GB. With a `shuffle_seed`
    the batches are for training: shuffled anew in each round, without end, all of one size.
    """

    def prepare(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(images[..., None], tf.float32) / 255.0
        return (images if image == 28 else tf.image.resize(images, (image, image))), labels

    dataset = tf.data.Dataset.from_tensor_slices(digits)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(len(digits[0]), seed=shuffle_seed).repeat()
    return dataset.batch(batch_size).map(prepare, tf.data.AUTOTUNE).prefetch(2)


def plan_updates(examples: int, batch_size: int, epochs: int, steps: int | None) -> tuple[int, int]:
    """Epochs and updates per epoch, at most `steps` updates in all.

    Example:
        >>> plan_updates(60000, 128, 3, None), plan_updates(60000, 128, 3, 1000)
        ((3, 468), (3, 333))
    """
    per_epoch = max(1, examples // batch_size)
    if steps is None:
        return epochs, per_epoch
    epochs = min(epochs, math.ceil(steps / per_epoch))
    return epochs, min(per_epoch, steps // epochs)


def print_report(
    accuracy: float, tested: int, alerts: Sequence[tbwatch.Alert], log_dir: str
) -> None:
    """Prints the test accuracy, the alerts, and how to look at the run."""
    print(f"\nTest accuracy: {accuracy:.3f} ({tested} digits)\n")
    print_alerts(alerts, log_dir)


def print_alerts(alerts: Sequence[tbwatch.Alert], log_dir: str) -> None:
    """Prints the alerts, and how to look at the run."""
    if alerts:
        print(f"{len(alerts)} alert{'s' if len(alerts) > 1 else ''}:")
        for alert in alerts:
            print(alert)
    else:
        print("No alerts: no sampled update looked unhealthy.")
    print("\nTo see the run, and to list its alerts again:")
    print(f"  tensorboard --logdir {shlex.quote(log_dir)}")
    print(f"  tbwatch alerts {shlex.quote(log_dir)}")


def whole_number(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number, `least` or more."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"'{text}' was given, allowed is a whole number, {least} or more"
            )
        return int(text)

    return parse


def positive(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' was given, allowed is a number above 0")
    return number


def directory(text: str) -> str:
    """An argparse type: a directory that exists or can be made."""
    if not text or any(p.exists() and not p.is_dir() for p in (Path(text), *Path(text).parents)):
        raise argparse.ArgumentTypeError(f"'{text}' was given, allowed is a directory, old or new")
    return text


def initializers(init: str | None) -> dict[str, Any]:
    """Arguments for one layer; drawn anew at each call, for layers must not share their noise."""
    if init in (None, "default"):
        return {}
    return {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=1.0),
        "bias_initializer": keras.initializers.RandomNormal(stddev=1.0),
    }
