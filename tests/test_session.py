"""Callbacks at work in real fits: schedules, combinations, models of all kinds."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

import tbwatch
from tbwatch import replicas, watched_training
from tbwatch.fit_hook import FitHook
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tests.nets import L, compile_, convnet, fit, images, scalars, tags


def _recorded(model, tmp_path, fits=1, **options):
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    for _ in range(fits):
        fit(model, watch, **options)
    return recorder.records


def _names(model, tmp_path):
    return _recorded(model, tmp_path, updates=2)[0].layout.names


@pytest.mark.parametrize("steps_per_execution", [1, 7])
@pytest.mark.parametrize("frequency", [1, 2, 5, "auto", "epoch"])
def test_every_due_update_is_sampled(frequency, steps_per_execution, tmp_path):
    """Not only the last one of an execution, and no other."""
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=frequency, detectors=[recorder], histogram_freq=0)
    fit(convnet(steps_per_execution=steps_per_execution), watch, updates=11, epochs=2)
    steps = [record.step for record in recorder.records]
    named = {"auto": list(range(1, 23)), "epoch": [11, 22]}
    assert steps == (
        named[frequency] if frequency in named else list(range(frequency, 23, frequency))
    )


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_histograms_at_ends_of_epochs_and_early(steps_per_execution, tmp_path):
    """`histogram_freq` counts epochs; within them the series 1, 2, 3, 4, 6, 8, 11, 16, ..."""
    watch = tbwatch.Watch(tmp_path, histogram_freq=2)
    fit(convnet(steps_per_execution=steps_per_execution), watch, updates=5, epochs=4)
    found = tags(tmp_path)
    want = [1, 2, 3, 4, 6, 8, 10, 11, 16, 20]
    for tag in ("weights/conv1/kernel", "biases/fc1/bias", "gradients/out/kernel", "kernels/conv1"):
        assert found[tag] == want, tag
    assert "weights/fc1/bias" not in found


def test_epoch_of_unknown_length(tmp_path):
    """With a generator, the first update after the first epoch stands in for its last one.

    Keras counts one more iteration per epoch when a generator runs dry, so the four updates of an
    epoch are 1-4, 6-9 and 11-14.
    """
    x, y = images(32)

    def batches():
        for start in range(0, 32, 8):
            yield x[start : start + 8], y[start : start + 8]

    signature = (tf.TensorSpec([None, 8, 8, 1]), tf.TensorSpec([None], tf.int64))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    watch = tbwatch.Watch(tmp_path, update_freq="epoch", histogram_freq=0)
    convnet().fit(dataset, epochs=3, verbose=0, callbacks=[watch])
    assert list(scalars(tmp_path, "training/loss")) == [6, 9, 14]


def test_the_end_of_an_epoch_with_skipped_updates(tmp_path):
    """Where the optimizer leaves updates out, the last one of an epoch is still its last."""
    keras.utils.set_random_seed(3)
    old = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3, name="out")])
    keras.config.set_dtype_policy(old)
    # The scale overflows float16, and is halved until it does not.
    inner = keras.optimizers.SGD(0.1)
    outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**20)
    compile_(model, optimizer=outer)
    done = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            done.append(int(inner.iterations.numpy()))

    recorder = Recorder()
    options = {"update_freq": "epoch", "histogram_freq": 0, "detectors": [recorder]}
    fit(model, tbwatch.Watch(tmp_path, **options), Count(), updates=12, epochs=3)
    assert 0 < done[0] < 12, "some were skipped"
    assert done[1:] == [done[0] + 12, done[0] + 24]
    assert [record.step for record in recorder.records] == done


def test_the_parts_one_by_one_make_the_series_of_watch(tmp_path):
    """Freely combined, the parts write the same tags at the same steps as Watch does."""
    parts = [
        tbwatch.GradientNorms(tmp_path / "parts"),
        tbwatch.WeightHistograms(tmp_path / "parts"),
        tbwatch.GradientHistograms(tmp_path / "parts"),
        tbwatch.UpdateHistograms(tmp_path / "parts"),
        tbwatch.ActivationHistograms(tmp_path / "parts"),
        tbwatch.KernelGrid(tmp_path / "parts"),
        tbwatch.DeadUpdateDetector(tmp_path / "parts"),
    ]
    fit(convnet(), *parts)
    fit(convnet(), tbwatch.Watch(tmp_path / "watch"))
    assert tags(tmp_path / "parts") == tags(tmp_path / "watch")
    assert len(list((tmp_path / "parts" / "tbwatch").iterdir())) == 1, (
        "one writer for one directory"
    )


def test_the_step_is_instrumented_once(tmp_path, monkeypatch):
    """However many callbacks are passed, one Capture attaches to the model."""
    attached = []
    original = FitHook.attach
    monkeypatch.setattr(
        FitHook, "attach", lambda self, *args: (attached.append(self), original(self, *args))[1]
    )
    fit(
        convnet(),
        tbwatch.Watch(tmp_path / "a"),
        tbwatch.GradientNorms(tmp_path / "b", update_freq=3),
        tbwatch.WeightHistograms(tmp_path / "c"),
    )
    assert len(attached) == 1
    assert tags(tmp_path / "b")["gradient_norm/conv1/kernel"] == [3, 6]
    assert "weights/conv1/kernel" not in tags(tmp_path / "b")
    assert "gradient_norm/conv1/kernel" not in tags(tmp_path / "c")


def test_gradient_norms_alone_need_no_copy_of_the_weights(tmp_path):
    """Without update statistics there is no snapshot, and no update quantity is made up."""
    recorder = tbwatch.GradientNorms(tmp_path)
    fit(convnet(), recorder)
    found = tags(tmp_path)
    assert found["gradient_norm/conv1/kernel"] == list(range(1, 9))
    assert not [tag for tag in found if tag.startswith("update_ratio/")]


def test_two_fits_with_one_callback_go_on(tmp_path):
    """The axis is the optimizer's: a second fit continues it, also after evaluate and predict."""
    model, recorder = convnet(), Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    fit(model, watch, updates=4)
    x, y = images(8)
    model.evaluate(x, y, verbose=0, callbacks=[watch])
    model.predict(x, verbose=0)
    fit(model, watch, updates=4, validation_data=(x, y))
    assert [record.step for record in recorder.records] == list(range(1, 9))
    first, second = recorder.records[0], recorder.records[4]
    assert first.layout.initial_rms.tolist() == second.layout.initial_rms.tolist()
    assert set(tags(tmp_path)["update_ratio/out/kernel"]) == set(range(1, 9))


