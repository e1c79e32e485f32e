"""What is logged is what happened in the step, in every execution mode."""

import dataclasses
import functools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch import groups, reductions, traced
from tbwatch.histogram import to_rows
from tbwatch.record import Record
from tbwatch.testing import Recorder
from tests.nets import events
from tests.truth import Truth, compare, expected, truth_model

UPDATES = 9
L = keras.layers


def _network():
    """Convolution, a nested model, a layer shared between two branches, batch normalisation."""
    inputs = L.Input((8, 8, 1))
    x = L.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = L.BatchNormalization(name="norm")(x)
    shared = L.Dense(4, activation="tanh", name="shared")
    inner_in = L.Input((6, 6, 4))
    inner = keras.Model(inner_in, L.Conv2D(3, 3, name="conv1")(inner_in), name="inner")
    x = L.Concatenate()([shared(x), shared(x * 0.5)])
    x = L.Flatten()(inner(x[..., :4]))
    return inputs, L.Dense(3, name="out", dtype="float32")(x)


def _data(samples=UPDATES * 8):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(samples, 8, 8, 1)).astype("float32")
    return x, rng.integers(0, 3, samples)


# For tests that look at nothing else: the rest of a sample takes longer to compile than these.
VARIABLES = {"activations": False, "histogram_freq": 0}


def _fit(model, log_dir, **options):
    recorder = Recorder()
    watch = tbwatch.Watch(log_dir, update_freq=1, detectors=[recorder], **options)
    x, y = _data()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    return recorder.records


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam

MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 4},
    "xla_steps_per_execution": {"jit_compile": True, "steps_per_execution": 4},
    "eager_steps_per_execution": {"run_eagerly": True, "steps_per_execution": 4},
}


@dataclasses.dataclass
class Trained:
    """What a training of `_network` gave, with every number and histogram of every update."""

    log_dir: Path
    records: list[Record]
    truths: dict[int, Truth]
    stores: dict[str, list[np.ndarray]]
    paths: list[str]
    group_sizes: list[int]


@pytest.fixture(scope="module", name="trained")
def _trained(tmp_path_factory):
    """Trains each mode and form once, for all tests that look at it.

    Variables of more than 30 elements are measured in packs, alone, or in blocks of 16; small ones
    in packs of no more than 20 elements, or in one.
    """

    @functools.cache
    def train(mode, form):
        with pytest.MonkeyPatch.context() as patch:
            if form != "packed":
                patch.setattr(groups, "SMALL", 30)
                patch.setattr(groups, "LARGEST_PACK", 20)
            if form == "in blocks":
                patch.setattr(reductions, "LARGE", 30)
                patch.setattr(reductions, "BLOCK", 16)
            patch.setattr(traced, "_TRACED", {})
            # Activations do not depend on the form.
            activations = "auto" if form == "packed" else False
            return _train(mode, tmp_path_factory.mktemp("logs"), activations=activations)

    return train


def _train(mode, log_dir, **options):
    keras.utils.set_random_seed(3)
    model = truth_model(*_network(), UPDATES)
    model.compile(Adam(1e-2), LOSS, **{"jit_compile": False, **MODES[mode]})
    made = groups.make_groups([v.value for v in model.trainable_variables], keeps_copy=False)
    records = _fit(model, log_dir, histogram_update_freq=1, **options)
    stores = {k: [v.numpy() for v in m] for k, m in vars(model)["truth"].stores.items()}
    paths = [v.path for v in model.trainable_variables]
    sizes = [len(group.rows) for group in made]
    return Trained(log_dir, records, expected(model), stores, paths, sizes)


@pytest.mark.parametrize("mode", MODES)
def test_every_quantity_in_every_mode(mode, trained):
    """Norms, ratios, shares and cosines equal NumPy's in float64, at every single update."""
    run = trained(mode, "packed")
    assert len(run.truths) == UPDATES
    compare(run.records, run.truths)


FORMS = ["packed", "alone", "in blocks"]
MEASURED = ["graph", "eager", "xla_steps_per_execution"]


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("mode", MEASURED)
def test_large_variables_are_measured_alone_small_ones_in_packs(mode, form, trained):
    """However variables are grouped, in several packs or alone, the numbers are the same."""
    run = trained(mode, form)
    assert run.group_sizes.count(1) >= 3
    assert sum(size > 1 for size in run.group_sizes) >= 2
    compare(run.records, run.truths)


def _counts(tensor):
    """Elements by the top 12 bits of their float32 form, by NumPy."""
    return np.bincount(tensor.astype(np.float32).view(np.uint32).ravel() >> 20, minlength=4096)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MEASURED)
