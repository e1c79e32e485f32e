"""Models that nobody here wrote."""

import logging

import keras
import numpy as np
import pytest

import tbwatch
from tbwatch.testing import Recorder

# Small input, few updates: one of plain convolutions, one of depthwise ones with residuals.
MODELS = {
    "VGG16": {"input_shape": (32, 32, 3)},
    "MobileNetV2": {"input_shape": (32, 32, 3), "alpha": 0.35},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_trainable_variable_once(name, tmp_path, caplog):
    """Each is there exactly once, in forward order, with finite numbers, and nothing is said."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, classes=10, **MODELS[name])
    # Too small a rate for two updates to matter, and no slots: VGG16 alone has 34 M parameters.
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    recorder = Recorder()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 32, 32, 3)).astype("float32"), rng.integers(0, 10, 4)
    watch = tbwatch.Watch(tmp_path, detectors=[recorder], histogram_freq=0)
    with caplog.at_level(logging.INFO, "tbwatch"):
        model.fit(x, y, batch_size=2, verbose=0, callbacks=[watch])
    first = recorder.records[0]
    want = [variable.path.removeprefix(model.name + "/") for variable in model.trainable_variables]
    assert list(first.layout.names) == want
    assert len(set(want)) == len(want)
    assert [record.step for record in recorder.records] == [1, 2]
    for quantity in ("weight_norm", "gradient_norm", "update_norm", "update_ratio"):
        assert np.isfinite(first.quantity(quantity)).all(), quantity
    assert not caplog.records
