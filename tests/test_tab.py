"""The routes of the tab, asked over HTTP of a real TensorBoard with both of its loaders."""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
import sys
import types
import urllib.error

import numpy as np
import pytest
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

from tbwatch import kernels, summaries
from tbwatch.events import EventWriter
from tbwatch.tab.loader import SAMPLES, Loader
from tbwatch.tab.plugin import HealthPlugin
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert
from tests.board import LOADERS, Server, write_run

ROOT = "/data/plugin/tbwatch"
NAMES = ("conv1/kernel", "conv1/bias", "out/kernel")
UPDATES = 300
LOST_FROM = 250  # update at which the sick run's numbers are lost
UNKNOWN_AT = 7  # update whose loss nobody reported


def records(count=UPDATES, lost_from=None):
    """Ratios that differ in every cell."""
    layout = make_layout(*NAMES)
    for step in range(1, count + 1):
        ratios = 10.0 ** -(np.arange(3) + step / count)
        if lost_from and step >= lost_from:
            lost = {"update_norm": np.nan, "weight_nonfinite": [5.0, 0.0, 5.0], "loss": np.nan}
            yield make_record(step, layout, update_ratio=[np.nan] * 3, **lost)
        else:
            known = step != UNKNOWN_AT
            loss = {"loss": 2.0 / step if known else np.nan, "loss_is_known": known}
            yield make_record(step, layout, update_ratio=ratios, learning_rate=step / 8, **loss)


def pictures(record):
    """Of each 100th update a histogram and a picture."""
    if record.step % 100 == 1:
        counts = np.zeros(4096)
        counts[1016] = record.step  # of 1.0
        yield summaries.histogram("weights/conv1/kernel", counts)
        of_gradients = np.zeros((3, 4096))
        of_gradients[1, [0, 1016]] = [2, 5]
        yield summaries.packed_magnitudes(NAMES, of_gradients)
        grid = kernels.put_kernels_on_grid(np.full((2, 2, 1, 4), record.step, np.float32))
        yield summaries.image("kernels/conv1", kernels.to_png(grid), *grid.shape[:2])


def alert(diagnosis, variable, step, state="raised", severity="warning"):
    named = {"rule": diagnosis, "diagnosis": diagnosis, "variables": (variable,)}
    return make_alert(**named, step=step, state=state, severity=severity)


ALERTS = [
    alert("nonfinite", "conv1/kernel", LOST_FROM, severity="critical"),
    alert("dead_update", "out/kernel", 40),
    alert("dead_update", "out/kernel", 60, state="cleared"),
]


@pytest.fixture(scope="module", name="log_dir")
def _log_dir(tmp_path_factory):
    top = tmp_path_factory.mktemp("logs")
    write_run(top / "healthy", records(), values=pictures)
    write_run(top / "sick", records(lost_from=LOST_FROM), ALERTS)
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


def unpacked(content):
    """A packed series, by NumPy alone."""
    (length,) = struct.unpack_from("<I", content)
    head = json.loads(content[4 : 4 + length])
    values = np.frombuffer(content, "<f4", offset=4 + length)
    return head, values.reshape(head["rows"], head["columns"])


def series(server, run, quantity):
    return unpacked(server.get(f"{ROOT}/series", run=run, quantity=quantity))


