"""The routes of the tab, asked over HTTP of a real TensorBoard with both of its loaders."""

from __future__ import annotations

import urllib.error

import numpy as np
import pytest

from tbwatch import kernels
from tests.board import LOADERS, Server
from tests.tab_runs import (
    ALERTS,
    LOST_FROM,
    NAMES,
    ROOT,
    UPDATES,
    check_losses,
    refused,
    series,
    write_both,
)


@pytest.fixture(scope="module", name="log_dir")
def _log_dir(tmp_path_factory):
    top = tmp_path_factory.mktemp("logs")
    write_both(top)
    return top


@pytest.fixture(scope="module", params=LOADERS, name="server")
def _server(request, log_dir):
    server = Server(log_dir, request.param)
    complete = server.wait_for(
        lambda: [r["last_update"] for r in server.json(f"{ROOT}/runs")["runs"]] == [UPDATES] * 2
    )
    assert complete, server.json(f"{ROOT}/runs")
    yield server
    server.stop()


def test_the_tab_is_listed_and_active(server):
    found = server.json("/data/plugins_listing")["tbwatch"]
    assert found["tab_name"] == "Training health"
    assert found["enabled"]
    module = server.get(found["loading_mechanism"]["module_path"]).decode()
    assert "export async function render()" in module


def test_what_is_of_the_whole_run(server):
    """The loss, where it was reported, and the learning rate, each as one column."""
    run = server.json(f"{ROOT}/run", run="sick/tbwatch")
    named = [q["name"] for q in run["quantities"] if q["of"] == "run"]
    assert named == ["loss", "global_gradient_norm", "learning_rate"]
    check_losses(*series(server, "sick/tbwatch", "loss"))
    _, rates = series(server, "healthy/tbwatch", "learning_rate")
    np.testing.assert_array_equal(rates[:, 0], np.arange(1, UPDATES + 1) / 8)


def test_runs_are_listed_with_what_was_found(server):
    """Causes are counted: what was raised, and what holds."""
    healthy, sick = server.json(f"{ROOT}/runs")["runs"]
    none = {"info": 0, "warning": 0, "critical": 0}
    assert healthy == {
        "run": "healthy/tbwatch",
        "name": "healthy",
        "last_update": UPDATES,
        "raised": none,
        "holding": none,
    }
    assert sick["raised"] == {"info": 0, "warning": 1, "critical": 1}
    assert sick["name"] == "sick"


def test_a_run_says_what_is_in_it(server):
    run = server.json(f"{ROOT}/run", run="sick/tbwatch")
    assert [variable["name"] for variable in run["variables"]] == list(NAMES)
    assert "update_ratio" in {q["name"] for q in run["quantities"]}
    assert run["alerts"] == [one.to_json() for one in ALERTS]
    assert run["problems"] == []


def test_a_series_holds_every_sample(server):
    """All 300 of them, where TensorBoard keeps 10 or 100 of a plugin by default."""
    head, values = series(server, "healthy/tbwatch", "update_ratio")
    assert head["steps"] == list(range(1, UPDATES + 1))
    steps = np.arange(1, UPDATES + 1)[:, None]
    np.testing.assert_allclose(values, 10.0 ** -(np.arange(3) + steps / UPDATES), rtol=1e-6)


def test_what_is_not_finite_is_told_from_what_is_missing(server):
    """The ratio of lost weights is infinite, that of weights nobody knows stays NaN."""
    _, values = series(server, "sick/tbwatch", "update_ratio")
    assert np.isfinite(values[: LOST_FROM - 1]).all()
    lost = values[LOST_FROM - 1 :]
    assert np.isposinf(lost[:, [0, 2]]).all()
    assert np.isnan(lost[:, 1]).all()


def test_histograms_of_a_variable(server):
    found = server.json(f"{ROOT}/histograms", run="healthy/tbwatch", variable="conv1/kernel")
    assert list(found) == ["weights"]
    assert found["weights"]["steps"] == [1, 101, 201]
    assert [sum(row[2] for row in rows) for rows in found["weights"]["rows"]] == [1, 101, 201]
    none = server.json(f"{ROOT}/histograms", run="healthy/tbwatch", variable="out/kernel")
    assert none == {}


