"""What Keras saves of a watched training, and a training that is killed and resumed."""

import keras
import numpy as np
import pytest

import tbwatch
from tbwatch.reader import read_run
from tests.nets import convnet, fit

MODES = {
    "graph": {},
    "xla": {"jit_compile": True},
    "eager, steps_per_execution": {"run_eagerly": True, "steps_per_execution": 3},
}


class _Raise(keras.callbacks.Callback):
    """Ends the training in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) == 21:
            raise RuntimeError("killed")


@pytest.mark.parametrize("order", ["watch last", "watch first"])
def test_a_resumed_run_goes_on(order, tmp_path):
    """A fresh model in the same directory: one growing series, dense again, and no alert."""
    watches = []

    def start(seed, *more):
        watches.append(tbwatch.Watch(tmp_path / "logs", histogram_freq=0))
        callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup"), watches[-1]]
        callbacks = callbacks if order == "watch last" else callbacks[::-1]
        model = convnet(seed)
        fit(model, *callbacks, *more, updates=8, epochs=8)
        return model

    with pytest.raises(RuntimeError, match="killed"):
        start(3, _Raise())
    model = start(99)
    assert int(model.optimizer.iterations.numpy()) == 64
    run = read_run(tmp_path / "logs")
    samples = [record for record in run.records if not record.is_last]
    # Not thinned out after 50 updates: it counts from the resumption, after epoch 2.
    steps = [record.step for record in samples]
    assert steps == list(range(1, 65))
    assert [record.step for record in run.records if record.is_first] == [1, 17]
    assert [record.epoch for record in samples] == [(step - 1) // 8 for step in steps]
    assert run.records[-1].is_last
    assert run.alerts == []
    assert all(watch.alerts == [] for watch in watches)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_saved_in_mid_training_is_the_same(mode, tmp_path):
    """Whole models and weights alone at the end of an epoch, and the exported model."""
    saved = {}
    for name in ("plain", "watched"):
        keras.utils.clear_session(free_memory=False)  # the names of layers are numbered
        watch = [tbwatch.Watch(tmp_path / "logs", update_freq=1)] if name == "watched" else []
        model, folder = convnet(**MODES[mode]), tmp_path / name
        save = keras.callbacks.ModelCheckpoint
        whole = save(folder / "{epoch}.keras")
        weights = save(folder / "{epoch}.weights.h5", save_weights_only=True)
        fit(model, *watch, whole, weights, updates=6, epochs=2)
        loaded = keras.models.load_model(folder / "1.keras")
        fresh = convnet(seed=9)
        fresh.load_weights(folder / "1.weights.h5")
        model.export(folder / "export", verbose=False)
        served = keras.layers.TFSMLayer(folder / "export", call_endpoint="serve")
        saved[name] = {
            "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
            "variables": [v.path for v in [*loaded.variables, *loaded.optimizer.variables]],
            "state": [v.numpy() for v in [*loaded.variables, *loaded.optimizer.variables]],
            "config": loaded.to_json(),
            "weights": fresh.get_weights(),
            "served": np.asarray(served(np.ones((2, 8, 8, 1), "float32"))),
        }
    plain, watched = saved["plain"], saved["watched"]
    assert plain["files"] == watched["files"]
    assert plain["variables"] == watched["variables"]
    assert plain["config"] == watched["config"]
    for kind in ("state", "weights", "served"):
        for a, b in zip(plain[kind], watched[kind], strict=True):
            np.testing.assert_array_equal(a, b, kind)