def refused(server, path, **query):
    """Status and sentence of a request that cannot be answered."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.get(f"{ROOT}/{path}", **query)
    return caught.value.code, json.loads(caught.value.read())["error"]


def test_the_tab_is_listed_and_active(server):
    found = server.json("/data/plugins_listing")["tbwatch"]
    assert found["tab_name"] == "Training health"
    assert found["enabled"]
    module = server.get(found["loading_mechanism"]["module_path"]).decode()
    assert "export async function render()" in module


def check_losses(head, losses):
    """Those of the sick run, as they were written."""
    assert head["steps"] == list(range(1, UPDATES + 1))
    assert losses.shape == (UPDATES, 1)
    expected = 2.0 / np.arange(1, LOST_FROM)
    expected[UNKNOWN_AT - 1] = np.nan
    np.testing.assert_allclose(losses[: LOST_FROM - 1, 0], expected, rtol=1e-6)
    assert np.isposinf(losses[LOST_FROM - 1 :]).all(), "reported, and not finite"


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


@pytest.mark.parametrize("load_fast", LOADERS)
def test_an_empty_directory_and_a_run_that_begins_in_it(load_fast, tmp_path):
    server = Server(tmp_path, load_fast)
    try:
        assert server.json(f"{ROOT}/runs")["runs"] == []
        assert refused(server, "run", run="tbwatch")[1].endswith("runs: none")
        write_run(tmp_path, records(5))
        (run,) = server.wait_for(lambda: server.json(f"{ROOT}/runs")["runs"])
        assert (run["run"], run["name"]) == ("tbwatch", ".")
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


@pytest.mark.parametrize("load_fast", LOADERS)
def test_foreign_and_newer_records_cost_a_sentence(load_fast, tmp_path):
    """The other runs are shown, and TensorBoard goes on."""
    write_run(tmp_path / "good", records(5))
    for name, change in (("newer", _newer), ("garbled", lambda content: b"\xff{")):
        values = list(summaries.packed_record(make_record(1)))
        for value in values:
            plugin_data = value.metadata.plugin_data
            plugin_data.content = change(plugin_data.content)
        writer = EventWriter(str(tmp_path / name))
        writer.write(1, 1.7e9, values)
        writer.close()
    server = Server(tmp_path, load_fast)
    try:
        server.wait_for(lambda: len(server.json(f"{ROOT}/runs")["runs"]) == 3)
        (problem,) = server.json(f"{ROOT}/run", run="newer/tbwatch")["problems"]
        assert "install a newer tbwatch" in problem
        (problem,) = server.json(f"{ROOT}/run", run="garbled/tbwatch")["problems"]
        assert "not JSON" in problem
        head, _ = series(server, "good/tbwatch", "update_ratio")
        assert head["rows"] == 5
    finally:
        server.stop()


def _newer(content):
    return json.dumps({**json.loads(content), "version": 99}).encode()


def test_records_of_another_layout_are_left_out_and_counted(tmp_path):
    """A model that was changed in mid-run: the layout in force is the one of the metadata."""
    other = [make_record(step, make_layout("a/kernel")) for step in range(6, 9)]
    write_run(tmp_path / "run", [*records(5), *other])
    server = Server(tmp_path, "false")
    try:
        server.wait_for(
            lambda: [r["last_update"] for r in server.json(f"{ROOT}/runs")["runs"]] == [8]
        )
        head, values = series(server, "run/tbwatch", "update_ratio")
        assert (head["rows"], head["left_out"], values.shape[1]) == (5, 3, 3)
    finally:
        server.stop()


def test_importing_the_loader_imports_neither_tensorflow_nor_the_rest():
    """TensorBoard imports it at every start, used or not."""
    code = (
        "import sys, tbwatch.tab.loader; "
        "print([m for m in ('tensorflow', 'keras', 'tbwatch.reader', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_loader_never_keeps_tensorboard_from_starting(caplog):
    loader = Loader()
    flags = types.SimpleNamespace(samples_per_plugin={"images": 3})
    loader.fix_flags(flags)
    assert flags.samples_per_plugin == {"images": 3, "tbwatch": SAMPLES}
    flags = types.SimpleNamespace(samples_per_plugin={"tbwatch": 7})
    loader.fix_flags(flags)
    assert flags.samples_per_plugin == {"tbwatch": 7}
    loader.fix_flags(types.SimpleNamespace(samples_per_plugin=5))
    assert "TensorBoard will show few records" in caplog.text
    assert loader.load(None) is None
    assert "cannot be shown" in caplog.text


def test_failures_of_ours_are_a_sentence():
    """Status 500 and what went wrong, never a stack trace in the page."""

    class Broken:
        def list_tensors(self, *args, **kwargs):
            raise RuntimeError("the disk is on fire")

    plugin = HealthPlugin(base_plugin.TBContext(data_provider=Broken()))
    answer = Client(plugin.get_plugin_apps()["/runs"]).get("/runs")
    assert answer.status_code == 500
    assert "the disk is on fire" in answer.json["error"]


def test_a_damaged_list_of_alerts_is_told_of(tmp_path):
    """What can be read of it is shown."""
    record = dataclasses.replace(next(iter(records(1))), step=1)
    broken = summaries.packed_alerts(ALERTS)
    broken.tensor.string_val[0] = b"[]]"
    write_run(tmp_path / "run", [record], values=lambda record: [broken])
    server = Server(tmp_path, "false")
    try:
        server.wait_for(lambda: server.json(f"{ROOT}/runs")["runs"])
        run = server.json(f"{ROOT}/run", run="run/tbwatch")
        assert run["alerts"] == []
        assert run["problems"] == ["list of alerts left out: not JSON"]
    finally:
        server.stop()
