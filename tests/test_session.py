"""Callbacks at work in real fits: combined, used again, failing, or with nothing to watch."""

import numpy as np
import pytest

import tbwatch
from tbwatch import groups, replicas, sampler, watched_training
from tbwatch.fit_hook import FitHook
from tbwatch.reader import read_run
from tbwatch.testing import Recorder
from tests.nets import convnet, fit, images, tags


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


def test_gradient_norms_alone_need_no_copy_of_the_weights(tmp_path, monkeypatch):
    """Without update statistics there is no snapshot, and no update quantity is made up."""
    records, made = [], []

    class Norms(tbwatch.GradientNorms):
        def values(self, view):
            records.append(view.record)
            return super().values(view)

    def make_groups(*args, **options):
        made.extend(groups.make_groups(*args, **options))
        return made

    monkeypatch.setattr(sampler, "make_groups", make_groups)
    fit(convnet(), Norms(tmp_path))
    found = tags(tmp_path)
    assert found["gradient_norm/conv1/kernel"] == list(range(1, 9))
    assert not [tag for tag in found if tag.startswith("update_ratio/")]
    assert made
    assert all(group._copy is None for group in made)
    assert [record.step for record in records] == list(range(1, 9))
    for record in records:
        assert (record.quantity("gradient_norm") > 0).any()
        for name in ("update_norm", "update_ratio", "window_change"):
            assert np.isnan(record.quantity(name)).all()


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
