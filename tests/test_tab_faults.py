"""The tab where something is missing, foreign or broken: a sentence, and TensorBoard goes on."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types

import pytest
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

from tbwatch import summaries
from tbwatch.events import EventWriter
from tbwatch.tab.loader import SAMPLES, Loader
from tbwatch.tab.plugin import HealthPlugin
from tbwatch.testing import make_layout, make_record
from tests.board import LOADERS, Server, write_run
from tests.tab_runs import ALERTS, ROOT, records, refused, series


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
