"""Custom training loops: what is recorded is what the optimizer was handed."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tbwatch.watched_training import WatchedTraining
from tests.nets import L, tags

UPDATES = 6
MODES = {
    "eager": lambda step: step,
    "graph": tf.function,
    "xla": lambda step: tf.function(step, jit_compile=True),
}


def _net(seed=3, **options):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [L.Input((4,)), L.Dense(5, activation="relu", name="a"), L.Dense(2, name="b")], **options
    )


def _data():
    x = np.random.default_rng(0).normal(size=(UPDATES, 8, 4)).astype("float32")
    return x, np.stack([x.sum(2), x[..., 0]], axis=2)


def _make_step(model, optimizer, clip=None, variables=None):
    """A training step by hand that also returns the gradients it hands to the optimizer."""

    def step(x, y):
        mine = variables or model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, mine)
        if clip:
            gradients, _ = tf.clip_by_global_norm(gradients, clip)
        optimizer.apply(gradients, mine)
        return loss, gradients

    return step


def _norms(tensors):
    return [np.linalg.norm(np.asarray(t, np.float64)) for t in tensors]


def _run(step, watch, model):
    """Train; losses, norms of gradients and of changes, worked out beside the loop."""
    losses, gradients, changes = [], [], []
    for x, y in zip(*_data(), strict=True):
        before = [np.float64(v.numpy()) for v in model.trainable_variables]
        loss, grads = step(tf.constant(x), tf.constant(y))
        after = [np.float64(v.numpy()) for v in model.trainable_variables]
        losses.append(float(loss))
        gradients.append(_norms(grads))
        changes.append(_norms([a - b for a, b in zip(after, before, strict=True)]))
        if watch is not None:
            watch.step(loss=loss)
    return losses, gradients, changes


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_recorded_is_what_happened(mode, clip, tmp_path):
    """Norms, losses and steps equal those worked out beside the loop; clipping by hand shows."""
    model, optimizer, recorder = _net(), keras.optimizers.Adam(0.01), Recorder()
    step = MODES[mode](_make_step(model, optimizer, clip))
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        losses, gradients, changes = _run(step, watch, model)
    records = recorder.records[:UPDATES]
    assert [record.step for record in records] == list(range(1, UPDATES + 1))
    assert records[0].layout.names == ("a/kernel", "a/bias", "b/kernel", "b/bias")
    for record, loss, of_gradients, of_changes in zip(
        records, losses, gradients, changes, strict=True
    ):
        np.testing.assert_allclose(record.loss, loss, 1e-6)
        np.testing.assert_allclose(record.quantity("gradient_norm"), of_gradients, 1e-5)
        np.testing.assert_allclose(record.quantity("update_norm"), of_changes, 1e-5)
        np.testing.assert_allclose(
            record.global_gradient_norm, np.sqrt(np.sum(np.square(of_gradients))), 1e-5
        )
    if clip:
        assert max(record.global_gradient_norm for record in records) <= clip * (1 + 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_weights_are_bit_equal(mode, tmp_path):
    """Same seed, watched and not."""
    weights = []
    for watched in (True, False):
        model, optimizer = _net(), keras.optimizers.Adam(0.01)
        step = MODES[mode](_make_step(model, optimizer))
        if watched:
            with tbwatch.attach(model, tmp_path, optimizer=optimizer, update_freq=1) as watch:
                _run(step, watch, model)
        else:
            _run(step, None, model)
        weights.append([v.numpy() for v in [*model.variables, *optimizer.variables]])
    assert tags(tmp_path)["update_ratio/a/kernel"] == list(range(1, UPDATES + 1))
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


def test_activations_are_those_of_the_training_step(tmp_path):
    """Calls of the model between two steps, as for validation, are not taken for the step's."""
    model, optimizer, recorder = _net(), keras.optimizers.SGD(0.0), Recorder()
    step = _make_step(model, optimizer)
    x, y = _data()
    other = tf.constant(100 + x[0])
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        for batch in range(3):
            step(tf.constant(x[batch]), tf.constant(y[batch]))
            watch.step()
            model(other)
            model.predict(other, verbose=0)
    hidden = [np.maximum(x[at] @ model.get_weights()[0], 0) for at in range(3)]
    for record, expected in zip(recorder.records, hidden, strict=False):
        assert [a.name for a in record.layout.activations] == ["a", "b"]
        if record.activations:
            mean = record.activation("activation_mean")[0]
            assert mean == pytest.approx(expected.mean(), rel=1e-5)
    assert sum(bool(record.activations) for record in recorder.records) == 3