def test_histograms_in_the_event_file(mode, form, trained):
    """Weights before the update, the gradient, and dW, of every update: one Event for each."""
    run = trained(mode, form)
    # What NumPy makes of the float32 numbers: dW is rounded once more in float64.
    changes = [
        a.astype("f4") - b.astype("f4")
        for a, b in zip(run.stores["after"], run.stores["before"], strict=True)
    ]
    stores = run.stores | {"updates": changes}
    # The nested model has a layer of the same name.
    names = [f"{p}_1" if p in run.paths[:at] else p for at, p in enumerate(run.paths)]
    wanted = {"weights": "before", "biases": "before", "gradients": "gradient"}
    steps, compared = [], 0
    for event in events(run.log_dir):
        if event.step:
            steps.append(event.step)
        for value in event.summary.value:
            group, _, name = value.tag.partition("/")
            if group not in (*wanted, "updates"):
                continue
            tensors = stores[wanted.get(group, group)][names.index(name)]
            want = to_rows(_counts(tensors[event.step - 1]))
            got = np.frombuffer(value.tensor.tensor_content, np.float32).reshape(-1, 3)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)
            compared += 1
    assert steps == [*range(1, UPDATES + 1), UPDATES], "one Event per sample, and one for the end"
    assert compared == 3 * len(names) * UPDATES


OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "clipnorm": lambda: SGD(0.1, clipnorm=1e-3),
    "weight_decay": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1),
    "static_loss_scale": lambda: SGD(0.1, loss_scale_factor=64.0),
    "ema": lambda: SGD(0.1, use_ema=True, ema_overwrite_frequency=3),
    "float_schedule": lambda: SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, tmp_path):
    """The gradient is unscaled and not yet clipped; the update is what really changed."""
    keras.utils.set_random_seed(3)
    model = truth_model(*_network(), UPDATES)
    model.compile(OPTIMIZERS[name](), LOSS, jit_compile=False)
    records = _fit(model, tmp_path, **VARIABLES)
    compare(records, expected(model))
    # An update that overwrote the weights by their average is recorded, and not judged.
    overwrites = [record.step for record in records if not record.judged]
    assert overwrites == ([3, 6, 9] if name == "ema" else [])


@pytest.mark.parametrize("mode", ["graph", "eager", "xla_steps_per_execution"])
def test_gradient_accumulation(mode, tmp_path):
    """One record per real update, with the mean gradient of its micro-batches."""
    keras.utils.set_random_seed(3)
    model = truth_model(*_network(), UPDATES)
    model.compile(
        Adam(1e-2, gradient_accumulation_steps=4), LOSS, **{"jit_compile": False, **MODES[mode]}
    )
    records = _fit(model, tmp_path, **VARIABLES)
    assert [record.step for record in records] == [1, 2]
    compare(records, expected(model, accumulation=4))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_mixed_float16_with_skipped_updates(jit_compile, tmp_path):
    """Loss scale removed; an update that the loss-scaling optimizer skips makes no record."""
    keras.utils.set_random_seed(3)
    with (
        keras.DTypePolicyScope("mixed_float16")
        if hasattr(keras, "DTypePolicyScope")
        else _policy("mixed_float16")
    ):
        model = truth_model(*_network(), UPDATES)
    # A scale that overflows float16 at first: the optimizer halves it until gradients are finite.
    optimizer = keras.optimizers.LossScaleOptimizer(Adam(1e-2), initial_scale=2.0**17)
    model.compile(optimizer, LOSS, jit_compile=jit_compile)
    records = _fit(model, tmp_path, **VARIABLES)
    truths = expected(model)
    assert 1 <= len(truths) < UPDATES, "the test needs both skipped and real updates"
    compare(records, truths)
    assert all(record.loss_scale < 2.0**17 for record in records)
    assert int(optimizer.inner_optimizer.iterations.numpy()) == len(records)


