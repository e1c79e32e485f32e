"""A real TensorBoard server, asked over HTTP, with both of its loaders."""

import html
import io
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

import tbwatch
from tbwatch.testing import Recorder
from tests.board import LOADERS, Server, slow_training
from tests.nets import convnet, fit

RUN = "run1/tbwatch"


@pytest.fixture(scope="module", name="recorded")
def _recorded(tmp_path_factory):
    """A log directory of one finished run with an alert, and the records behind it."""
    log_dir, recorder = tmp_path_factory.mktemp("logs"), Recorder()
    model = convnet()
    model.get_layer("fc1").bias.assign([-1e4] * 8)  # fc1 is dead, so conv1 has no gradient
    watch = tbwatch.Watch(log_dir / "run1", detectors=["zero_gradient", "dead_update", recorder])
    fit(model, watch, updates=30)
    return log_dir, recorder.records, watch.alerts


@pytest.fixture(scope="module", params=LOADERS, name="server")
def _server(request, recorded):
    server = Server(recorded[0], request.param, fresh=("-m", "tensorboard.main"))
    server.wait_for(lambda: RUN in server.json("/data/plugin/scalars/tags"))
    yield server
    server.stop()


def test_tags(server, recorded):
    """Groups by metric, names without the model's: one group each for what people look at."""
    names = recorded[1][0].layout.names
    kernels = {f"{layer}/kernel" for layer in ("conv1", "fc1", "out")}
    biases = {f"{layer}/bias" for layer in ("conv1", "fc1", "out")}
    assert set(names) == kernels | biases
    totals = ("global_gradient_norm", "learning_rate", "loss", "active_alerts", "dead_updates")
    assert set(server.json("/data/plugin/scalars/tags")[RUN]) == {
        *(f"gradient_norm/{name}" for name in names),
        *(f"update_ratio/{name}" for name in names),
        *(f"training/{name}" for name in totals),
    }
    assert set(server.json("/data/plugin/histograms/tags")[RUN]) == {
        *(f"activations/{layer}" for layer in ("conv1", "fc1", "out")),
        *(f"weights/{name}" for name in kernels),
        *(f"biases/{name}" for name in biases),
        *(f"gradients/{name}" for name in names),
        *(f"updates/{name}" for name in names),
    }
    assert set(server.json("/data/plugin/images/tags")[RUN]) == {"kernels/conv1"}
    assert server.json("/data/plugin/text/tags")[RUN] == ["alerts"]


def test_scalars(server, recorded):
    """Every value of a curve is that of the record."""
    points = server.wait_for(
        lambda: (
            p
            if len(p := server.json("/data/plugin/scalars/scalars", run=RUN, tag="training/loss"))
            == 30
            else None
        )
    )
    assert [step for _, step, _ in points] == list(range(1, 31))
    np.testing.assert_allclose([value for *_, value in points], [r.loss for r in recorded[1]], 1e-6)
    tag = "gradient_norm/out/bias"
    points = server.json("/data/plugin/scalars/scalars", run=RUN, tag=tag)
    row = recorded[1][0].layout.names.index("out/bias")
    want = [record.quantity("gradient_norm")[row] for record in recorded[1]]
    np.testing.assert_allclose([value for *_, value in points], want, 1e-6)


def test_histograms(server):
    """Rows of a histogram hold as many elements as the variable."""
    tag = "weights/fc1/kernel"
    points = server.wait_for(
        lambda: server.json("/data/plugin/histograms/histograms", run=RUN, tag=tag)
    )
    assert points[0][1] == 1
    rows = np.array(points[0][2])
    assert rows[:, 2].sum() == pytest.approx(144 * 8, rel=1e-5)
    limit = np.sqrt(6 / (144 + 8))  # Keras' default initializer is uniform within it
    assert rows[0, 0] == pytest.approx(-limit, rel=0.13)
    assert rows[-1, 1] == pytest.approx(limit, rel=0.13)


def test_kernel_pictures(server):
    """The picture is a PNG of two grids beside each other."""
    found = server.wait_for(
        lambda: server.json("/data/plugin/images/images", run=RUN, tag="kernels/conv1", sample=0)
    )
    assert found[0]["step"] == 1
    png = server.get("/data/plugin/images/individualImage", **dict(_pairs(found[0]["query"])))
    picture = Image.open(io.BytesIO(png))
    # Four filters in a grid of 2 x 2, twice side by side, and a bar between.
    assert picture.format == "PNG"
    assert 2 * picture.height < picture.width < 2.2 * picture.height


def _pairs(query):
    return urllib.parse.parse_qsl(query)


def test_alerts_as_text(server, recorded):
    """The alert is there in words, with its variable and remedy."""
    found = server.wait_for(lambda: server.json("/data/plugin/text/text", run=RUN, tag="alerts"))
    alert = recorded[2][0]
    assert alert.diagnosis == "zero_gradient"
    assert found[0]["step"] == alert.step
    for words in ("critical", "conv1/kernel", "zero_gradient", "No signal from the loss reaches"):
        assert words in html.unescape(found[0]["text"])
    assert "<table>" in found[0]["text"]


@pytest.mark.parametrize("load_fast", LOADERS)
def test_a_running_server_follows_a_running_fit(load_fast, tmp_path):
    """What is written appears while the process that trains is still alive."""
    training = slow_training(tmp_path / "run1", updates=300)
    server = Server(tmp_path, load_fast)
    try:
        ask = {"run": RUN, "tag": "training/loss"}
        counts = []
        for least in (1, 15):
            points = server.wait_for(
                lambda least=least: (
                    p
                    if len(p := server.json("/data/plugin/scalars/scalars", **ask)) >= least
                    else None
                ),
                seconds=60,
            )
            counts.append(len(points or []))
        assert training.poll() is None, "the training was over before the server was asked"
        assert counts[0] >= 1
        assert counts[1] > max(counts[0], 14)
    finally:
        training.kill()
        training.wait()
        server.stop()