def test_an_optimizer_of_some_variables(tmp_path):
    """Only those that it gets are watched, in the order of the model, not as they are handed on."""
    model, optimizer, recorder = _net(), keras.optimizers.SGD(0.1), Recorder()
    kernel_a, _, kernel_b, _ = model.trainable_variables
    step = tf.function(_make_step(model, optimizer, variables=[kernel_b, kernel_a]))
    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        _, gradients, _ = _run(step, watch, model)
    assert recorder.records[0].layout.names == ("a/kernel", "b/kernel")
    of_b, of_a = gradients[0]
    np.testing.assert_allclose(recorder.records[0].quantity("gradient_norm"), [of_a, of_b], 1e-5)


def _gan():
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([L.Input((3,)), L.Dense(4, name="g1")], name="generator")
    critic = keras.Sequential([L.Input((4,)), L.Dense(1, name="d1")], name="critic")
    return generator, critic


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_two_models_and_two_optimizers(mode, tmp_path):
    """Each watch sees the updates of its own optimizer, and knows of the other one."""
    generator, critic = _gan()
    for_g, for_c = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)
    bce = keras.losses.BinaryCrossentropy(from_logits=True)

    def step(real, noise):
        with tf.GradientTape() as tape:
            made = generator(noise, training=True)
            loss_c = bce(tf.ones((8, 1)), critic(real, training=True))
            loss_c += bce(tf.zeros((8, 1)), critic(made, training=True))
        of_c = tape.gradient(loss_c, critic.trainable_variables)
        for_c.apply(of_c, critic.trainable_variables)
        with tf.GradientTape() as tape:
            loss_g = bce(tf.ones((8, 1)), critic(generator(noise, training=True), training=True))
        of_g = tape.gradient(loss_g, generator.trainable_variables)
        for_g.apply(of_g, generator.trainable_variables)
        return loss_g, loss_c, of_g, of_c

    step = MODES[mode](step)
    rng = np.random.default_rng(0)
    recorders = Recorder(), Recorder()
    expected = []
    with (
        tbwatch.attach(
            generator, tmp_path / "g", optimizer=for_g, update_freq=1, detectors=[recorders[0]]
        ) as watch_g,
        tbwatch.attach(
            critic, tmp_path / "c", optimizer=for_c, update_freq=1, detectors=[recorders[1]]
        ) as watch_c,
    ):
        for _ in range(4):
            noise = tf.constant(rng.normal(size=(8, 3)), tf.float32)
            real = tf.constant(rng.normal(size=(8, 4)), tf.float32)
            loss_g, loss_c, of_g, of_c = step(real, noise)
            expected.append((_norms(of_g), _norms(of_c), float(loss_g), float(loss_c)))
            watch_g.step(loss=loss_g)
            watch_c.step(loss=loss_c)
    for recorder, names, at in zip(
        recorders, [("g1/kernel", "g1/bias"), ("d1/kernel", "d1/bias")], (0, 1), strict=True
    ):
        records = [record for record in recorder.records if not record.is_last]
        assert [record.step for record in records] == [1, 2, 3, 4]
        assert records[0].layout.names == names
        assert records[0].layout.setup.optimizers == 2
        for record, numbers in zip(records, expected, strict=True):
            np.testing.assert_allclose(record.quantity("gradient_norm"), numbers[at], 1e-5)
            assert record.loss == pytest.approx(numbers[2 + at], rel=1e-6)


class _Gan(keras.Model):
    """Trains two nets in a step of its own; `compile` knows a third, unused optimizer."""

    def __init__(self):
        super().__init__()
        self.generator, self.critic = _gan()
        self.for_g, self.for_c = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1)

    def train_step(self, data):
        real, noise = data
        with tf.GradientTape(persistent=True) as tape:
            made = self.critic(self.generator(noise, training=True), training=True)
            loss_c = tf.reduce_mean(made) - tf.reduce_mean(self.critic(real, training=True))
            loss_g = -tf.reduce_mean(made)
        for net, loss, optimizer in (
            (self.critic, loss_c, self.for_c),
            (self.generator, loss_g, self.for_g),
        ):
            optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        return {"loss": loss_g}


