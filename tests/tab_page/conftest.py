"""A server and a browser for all files here, and the runs that they are shown.

The board imports TensorFlow, which writes to the terminal. Pytest catches that where it imports a
file of tests, but not for this file: so the fixtures import the board.
"""

from __future__ import annotations

import pytest

from tbwatch.layout import WatchedActivation
from tbwatch.testing import make_layout, make_record
from tests.browser import Browser
from tests.tab_page.runs import ALERTS, HOSTILE, alert, frozen, healthy


@pytest.fixture(scope="package", name="log_dir")
def _log_dir(tmp_path_factory):
    from tests.board import write_run

    top = tmp_path_factory.mktemp("logs")
    write_run(top / "good", healthy())
    write_run(top / "bad", frozen(), ALERTS)
    write_run(top / "short", healthy(50))
    taken = [alert("zero_gradient", ("fc1/kernel",), 21), alert("dead_relu", ("fc1/kernel",), 25)]
    write_run(top / "taken", healthy(30), taken, over={"zero_gradient"})
    of = [WatchedActivation("a", "a", "relu", units=8)]
    small = make_layout("a/kernel", "b/kernel", activations=of)
    norms = {"gradient_norm": [0.0, 1e-3], "gradient_weight_cosine": [0.0, 1.0]}
    dead = alert("dead_relu", ("a/activation", "a/kernel"), 9, "warning")
    write_run(top / "small", [make_record(s, small, **norms) for s in range(1, 21)], [dead])
    layout = (HOSTILE, "b/kernel")
    evil = alert("dead_update", (HOSTILE,), 9, message=HOSTILE, remedy=HOSTILE)
    write_run(top / HOSTILE.replace("/", "_"), healthy(20, layout), [evil])
    return top


@pytest.fixture(scope="package", name="server")
def _server(log_dir):
    from tests.board import Server

    server = Server(log_dir, "false")
    root = "/data/plugin/tbwatch/runs"
    server.wait_for(lambda: len([r for r in server.json(root)["runs"] if r["last_update"]]) == 6)
    yield server
    server.stop()


@pytest.fixture(scope="package", name="window")
def _window():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(name="browser")
def _browser(window):
    """The window, which must have nothing to complain about at the end of a test."""
    window.driver.get("about:blank")
    window.errors()
    yield window
    assert window.errors() == []