def test_one_callback_with_two_models(tmp_path):
    """For another model everything begins anew."""
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    fit(convnet(seed=1), watch, updates=3)
    fit(convnet(seed=2), watch, updates=3)
    assert [record.step for record in recorder.records] == [1, 2, 3]
    assert watch.alerts == []


def test_nested_shared_and_same_named_layers(tmp_path):
    """Each trainable variable once, in forward order, with a name of its own."""
    inner_in = L.Input((6, 6, 4))
    inner = keras.Model(inner_in, L.Conv2D(3, 3, name="conv")(inner_in), name="inner")

    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.conv, self.inner, self.flat = L.Conv2D(4, 3, name="conv"), inner, L.Flatten()
            self.shared = L.Dense(4, name="shared")
            self.twins = [keras.Sequential([L.Dense(2, name="twin")], name="b") for _ in range(2)]
            self.out = L.Dense(3, name="out")

        def call(self, x):
            x = self.conv(x)
            x = self.flat(self.inner(self.shared(x) + self.shared(2 * x)))
            return self.out(keras.ops.concatenate([twin(x) for twin in self.twins], axis=-1))

    model = compile_(Net())
    names = _names(model, tmp_path)
    assert len(names) == len(set(names)) == len(model.trainable_variables) == 12
    assert names[:2] == ("conv/kernel", "conv/bias")
    assert [name for name in names if "twin" in name] == [
        "b/twin/kernel",
        "b/twin/bias",
        "b/twin/kernel_1",
        "b/twin/bias_1",
    ]


class _Subclassed(keras.Model):
    """Built only when the first batch arrives."""

    def __init__(self):
        super().__init__(name="mine")
        self.hidden = L.Dense(5, activation="relu", name="hidden")
        self.flat, self.out = L.Flatten(), L.Dense(3, name="out")

    def call(self, x):
        return self.out(self.hidden(self.flat(x)))