def test_a_train_step_with_optimizers_of_its_own(tmp_path, caplog):
    """One `Watch` for each optimizer, in one `fit`; without them, the warning names the way."""
    gan = _Gan()
    gan.compile(jit_compile=False)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 4)), rng.normal(size=(32, 3))
    recorders = Recorder(), Recorder()
    watches = [
        tbwatch.Watch(tmp_path / name, optimizer=optimizer, update_freq=1, detectors=[recorder])
        for name, optimizer, recorder in zip("gc", (gan.for_g, gan.for_c), recorders, strict=True)
    ]
    gan.fit(x, y, batch_size=8, verbose=0, callbacks=watches)
    names = [recorder.records[0].layout.names for recorder in recorders]
    assert names == [
        ("generator/g1/kernel", "generator/g1/bias"),
        ("critic/d1/kernel", "critic/d1/bias"),
    ]
    for recorder in recorders:
        records = [record for record in recorder.records if not record.is_last]
        assert [record.step for record in records] == [1, 2, 3, 4]
        assert records[0].layout.setup.optimizers > 1
        assert np.isfinite([r.quantity("update_ratio") for r in records]).all()
    assert not vars(gan).keys() & {"make_train_function"}
    assert not caplog.records
    gan.fit(x, y, batch_size=8, verbose=0, callbacks=[tbwatch.Watch(tmp_path / "none")])
    (said,) = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert "hand that to Watch(optimizer=...)" in said


def test_a_function_that_was_traced_before(tmp_path, caplog):
    """It is not instrumented: said once, with the way out; nothing wrong is recorded."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = tf.function(_make_step(model, optimizer))
    _run(step, None, model)
    with tbwatch.attach(model, tmp_path, optimizer=optimizer) as watch:
        _run(step, watch, model)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert "wrap it with tf.function anew" in said
    assert tags(tmp_path) == {}


def test_nothing_is_left_but_operations_that_rest(tmp_path):
    """Closed, the optimizer and the layers are plain; the traced step trains on and writes nothing.

    A step that is traced anew is watched again.
    """
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    activation = model.layers[0].activation
    body = _make_step(model, optimizer)
    step = tf.function(body)
    with tbwatch.attach(model, tmp_path / "1", optimizer=optimizer, update_freq=1) as watch:
        assert "apply" in vars(optimizer)
        _run(step, watch, model)
    assert not vars(optimizer).keys() & {"apply", "scale_loss"}
    assert model.layers[0].activation is activation
    assert not any("call" in vars(layer) for layer in [model, *model.layers])
    written = tags(tmp_path / "1")
    weights = model.get_weights()
    _run(step, None, model)
    assert int(optimizer.iterations) == 2 * UPDATES
    assert any((a != b).any() for a, b in zip(weights, model.get_weights(), strict=True))
    assert tags(tmp_path / "1") == written
    with tbwatch.attach(model, tmp_path / "2", optimizer=optimizer, update_freq=1) as watch:
        _run(tf.function(body), watch, model)
    steps = [record.step for record in read_run(tmp_path / "2").records]
    assert steps[:UPDATES] == list(range(2 * UPDATES + 1, 3 * UPDATES + 1))


def test_a_flight_recorder_rests_too(tmp_path):
    """A step that goes on without its watch computes no norms for it."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = tf.function(_make_step(model, optimizer))
    options = {"optimizer": optimizer, "flight_recorder": 100}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        training = watch._session._training
        _run(step, watch, model)
        assert len(training.flight_log().steps) == UPDATES
    _run(step, None, model)
    assert int(optimizer.iterations) == 2 * UPDATES
    assert len(training.flight_log().steps) == UPDATES