class _policy:
    """A dtype policy for a while."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.old = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.name)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self.old)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_variable_dtypes(dtype, tmp_path):
    """Half precision is cast up, double precision keeps its small changes."""
    keras.utils.set_random_seed(3)
    inputs = L.Input((8, 8, 1), dtype=dtype)
    x = L.Flatten()(inputs)
    outputs = L.Dense(3, dtype=dtype, name="out")(L.Dense(5, dtype=dtype, name="hidden")(x))
    model = truth_model(inputs, outputs, UPDATES)
    model.compile(SGD(1e-2), LOSS, jit_compile=False)
    records = _fit(model, tmp_path, **VARIABLES)
    assert records[0].layout.variables[0].dtype == dtype
    compare(records, expected(model))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_embedding_gradients(jit_compile, tmp_path):
    """Sparse gradients: rows that a batch names twice are added up before the norm is taken."""
    keras.utils.set_random_seed(3)
    inputs = L.Input((6,), dtype="int32")
    x = L.GlobalAveragePooling1D()(L.Embedding(50, 4, name="tokens")(inputs))
    model = truth_model(inputs, L.Dense(3, name="out")(x), UPDATES)
    model.compile(SGD(0.5), LOSS, jit_compile=jit_compile)
    recorder = Recorder()
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (UPDATES * 8, 6))  # 48 draws of 20 tokens: many repeats
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder], **VARIABLES)
    model.fit(x, _data()[1], batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    compare(recorder.records, expected(model))
    assert recorder.records[0].quantity("gradient_zero_fraction")[0] >= 30 / 50


@pytest.mark.parametrize("mode", ["graph", "eager", "xla"])
def test_the_standard_training_step(mode, tmp_path):
    """Against a GradientTape loop outside of Keras: same weights, same data, same optimizer."""

    def build():
        keras.utils.set_random_seed(5)
        inputs, outputs = _network()
        return keras.Model(inputs, outputs)

    watched, by_hand = build(), build()
    watched.compile(SGD(0.05, momentum=0.9), LOSS, **{"jit_compile": False, **MODES[mode]})
    records = _fit(watched, tmp_path, **VARIABLES)
    optimizer = SGD(0.05, momentum=0.9)
    x, y = _data()
    for number, record in enumerate(records):
        batch = slice(number * 8, number * 8 + 8)
        with tf.GradientTape() as tape:
            loss = LOSS(y[batch], by_hand(x[batch], training=True))
        variables = by_hand.trainable_variables
        gradients = tape.gradient(loss, variables)
        before = [v.numpy().astype(np.float64) for v in variables]
        optimizer.apply(gradients, variables)
        norms = [np.linalg.norm(g.numpy().astype(np.float64)) for g in gradients]
        changes = [
            np.linalg.norm(v.numpy().astype(np.float64) - b)
            for v, b in zip(variables, before, strict=True)
        ]
        # Two runs of a net drift apart by rounding, so the first update is held to 1e-5 and the
        # later ones to what nine updates may add.
        rtol = 1e-5 if number == 0 else 2e-4
        floor = 1e-6 * max(norms)  # a bias before batch normalisation has a gradient of noise
        np.testing.assert_allclose(record.quantity("gradient_norm"), norms, rtol, floor)
        np.testing.assert_allclose(record.quantity("update_norm"), changes, rtol, floor)
        np.testing.assert_allclose(record.loss, float(loss), 1e-4)
        np.testing.assert_allclose(
            record.global_gradient_norm, np.sqrt(np.sum(np.square(norms))), rtol
        )


def test_window_change_spans_unsampled_updates(tmp_path):
    """With every third update sampled, it compares the weights of two samples."""
    keras.utils.set_random_seed(3)
    model = truth_model(*_network(), UPDATES)
    model.compile(SGD(0.1), LOSS, jit_compile=False)
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=3, histogram_freq=0, detectors=[recorder])
    x, y = _data()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[watch])
    assert [record.step for record in recorder.records] == [3, 6, 9]
    stores = vars(model)["truth"].stores["before"]
    for old, new, record in ((2, 5, recorder.records[1]), (5, 8, recorder.records[2])):
        for row, store in enumerate(stores):
            weights = store.numpy()
            change = np.sqrt(np.mean(np.square(weights[new] - weights[old])))
            floor = 1e-12 if weights[0].any() else 1e-3
            scale = max(*(np.sqrt(np.mean(np.square(weights[at]))) for at in (0, new)), floor)
            np.testing.assert_allclose(record.quantity("window_change")[row], change / scale, 1e-5)


def test_learning_rate_and_loss_of_the_update(tmp_path):
    """The rate is the schedule's at this update, the loss that of this batch, not a mean."""
    keras.utils.set_random_seed(3)
    model = keras.Model(*_network())
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model.compile(SGD(schedule), LOSS, jit_compile=False)
    initial = [v.numpy() for v in model.variables]
    records = _fit(model, tmp_path, **VARIABLES)
    rates = [record.learning_rate for record in records]
    np.testing.assert_allclose(rates, 0.1 * 0.5 ** np.arange(UPDATES), 1e-6)
    for variable, value in zip(model.variables, initial, strict=True):
        variable.assign(value)
    x, y = _data()
    first = float(LOSS(y[:8], model(x[:8], training=True)))
    np.testing.assert_allclose(records[0].loss, first, 1e-5)