@pytest.mark.parametrize("mode", [{}, {"run_eagerly": True}, {"steps_per_execution": 3}])
def test_a_model_that_is_not_built_yet(mode, tmp_path):
    """The first update is seen too, with the weights as they were initialised."""
    keras.utils.set_random_seed(0)
    model = compile_(_Subclassed(), **mode)
    records = _recorded(model, tmp_path, updates=4)
    assert [record.step for record in records] == [1, 2, 3, 4]
    assert records[0].layout.names == ("hidden/kernel", "hidden/bias", "out/kernel", "out/bias")
    keras.utils.set_random_seed(0)
    twin = _Subclassed()
    twin(images(8)[0])
    norms = [np.linalg.norm(np.asarray(v)) for v in twin.trainable_variables]
    np.testing.assert_allclose(records[0].quantity("weight_norm"), norms, 1e-6)


def test_none_gradients_and_frozen_layers(tmp_path, caplog):
    """No path to the loss is known exactly; what the user froze is listed, not watched."""
    inputs = L.Input((8, 8, 1))
    x = L.Flatten()(inputs)
    base = L.Dense(4, name="base")
    head, aside = L.Dense(3, name="head"), L.Dense(2, name="aside")
    model = keras.Model(inputs, [head(base(x)), aside(x)])
    base.trainable = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", [loss, None], jit_compile=False)
    recorder = Recorder()
    with caplog.at_level(logging.INFO, "tbwatch"), pytest.warns(UserWarning, match="do not exist"):
        fit(model, tbwatch.Watch(tmp_path, detectors=[recorder]), updates=2)
    record = recorder.records[0]
    connected = {v.name: v.connected for v in record.layout.variables}
    assert connected == {
        "head/kernel": True,
        "head/bias": True,
        "aside/kernel": False,
        "aside/bias": False,
    }
    assert record.layout.frozen == ("base/kernel", "base/bias")
    assert "base/kernel" in caplog.text
    aside_row = record.layout.names.index("aside/kernel")
    assert np.isnan(record.quantity("gradient_norm")[aside_row])
    assert record.quantity("update_norm")[aside_row] == 0


def test_a_model_without_trainable_variables(tmp_path, caplog):
    """It trains, and says once that there is nothing to watch."""
    model = keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    model.trainable = False
    compile_(model)
    with pytest.warns(UserWarning, match="trainable"):
        fit(model, tbwatch.Watch(tmp_path), epochs=2)
    said = [r.getMessage() for r in caplog.records if "tbwatch" in r.getMessage()]
    assert len(said) == 1
    assert "no trainable variables" in said[0]


def test_include_and_exclude(tmp_path):
    """Only the selected variables are watched; the global norm still covers all."""
    recorder = Recorder()
    watch = tbwatch.Watch(
        tmp_path, detectors=[recorder], include=["conv1", "out/*"], exclude="*/bias"
    )
    fit(convnet(), watch)
    everything = Recorder()
    fit(convnet(), tbwatch.Watch(tmp_path / "all", detectors=[everything]))
    assert recorder.records[0].layout.names == ("conv1/kernel", "out/kernel")
    np.testing.assert_allclose(
        recorder.records[0].global_gradient_norm, everything.records[0].global_gradient_norm, 1e-6
    )
    assert "gradient_norm/conv1/bias" not in tags(tmp_path / "tbwatch")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"include": "convv*"}, "'convv\\*' matches no variable"),
        ({"exclude": ["*/bias", "nothing"]}, "'nothing' matches no variable"),
        ({"include": lambda name: False}, "leave no variable"),
        ({"kernels": "nowhere"}, "'nowhere', which does not exist; .*conv1"),
        ({"kernels": "fc1"}, "'fc1', which has no kernel with four axes"),
    ],
)
def test_patterns_that_match_nothing(options, says, tmp_path):
    """A wrong pattern ends the run before the first update, in one sentence, and cleanly."""
    model = convnet()
    before = model.get_weights()
    with pytest.raises(ValueError, match=says):
        fit(model, tbwatch.Watch(tmp_path, **options))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    fit(model)


def test_a_failure_of_ours_is_reported_once(tmp_path, caplog):
    """A detector that raises at every record is named once, and the training goes on."""

    class Broken(Recorder):
        def update(self, record):
            raise ZeroDivisionError("mine")

    history = fit(convnet(), tbwatch.Watch(tmp_path, detectors=[Broken()]))
    assert len(history.history["loss"]) == 1
    said = [r.getMessage() for r in caplog.records if "mine" in r.getMessage()]
    assert len(said) == 1
    assert "the others go on" in said[0]
    assert tags(tmp_path)["gradient_norm/conv1/kernel"], "the other parts still write"