def test_an_eager_loop_hears_its_own_step_only(tmp_path):
    """A pass on a tape for another purpose, after the update, is no part of the next step."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step, recorder = _make_step(model, optimizer), Recorder()
    x, y = map(tf.constant, (_data()[0][0], _data()[1][0]))
    options = {"optimizer": optimizer, "update_freq": 1, "detectors": [recorder]}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        for _ in range(3):
            mean = float(tf.reduce_mean(model.layers[0](x)))
            watch.step(loss=step(x, y))
            with tf.GradientTape() as tape:
                tape.watch(x)
                tf.reduce_sum(model(100.0 * x))
            taps = watch._session._capture._taps
            assert taps._heard
            watch.step()
            assert not taps._heard
            known = recorder.records[-1].activation("activation_mean")[0]
            np.testing.assert_allclose(known, mean, rtol=1e-5)


@pytest.mark.parametrize("order", ["first", "last"])
def test_two_watches_of_the_same_layers_leave_nothing(order, tmp_path):
    """Whichever is closed first, and the one that is left goes on."""
    model = _net()
    optimizers = [keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)]
    recorders = [Recorder(), Recorder()]
    watches = [
        tbwatch.attach(model, tmp_path / str(n), optimizer=o, update_freq=1, detectors=[r])
        for n, (o, r) in enumerate(zip(optimizers, recorders, strict=True))
    ]
    gone, kept = (0, 1) if order == "first" else (1, 0)
    heard = watches[gone]._session._capture._taps._heard
    watches[gone].close()
    _run(_make_step(model, optimizers[kept]), watches[kept], model)
    assert not heard
    watches[kept].close()
    assert [len(recorders[n].records) for n in (gone, kept)] == [0, UPDATES]
    assert recorders[kept].records[-1].activations
    assert not any("call" in vars(layer) for layer in [model, *model.layers])
    for each in optimizers:
        assert not vars(each).keys() & {"apply", "scale_loss"}


def test_an_eager_loop_asks_the_device_when_it_is_due(tmp_path, monkeypatch):
    """Not after each step: with every fifth update sampled, after every fifth."""
    asked, collect = [], WatchedTraining.collect
    monkeypatch.setattr(WatchedTraining, "collect", lambda self: asked.append(1) or collect(self))
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    recorder = Recorder()
    options = {"optimizer": optimizer, "update_freq": 5, "histogram_freq": 0}
    with tbwatch.attach(model, tmp_path, detectors=[recorder], **options) as watch:
        step, (x, y) = _make_step(model, optimizer), _data()
        for _ in range(40):
            step(tf.constant(x[0]), tf.constant(y[0]))
            watch.step()
    assert [record.step for record in recorder.records] == list(range(5, 41, 5))
    assert len(asked) <= 10


def test_an_exception_in_the_loop(tmp_path):
    """It passes; the optimizer is plain, and what was recorded is readable."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = _make_step(model, optimizer)
    x, y = _data()

    def loop():
        with tbwatch.attach(model, tmp_path, optimizer=optimizer, update_freq=1) as watch:
            for batch in range(3):
                step(tf.constant(x[batch]), tf.constant(y[batch]))
                watch.step()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert "apply" not in vars(optimizer)
    assert [r.step for r in read_run(tmp_path).records if not r.is_last] == [1, 2, 3]


def test_several_updates_in_one_call(tmp_path):
    """A loop inside of a tf.function: `updates_per_step` makes room for all of them."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = _make_step(model, optimizer)
    x, y = map(tf.constant, _data())

    @tf.function
    def several():
        for at in tf.range(UPDATES):
            step(x[at], y[at])

    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, updates_per_step=UPDATES, update_freq=1
    ) as watch:
        for _ in range(3):
            several()
            watch.step()
    steps = [record.step for record in read_run(tmp_path).records if not record.is_last]
    assert steps == list(range(1, 3 * UPDATES + 1))


def test_accumulation_and_loss_scaling(tmp_path):
    """Steps are real updates, and gradients those of the unscaled loss."""
    model, recorder = _net(), Recorder()
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
    expected = []

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss, gradients

    with tbwatch.attach(
        model, tmp_path, optimizer=optimizer, update_freq=1, detectors=[recorder]
    ) as watch:
        for x, y in zip(*_data(), strict=True):
            _, gradients = step(tf.constant(x), tf.constant(y))
            expected.append([g.numpy() / 64 for g in gradients])
            watch.step()
    records = [record for record in recorder.records if not record.is_last]
    assert [record.step for record in records] == [1, 2, 3]
    for at, record in enumerate(records):
        pair = zip(expected[2 * at], expected[2 * at + 1], strict=True)
        means = _norms([(a + b) / 2 for a, b in pair])
        np.testing.assert_allclose(record.quantity("gradient_norm"), means, 1e-5)
        assert record.loss_is_known  # `scale_loss` has seen it


class _Read:
    """A number that tells when it is read."""

    reads = 0

    def __float__(self):
        type(self).reads += 1
        return 1.5


def test_a_loss_is_read_only_where_it_is_sampled(tmp_path):
    """A tensor on a device would make the loop wait."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = tf.function(_make_step(model, optimizer))
    x, y = map(tf.constant, _data())
    options = {"optimizer": optimizer, "update_freq": 5, "histogram_freq": 0}
    with tbwatch.attach(model, tmp_path, **options) as watch:
        for _ in range(21):
            step(x[0], y[0])
            watch.step(loss=_Read())
    records = [record for record in read_run(tmp_path).records if not record.is_last]
    assert [(record.step, record.loss) for record in records] == [(s, 1.5) for s in (5, 10, 15, 20)]
    assert _Read.reads <= 2 * len(records)  # whether it is a number, and which