def test_gradients_by_magnitude(server):
    """A variable's own row, at the updates with histograms; nothing for one without."""
    asked = {"run": "healthy/tbwatch", "variable": "conv1/bias"}
    found = server.json(f"{ROOT}/magnitudes", **asked)
    assert (found["steps"], found["lowest"]) == ([1, 101, 201], -50)
    want = [0.0] * 64
    want[0], want[51] = 2.0, 5.0  # two zeros, and five ones: 2^0 is 50 behind the lowest
    assert found["counts"] == [want] * 3
    none = server.json(f"{ROOT}/magnitudes", run="sick/tbwatch", variable="conv1/bias")
    assert none["steps"] == []


def test_pictures_of_a_layer(server):
    asked = {"run": "healthy/tbwatch", "layer": "conv1"}
    assert server.json(f"{ROOT}/pictures", **asked)["steps"] == [1, 101, 201]
    png = server.get(f"{ROOT}/picture", **asked, step=101)
    grid = kernels.put_kernels_on_grid(np.full((2, 2, 1, 4), 101, np.float32))
    assert png == kernels.to_png(grid)
    assert server.json(f"{ROOT}/pictures", run="sick/tbwatch", layer="conv1")["steps"] == []


def test_what_does_not_exist_is_refused_with_a_sentence(server):
    code, sentence = refused(server, "run", run="nowhere")
    assert code == 404
    assert "'nowhere'" in sentence
    assert "healthy/tbwatch, sick/tbwatch" in sentence
    code, sentence = refused(server, "series", run="sick/tbwatch", quantity="epoch")
    assert code == 404
    assert "update_ratio" in sentence
    code, sentence = refused(server, "picture", run="healthy/tbwatch", layer="conv1", step=7)
    assert code == 404
    assert "update 7" in sentence


def test_what_was_not_asked_right_is_refused_with_a_sentence(server):
    assert refused(server, "run") == (400, "Invalid argument: the address lacks run=...")
    code, sentence = refused(server, "picture", run="healthy/tbwatch", layer="conv1", step="-1")
    assert code == 400
    assert "'-1'" in sentence


def test_static_files_lead_nowhere_else(server):
    assert b"--critical" in server.get(f"{ROOT}/static/style.css")
    for name in ("none.js", "..%2Fplugin.py", "%2E%2E%2Fplugin.py"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.get(f"{ROOT}/static/{name}")
        assert caught.value.code == 404


def test_behind_a_path_prefix(log_dir):
    server = Server(log_dir, "false", "--path_prefix=/boards/mine")
    try:
        assert server.url.endswith("/boards/mine")
        runs = server.wait_for(lambda: server.json(f"{ROOT}/runs")["runs"])
        assert {run["name"] for run in runs} == {"healthy", "sick"}
        listed = server.json("/data/plugins_listing")["tbwatch"]["loading_mechanism"]
        assert listed["module_path"].endswith(f"{ROOT}/static/index.js")
    finally:
        server.stop()


def test_the_users_own_number_of_samples_wins(log_dir):
    server = Server(log_dir, "false", "--samples_per_plugin=tbwatch=20")
    try:
        server.wait_for(lambda: len(server.json(f"{ROOT}/runs")["runs"]) == 2)
        head, _ = server.wait_for(
            lambda: (
                found
                if (found := series(server, "healthy/tbwatch", "update_ratio"))[0]["steps"][-1]
                == UPDATES
                else None
            )
        )
        assert head["rows"] == 20
    finally:
        server.stop()


def test_without_tensorflow(log_dir):
    """TensorBoard runs without it, and so does the tab."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
        "from tensorboard.main import run_main; run_main()"
    )
    server = Server(log_dir, "false", fresh=("-c", code))
    try:
        server.wait_for(lambda: len(server.json(f"{ROOT}/runs")["runs"]) == 2)
        head, _ = series(server, "sick/tbwatch", "gradient_norm")
        assert head["columns"] == 3
    finally:
        server.stop()
