"""Every family of `keras.applications`, watched: is each variable seen, and what does tracing cost?

    python -m benchmarks.models [--only VGG16,MobileNetV2] [--repeats 3]

Each fit runs in a process of its own, plain and watched (`Watch` at its defaults) in turn, for
three updates of two small images. Prints a Markdown table: the first step, in which TensorFlow
traces, as the median of the repetitions, and the quartiles of its ratio within one repetition.
`problems` is what is wrong: a variable that is missing, out of order or not finite, an update
without a record, a message of ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.process import apart
from benchmarks.speed.figures import median, ratios
from benchmarks.speed.report import spread

# The smallest member of each family, and the smallest image that it takes.
FAMILIES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
UPDATES, BATCH, CLASSES = 3, 2, 10
TIMEOUT = 900  # seconds for one fit


class Messages(logging.Handler):
    """Keeps what tbwatch says."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.texts.append(record.getMessage())


def fit(family: str, watched: bool) -> dict[str, Any]:
    """Train one model of a family in this process; what it was, how long it took, what is wrong."""
    import keras
    import numpy as np

    import tbwatch
    from benchmarks.clock import Clock
    from tbwatch.reader import read_run

    keras.utils.set_random_seed(0)
    size = FAMILIES[family]
    build = getattr(keras.applications, family)
    model = build(weights=None, input_shape=(size, size, 3), classes=CLASSES)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * UPDATES, size, size, 3)).astype("float32")
    y = rng.integers(0, CLASSES, BATCH * UPDATES)
    messages, clock = Messages(), Clock()
    logging.getLogger("tbwatch").addHandler(messages)
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [clock, *([tbwatch.Watch(folder)] if watched else [])]
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
        if watched:
            records = [r for r in read_run(folder).records if not r.is_last]
            want = [v.path.removeprefix(model.name + "/") for v in model.trainable_variables]
            if [record.step for record in records] != list(range(1, UPDATES + 1)):
                problems.append(f"recorded the updates {[r.step for r in records]}")
            for record in records:
                if list(record.layout.names) != want:
                    problems.append("other variables than those of the model, or in another order")
                for quantity in ("weight_norm", "gradient_norm", "update_norm", "update_ratio"):
                    bad = np.flatnonzero(~np.isfinite(record.quantity(quantity)))
                    problems += [f"{quantity} of {record.layout.names[row]}" for row in bad]
    return {
        "variables": len(model.trainable_variables),
        "parameters": int(sum(np.prod(v.shape) for v in model.trainable_variables)),
        "first_step": clock.first_step,
        "problems": [*problems, *messages.texts],
    }


def row(family: str, repeats: int) -> str:
    """The family's row of the table."""
    pairs = [
        [apart("benchmarks.models:fit", family, watched, timeout=TIMEOUT) for watched in (0, 1)]
        for _ in range(repeats)
    ]
    plain, watched = ([pair[n]["first_step"] for pair in pairs] for n in (0, 1))
    ratio = spread(ratios(watched, plain), "x")
    one = pairs[0][1]
    problems = dict.fromkeys(text for _, w in pairs for text in w["problems"])
    return (
        f"| {family} | {one['variables']} | {one['parameters'] / 1e6:.1f} M | {median(plain):.1f} "
        f"| {median(watched):.1f} | {ratio} | {'; '.join(problems) or 'none'} |"
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, by commas")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    families = arguments.only.split(",")
    unknown = [family for family in families if family not in FAMILIES]
    if unknown:
        parser.error(f"unknown family {unknown[0]!r}; there are: {', '.join(FAMILIES)}")
    print(
        "| family | variables | parameters | first step plain, s | watched, s | ratio | problems |"
    )
    print("|---|---|---|---|---|---|---|")
    for family in families:
        print(row(family, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