def test_epochs_alerts_and_stopping(tmp_path):
    """`end_epoch` counts epochs, alerts are there at once, and `should_stop` follows `stop_on`."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    heard: list[tbwatch.Alert] = []
    step = tf.function(_make_step(model, optimizer))
    x, y = map(tf.constant, _data())
    with tbwatch.attach(
        model,
        tmp_path,
        optimizer=optimizer,
        update_freq=1,
        stop_on="nonfinite",
        on_alert=heard.append,
    ) as watch:
        for _ in range(2):
            for at in range(UPDATES):
                step(x[at], y[at])
                watch.step()
            watch.end_epoch()
        assert not watch.should_stop
        step(x[0] * np.nan, y[0])
        watch.step()
        assert watch.should_stop
        assert [alert.diagnosis for alert in watch.alerts] == ["nonfinite"]
    assert heard == watch.alerts
    assert "nonfinite" in watch.report()
    epochs = [record.epoch for record in read_run(tmp_path).records if not record.is_last]
    assert epochs == [0] * UPDATES + [1] * UPDATES + [2]


def test_a_step_that_was_never_traced(tmp_path, caplog):
    """Nothing happened, so nothing is said; closing twice is closing once."""
    watch = tbwatch.attach(_net(), tmp_path, optimizer=keras.optimizers.SGD(0.1))
    watch.close()
    watch.close()
    watch.step()
    watch.end_epoch()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_arguments(tmp_path):
    """One sentence: what was given, what is allowed."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    with pytest.raises(TypeError, match=r"model must be a keras\.Model; got 3\."):
        tbwatch.attach(3, tmp_path)
    with pytest.raises(TypeError, match=r"optimizer must be a Keras optimizer, or None .*; got "):
        tbwatch.attach(model, tmp_path)
    with pytest.raises(TypeError, match=r"optimizer must be .*; got 'sgd'\."):
        tbwatch.attach(model, tmp_path, optimizer="sgd")
    with pytest.raises(TypeError, match=r"optimizer must be .*; got 'sgd'\."):
        tbwatch.Watch(tmp_path, optimizer="sgd")
    with pytest.raises(ValueError, match=r"updates_per_step must be an int of at least 1; got 0\."):
        tbwatch.attach(model, tmp_path, optimizer=optimizer, updates_per_step=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'freq'"):
        tbwatch.attach(model, tmp_path, optimizer=optimizer, freq=3)
    with (
        tbwatch.attach(model, tmp_path, optimizer=optimizer),
        pytest.raises(ValueError, match="optimizer is watched already"),
    ):
        tbwatch.attach(model, tmp_path, optimizer=optimizer)
    tbwatch.attach(model, tmp_path, optimizer=optimizer).close()


def test_a_pattern_that_matches_nothing(tmp_path):
    """Told as soon as the variables are known, as an error."""
    model, optimizer = _net(), keras.optimizers.SGD(0.1)
    step = _make_step(model, optimizer)
    x, y = map(tf.constant, _data())
    with (
        tbwatch.attach(model, tmp_path, optimizer=optimizer, include="conv*"),
        pytest.raises(ValueError, match=r"'conv\*' matches no variable; the model has: a/k"),
    ):
        step(x[0], y[0])
