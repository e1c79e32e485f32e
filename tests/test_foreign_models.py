"""Models such as others write are watched as they are: names, numbers, and no word of ours."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tests import foreign
from tests.foreign import BATCH, UPDATES

# In graph mode all of them; eager and under XLA those that differ most in what they trace.
CASES = {
    "decoder": ["graph"],
    "vision_transformer": ["graph", "eager"],
    "unet": ["graph"],
    "autoencoder": ["graph", "xla"],
    "siamese": ["graph", "eager"],
    "text": ["graph", "eager"],
    "video": ["graph"],
    "graph_net": ["graph"],
    "gan": ["graph", "eager"],
    "diffusion": ["graph"],
    "distiller": ["graph"],
}
MODES = {
    "graph": {"jit_compile": False},
    "eager": {"jit_compile": False, "run_eagerly": True},
    "xla": {"jit_compile": True},
}


def _made(name, mode):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    return getattr(foreign, name)(**MODES[mode])


def _records(model, x, y, tmp_path):
    watch = tbwatch.Watch(tmp_path, activations=True)
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    model.fit(x, y, callbacks=[watch], **options)
    return [record for record in read_run(tmp_path).records if not record.is_last]


def _said(caplog):
    # TensorFlow itself warns of functions traced anew where many models are made in one process.
    return [record.getMessage() for record in caplog.records if record.name == "tbwatch"]


def _norms_by_hand(case, mode):
    """Loss and L2 norms of the gradients at the first batch, by a tape around the model."""
    x, y = tf.nest.map_structure(lambda a: tf.convert_to_tensor(a[:BATCH]), (case.x, case.y))

    def step():
        with tf.GradientTape() as tape:
            loss = case.loss(case.model, x, y)
        gradients = tape.gradient(loss, case.model.trainable_variables)
        return loss, [tf.convert_to_tensor(g) for g in gradients]

    # XLA draws other random numbers from the same seed.
    loss, gradients = (tf.function(step, jit_compile=True) if mode == "xla" else step)()
    return float(loss), [np.linalg.norm(g.numpy().astype(np.float64)) for g in gradients]


@pytest.mark.parametrize(("name", "mode"), [(n, m) for n, modes in CASES.items() for m in modes])
def test_watched_as_it_is(name, mode, tmp_path, caplog):
    """Every variable once, in forward order, finite, with the gradient of a hand-written tape."""
    case = _made(name, mode)
    with caplog.at_level(logging.WARNING, "tbwatch"):
        records = _records(case.model, case.x, case.y, tmp_path)
    assert [record.step for record in records] == list(range(1, UPDATES + 1))
    assert not _said(caplog)
    first = records[0]
    names = first.layout.names
    assert len(names) == len(set(names)) == len(case.model.trainable_variables)
    beginnings = [next(b for b in case.order if f"{n}/".startswith(f"{b}/")) for n in names]
    assert list(dict.fromkeys(beginnings)) == case.order
    given = np.array([n not in case.withheld for n in beginnings])
    for record in records:
        for quantity in ("weight_norm", "gradient_norm", "update_norm", "update_ratio"):
            finite = np.isfinite(record.quantity(quantity))
            assert (finite == (given | (quantity != "gradient_norm"))).all(), quantity
    assert (first.quantity("update_norm")[given] > 0).mean() > 0.8
    if case.loss is None:
        return
    loss, norms = _norms_by_hand(_made(name, mode), mode)
    assert first.loss == pytest.approx(loss, 1e-5)
    # A gradient that vanishes by symmetry, such as that of a key's bias, is rounding noise.
    np.testing.assert_allclose(first.quantity("gradient_norm"), norms, 1e-4, 1e-6 * max(norms))


@pytest.mark.parametrize("name", ["gan", "diffusion", "distiller"])
def test_a_net_that_another_optimizer_trains_or_none(name, tmp_path, caplog):
    """Its variables are listed once in the log, and their standing still is no fault."""
    case = _made(name, "graph")
    watch = tbwatch.Watch(tmp_path)
    with caplog.at_level(logging.INFO, "tbwatch"):
        case.model.fit(case.x, case.y, batch_size=BATCH, epochs=12, verbose=0, callbacks=[watch])
    (said,) = _said(caplog)
    assert "does not give these to model.optimizer" in said
    listed = said.rpartition(": ")[2].split(", ")
    last = read_run(tmp_path).records[-2]
    unknown = np.isnan(last.quantity("gradient_norm"))
    assert listed == [n for n, nan in zip(last.layout.names, unknown, strict=True) if nan]
    assert watch.alerts == []


def test_an_optimizer_that_the_training_step_never_calls(tmp_path, caplog):
    """A net that is compiled without its optimizers, as examples of GANs are: said in one line."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.own = keras.optimizers.SGD(0.1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x) - y))
            variables = self.trainable_variables
            self.own.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    model = Own()
    model.compile(jit_compile=False)
    model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0, callbacks=[tbwatch.Watch(tmp_path)])
    (said,) = _said(caplog)
    assert "the training step never called model.optimizer" in said
