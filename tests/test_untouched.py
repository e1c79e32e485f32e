"""Promise: the training is untouched, and nothing of tbwatch stays behind."""

import copy

import keras
import numpy as np
import pytest

import tbwatch
from tests.nets import L, convnet, fit, tags

MODES = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 3},
}


def _state(model):
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]]


def _is_plain(model):
    """Whether neither the model nor its optimizer carries anything of ours."""
    optimizer = model.optimizer
    return (
        "apply" not in vars(optimizer)
        and "scale_loss" not in vars(optimizer)
        and "make_train_function" not in vars(model)
        and model.train_function is None
        and _has_plain_layers(model)
    )


def _has_plain_layers(model):
    """Whether neither the model nor a layer calls a function of ours."""
    layers = [model, *model.layers]
    activations = [vars(layer).get("activation") for layer in layers]
    return not any("call" in vars(layer) for layer in layers) and all(
        activation is None or activation is getattr(keras.activations, activation.__name__)
        for activation in activations
    )


@pytest.mark.parametrize("mode", MODES)
def test_weights_are_bit_equal(mode, tmp_path):
    """Same seed, with and without Watch: every weight and optimizer variable is the same.

    Also where every activation is watched, before and after each activation function.
    """
    watched, plain = convnet(**MODES[mode]), convnet(**MODES[mode])
    watch = tbwatch.Watch(tmp_path, update_freq=1, activations=True)
    for model, callbacks in ((watched, [watch]), (plain, [])):
        fit(model, *callbacks, epochs=2, shuffle=True)
    a, b = _state(watched), _state(plain)
    assert len(a) == len(b)
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    assert tags(tmp_path), "the watched run recorded nothing, so the test compared nothing"


def test_no_variables_are_added_and_files_are_the_same(tmp_path):
    """A checkpoint in mid-training and the saved model hold what they hold without Watch."""
    sizes = {}
    for name, callbacks in (("plain", []), ("watched", [tbwatch.Watch(tmp_path / "logs")])):
        keras.utils.clear_session(free_memory=False)  # the names of layers are numbered
        model = convnet()
        path = tmp_path / f"{name}.{{epoch}}.keras"
        fit(model, *callbacks, keras.callbacks.ModelCheckpoint(path), epochs=2)
        model.export(tmp_path / f"{name}_export", verbose=False)
        loaded = keras.models.load_model(tmp_path / f"{name}.1.keras")
        sizes[name] = (
            [(v.path, v.shape) for v in [*loaded.variables, *loaded.optimizer.variables]],
            [w.tobytes() for w in loaded.get_weights()],
            sorted(
                str(p.relative_to(tmp_path / f"{name}_export"))
                for p in (tmp_path / f"{name}_export").rglob("*")
            ),
        )
    assert sizes["plain"] == sizes["watched"]


def test_nothing_is_left_after_fit(tmp_path):
    """After a fit, model and optimizer are as before, and a plain fit writes nothing."""
    model = convnet()
    fit(model, tbwatch.Watch(tmp_path))
    assert _is_plain(model)
    before = tags(tmp_path)
    fit(model)
    assert tags(tmp_path) == before


class _Raise(keras.callbacks.Callback):
    """Raises at the end (or begin) of the third batch."""

    def __init__(self, error, where):
        super().__init__()
        self.error, self.where = error, where

    def on_train_batch_begin(self, batch, logs=None):
        if self.where == "begin" and batch == 2:
            raise self.error

    def on_train_batch_end(self, batch, logs=None):
        if self.where == "end" and batch == 2:
            raise self.error


@pytest.mark.parametrize("where", ["begin", "end"])
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
@pytest.mark.parametrize("order", ["before", "after"])
def test_exception_in_another_callback(where, error, order, tmp_path):
    """The optimizer is clean at once, the step at the next fit; what was recorded is readable."""
    model = convnet()
    callbacks = [tbwatch.Watch(tmp_path), _Raise(error, where)]
    if order == "after":
        callbacks.reverse()
    with pytest.raises(type(error)):
        fit(model, *callbacks)
    assert "apply" not in vars(model.optimizer)
    assert _has_plain_layers(model)
    fit(model)  # plain: it must neither record nor fail
    model.train_on_batch(*[a[:8] for a in _batch()])
    assert "make_train_function" not in vars(model)
    steps = tags(tmp_path)["update_ratio/conv1/kernel"]
    assert set(steps) <= {1, 2, 3}
    assert {1, 2} <= set(steps)


def _batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 8)


class _FailingModel(keras.Sequential):
    """Raises in the training step of the third batch, when run eagerly."""

    calls = 0

    def train_step(self, data):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().train_step(data)


def test_exception_inside_the_step_detaches_at_once(tmp_path):
    """Ctrl-C within the training step leaves a plain model behind."""
    model = _FailingModel([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("sgd", "mse", run_eagerly=True)
    x, _ = _batch()
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            np.repeat(x, 4, 0), np.zeros((32, 3)), 8, verbose=0, callbacks=[tbwatch.Watch(tmp_path)]
        )
    assert _is_plain(model)


def test_a_users_own_apply_is_put_back(tmp_path):
    """An `apply` that the user has set on the instance is called, and is there afterwards."""
    model, calls = convnet(run_eagerly=True), []
    original = model.optimizer.apply

    def mine(grads, trainable_variables=None):
        calls.append(len(grads))
        original(grads, trainable_variables)

    model.optimizer.apply = mine
    fit(model, tbwatch.Watch(tmp_path), updates=2)
    assert model.optimizer.apply is mine
    assert calls == [6, 6]


class _LookInside(L.Layer):
    """Notes whether layers are replaced while they are called."""

    seen = ()

    def call(self, x):
        type(self).seen = [name for name in ("call", "activation") if name in vars(self)]
        return x


def test_layers_are_replaced_only_in_the_step(tmp_path):
    """In the step they are; in a callback of the same fit, and for `predict`, they are not."""
    model = keras.Sequential([L.Flatten(), _LookInside(), L.Dense(3, activation="relu")])
    model.compile("sgd", "mse", run_eagerly=True)
    activation = model.layers[-1].activation
    plain = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            plain.append(_has_plain_layers(model))
            assert model.layers[-1].activation is activation

    x, _ = _batch()
    model.fit(x, np.zeros((8, 3)), 2, verbose=0, callbacks=[tbwatch.Watch(tmp_path), Look()])
    assert _LookInside.seen == ["call"]
    assert plain == [True] * 4
    model.predict(x, verbose=0)
    assert _LookInside.seen == []


def test_logs_and_history_are_those_of_a_plain_fit(tmp_path):
    """What Keras reports does not depend on Watch."""
    watched = fit(convnet(metrics=["accuracy"]), tbwatch.Watch(tmp_path), epochs=2).history
    plain = fit(convnet(metrics=["accuracy"]), epochs=2).history
    assert copy.deepcopy(watched) == plain
