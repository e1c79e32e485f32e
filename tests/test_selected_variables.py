"""What of a model is watched in a real fit: frozen, unconnected and chosen variables, kernels."""

import logging

import keras
import numpy as np
import pytest

import tbwatch
from tbwatch.testing import Recorder
from tests.nets import L, compile_, convnet, fit, tags


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


SCALED = {"loss_scale_factor": 64, "gradient_accumulation_steps": 2}


@pytest.mark.parametrize("options", [{}, SCALED], ids=["plain", "scaled and accumulated"])
def test_include_and_exclude(options, tmp_path):
    """Only the selected variables are watched; the global norm still covers all."""

    def net():
        return convnet(optimizer=keras.optimizers.Adam(**options))

    recorder = Recorder()
    watch = tbwatch.Watch(
        tmp_path, detectors=[recorder], include=["conv1", "out/*"], exclude="*/bias"
    )
    fit(net(), watch)
    everything = Recorder()
    fit(net(), tbwatch.Watch(tmp_path / "all", detectors=[everything]))
    assert recorder.records[0].layout.names == ("conv1/kernel", "out/kernel")
    for some, every in zip(recorder.records, everything.records, strict=True):
        np.testing.assert_allclose(some.global_gradient_norm, every.global_gradient_norm, 1e-6)
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