def test_a_failure_inside_the_step_switches_sampling_off(tmp_path, caplog, monkeypatch):
    """If our part of the step cannot be traced, the training is traced without it."""
    monkeypatch.setattr(
        watched_training.Sampler,
        "around",
        lambda *a, **k: (_ for _ in ()).throw(TypeError("odd layer")),
    )
    watched, plain = convnet(), convnet()
    fit(watched, tbwatch.Watch(tmp_path))
    fit(plain)
    assert all(
        (a == b).all() for a, b in zip(watched.get_weights(), plain.get_weights(), strict=True)
    )
    assert len([r for r in caplog.records if "odd layer" in r.getMessage()]) == 1


def test_kernel_grid_shows_the_first_convolution_of_a_nested_model(tmp_path):
    """Found by itself, in a nested model too; both pictures are PNGs beside each other."""
    inner = keras.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3, name="stem")], name="backbone")
    inputs = L.Input((8, 8, 1))
    x = inner(L.Concatenate()([inputs, inputs, inputs]))
    model = compile_(keras.Model(inputs, L.Dense(3)(L.Flatten()(x))))
    fit(model, tbwatch.KernelGrid(tmp_path))
    names = [tag for tag in tags(tmp_path) if tag.startswith("kernels/")]
    assert [name.rpartition("/")[2] for name in names] == ["stem"]


def test_a_model_without_convolution_has_no_grid(tmp_path):
    """Nothing is drawn, and nothing is said."""
    model = compile_(keras.Sequential([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)]))
    fit(model, tbwatch.Watch(tmp_path))
    assert not [tag for tag in tags(tmp_path) if tag.startswith("kernels/")]


class _OnThirdBatch(keras.callbacks.Callback):
    """Does something to the model in the middle of a fit."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            self.action(self.model)


def _train_on_batch(model):
    x, y = images(8)
    model.train_on_batch(x, y)


@pytest.mark.parametrize(
    ("action", "extra"),
    [(_train_on_batch, 1), (lambda model: model.make_train_function(force=True), 0)],
)
def test_another_callback_rebuilds_the_step(action, extra, tmp_path):
    """The training goes on, and so does the watching."""
    model, recorder = convnet(), Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    fit(model, _OnThirdBatch(action), watch)
    assert int(model.optimizer.iterations.numpy()) == 8 + extra
    steps = [record.step for record in recorder.records]
    assert steps[:3] == [1, 2, 3]
    assert steps[-3:] == [6 + extra, 7 + extra, 8 + extra]


def test_a_model_compiled_anew_is_watched_from_its_first_update(tmp_path):
    """A fresh optimizer begins at 1, however long the model was trained before."""
    model = convnet()
    fit(model, updates=6)
    fit(model, tbwatch.Watch(tmp_path / "a"), updates=2)
    model.optimizer.iterations.assign(0)  # the same optimizer, wound back
    fit(model, tbwatch.Watch(tmp_path / "c"), updates=2)
    assert tags(tmp_path / "c")["training/loss"] == [1, 2]
    compile_(model, optimizer="sgd")
    recorder = Recorder()
    fit(model, tbwatch.Watch(tmp_path / "b", detectors=[recorder]), updates=4)
    assert tags(tmp_path / "a")["training/loss"] == [7, 8]
    assert [record.step for record in recorder.records] == [1, 2, 3, 4]


class Twice(keras.Sequential):
    """Applies its optimizer twice per batch."""

    def train_step(self, data):
        super().train_step(data)
        return super().train_step(data)


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_more_than_one_update_per_batch(steps_per_execution, tmp_path):
    """A training step may call the optimizer as often as it likes."""
    model = Twice([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    compile_(model, steps_per_execution=steps_per_execution)
    records = _recorded(model, tmp_path, updates=6)
    assert [record.step for record in records] == list(range(1, 13))


def test_the_same_callback_twice_is_one(tmp_path):
    """Passed twice, it judges and writes each record once."""
    recorder = Recorder()
    watch = tbwatch.Watch(tmp_path, update_freq=1, detectors=[recorder])
    fit(convnet(), watch, watch, updates=4)
    assert [record.step for record in recorder.records] == [1, 2, 3, 4]


def test_two_callbacks_on_one_directory(tmp_path):
    """Each tag has one value per step, and an alert that both raise is written once."""
    model = convnet()
    model.get_layer("fc1").bias.assign([-1e4] * 8)
    watches = [tbwatch.Watch(tmp_path) for _ in range(2)]
    fit(model, *watches, updates=30)
    assert len(watches[0].alerts) == len(watches[1].alerts) == 1
    for tag, steps in tags(tmp_path).items():
        assert len(steps) == len(set(steps)), tag
    assert len(read_run(tmp_path).alerts) == 1


def test_a_strategy_that_is_not_supported(tmp_path, caplog, monkeypatch):
    """`fit` goes on unwatched, and a warning says why; `attach` is refused with the same words."""
    monkeypatch.setattr(replicas, "refusal", lambda strategy: "XStrategy is not supported")
    model = convnet()
    fit(model, tbwatch.Watch(tmp_path), updates=2)
    assert int(model.optimizer.iterations) == 2
    (said,) = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert said == "tbwatch: nothing is watched: XStrategy is not supported."
    with pytest.raises(ValueError, match=r"cannot watch this: XStrategy is not supported\."):
        tbwatch.attach(model, tmp_path)
    assert not tags(tmp_path)


@pytest.mark.parametrize(
    ("config", "warns"),
    [
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', True),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}', True),
        ('{"cluster": {"worker": ["a:1"]}}', False),
        ("{}", False),
        ("[3]", False),
        ("no JSON", False),
    ],
)
def test_fit_on_several_workers(config, warns, tmp_path, caplog, monkeypatch):
    """Keras fails there before it asks a callback, so the hint comes with the construction."""
    monkeypatch.setenv("TF_CONFIG", config)
    tbwatch.Watch(tmp_path)
    said = [r.getMessage() for r in caplog.records if r.name == "tbwatch"]
    assert len(said) == warns
    assert all("tbwatch.attach" in message for message in said)
    caplog.clear()
    tbwatch.attach(convnet(), tmp_path).close()
    assert not caplog.records


@pytest.mark.parametrize("steps_per_execution", [2, 3])
def test_epoch_of_unknown_length_in_executions_of_several(steps_per_execution, tmp_path):
    """The last update of each epoch is found once its length is known."""
    x, y = images(56)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    dataset = dataset.filter(lambda *_: True)  # hides that there are 7 batches
    watch = tbwatch.Watch(tmp_path, update_freq="epoch", histogram_freq=0)
    convnet(steps_per_execution=steps_per_execution).fit(
        dataset, epochs=4, verbose=0, callbacks=[watch]
    )
    assert list(scalars(tmp_path, "training/loss")) == [8, 14, 21, 28]


def test_epochs_of_zero(tmp_path, caplog):
    """Nothing to do is nothing to say."""
    fit(convnet(), tbwatch.Watch(tmp_path), epochs=0)
    assert not caplog.records


def test_trainable_changed_without_compile(tmp_path, caplog):
    """Watching needs a new trace, which follows the flags: the user is told of the difference."""
    model = convnet()
    fit(model)
    fit(model, tbwatch.Watch(tmp_path))
    assert not caplog.records
    fit(model)
    model.get_layer("fc1").trainable = False
    fit(model, tbwatch.Watch(tmp_path))
    (said,) = [record.getMessage() for record in caplog.records]
    assert "training the 6 variables it trained before" in said
    assert "the 4 variables with trainable=True" in said
    compile_(model)
    caplog.clear()
    fit(model, tbwatch.Watch(tmp_path))
    assert not caplog.records


class NoOptimizer(keras.Sequential):
    """Trains nothing, and has no optimizer to do it with."""

    def train_step(self, data):
        return {"loss": tf.constant(0.5)}


def test_a_model_without_an_optimizer(tmp_path, caplog):
    """It runs, and one line says that nothing is watched."""
    model = NoOptimizer([L.Input((8, 8, 1)), L.Flatten(), L.Dense(3)])
    model.compile(optimizer=None, loss="mse")
    fit(model, tbwatch.Watch(tmp_path))
    assert [r.getMessage() for r in caplog.records] == [
        "tbwatch: nothing is watched: the model has no optimizer."
    ]
