"""The page of the tab, as somebody with a mouse, a keyboard and eyes meets it: a real browser."""

from __future__ import annotations

import re
import urllib.parse

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from tbwatch.layout import WatchedActivation
from tbwatch.tab import picture
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert
from tests.board import Server, slow_training, write_run
from tests.browser import Browser, needs_browser

pytestmark = needs_browser

NAMES = ("conv1/kernel", "conv1/bias", "fc1/kernel", "fc1/bias", "out/kernel", "out/bias")
UPDATES = 200
HOSTILE = "<img src=x onerror=\"window.hacked='yes'\">/kernel"


def ratio(row, step):
    """Different in every cell."""
    return float(10 ** -(2.2 + row / 4 + step / UPDATES))


def healthy(count=UPDATES, names=NAMES, first=1):
    layout = make_layout(*names)
    for step in range(first, first + count):
        ratios = [ratio(row, step) for row in range(len(names))]
        yield make_record(step, layout, update_ratio=ratios)


def frozen():
    """fc1 stands still, and from update 150 on nothing is finite."""
    layout = make_layout(*NAMES)
    for step in range(1, UPDATES + 1):
        ratios = np.array([ratio(row, step) for row in range(6)])
        ratios[2:4] = 1e-12, 1e-5
        if step < 150:
            yield make_record(step, layout, update_ratio=ratios)
        else:
            lost = {"update_ratio": [np.nan] * 6, "weight_nonfinite": [1.0] * 6}
            yield make_record(step, layout, **lost)


def alert(diagnosis, variables, step, severity="critical", **fields):
    named = {"rule": diagnosis, "diagnosis": diagnosis, "variables": variables}
    return make_alert(**named, step=step, severity=severity, first_seen=step, **fields)


ALERTS = [
    alert("dead_update", ("fc1/kernel", "fc1/bias"), 23, message="one update changes nothing"),
    alert("nonfinite", ("loss", *NAMES), 150, message="the loss is nan"),
    alert("update_too_small", ("out/bias",), 40, "warning"),
    alert("update_too_small", ("out/bias",), 60, "warning", state="cleared"),
]


@pytest.fixture(scope="module", name="log_dir")
def _log_dir(tmp_path_factory):
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


@pytest.fixture(scope="module", name="server")
def _server(log_dir):
    server = Server(log_dir, "false")
    root = "/data/plugin/tbwatch/runs"
    server.wait_for(lambda: len([r for r in server.json(root)["runs"] if r["last_update"]]) == 6)
    yield server
    server.stop()


@pytest.fixture(scope="module", name="window")
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


def address(server, **state):
    parts = [f"p.tbwatch.{key}={urllib.parse.quote(str(v), safe='')}" for key, v in state.items()]
    return f"{server.url}/#{'&'.join(['tbwatch', *parts])}"


def opened(browser, server, **state):
    """The page in this state, as soon as the map is drawn."""
    browser.open(address(server, **state))
    browser.wait_for(lambda: browser.run(IS_DRAWN))
    return browser


IS_DRAWN = """
const canvas = document.querySelector(".heatmap canvas");
return !!canvas && canvas.width > 300 && canvas.height > 50;
"""
# Where the cells are, in CSS pixels: left of them are labels, above them marks.
LABELS, LANE = 190, 18


def cell(browser, row, share, rows=6):
    """The canvas, and the offset from its middle to a place in a row."""
    canvas = browser.all(".heatmap canvas")[0]
    width, height = canvas.size["width"], canvas.size["height"]
    row_height = (height - LANE - 26) / rows
    x = LABELS + share * (width - LABELS) - width / 2
    return canvas, round(x), round(LANE + (row + 0.5) * row_height - height / 2)


def color(browser, row, share, rows=6):
    """Red, green and blue of the pixel in the middle of a cell."""
    canvas, x, y = cell(browser, row, share, rows)
    script = """
    const [canvas, x, y] = arguments, ratio = window.devicePixelRatio;
    const at = [x + canvas.clientWidth / 2, y + canvas.clientHeight / 2].map((v) => v * ratio);
    return [...canvas.getContext("2d").getImageData(at[0], at[1], 1, 1).data];
    """
    return browser.run(script, canvas, x, y)


def test_the_worst_run_is_shown_first(browser, server):
    """With no run in the address it is the one with the gravest alerts, most of them first."""
    opened(browser, server)
    assert browser.text(".maps h2") == "bad"
    rows = {row.text.split("\n")[0].split()[0]: row.text for row in browser.all(".runs tbody tr")}
    assert rows["bad"].split() == ["bad", "2", "(1)", "200"]
    assert rows["good"].split() == ["good", "200"]
    assert browser.all(".message")[0].text == ""


def test_colours_say_what_stands_still_and_what_is_lost(browser, server):
    opened(browser, server, run="bad/tbwatch")
    red, _, blue, _ = color(browser, 2, 0.3)
    assert blue > 2 * red, "what stands still is dark blue"
    slow_red, _, slow_blue, _ = color(browser, 3, 0.3)
    assert red < slow_red < slow_blue, "what moves a little is a lighter blue"
    healthy_cell = color(browser, 0, 0.02)
    assert max(healthy_cell[:3]) - min(healthy_cell[:3]) < 25, "what is healthy is nearly grey"
    colors = {tuple(color(browser, row, 0.9 + shift)) for row in range(6) for shift in (0, 0.003)}
    assert colors <= {(194, 0, 155, 255), (0, 0, 0, 255)}, "what is not finite: striped magenta"


def test_hovering_gives_variable_update_and_value(browser, server):
    opened(browser, server, run="good/tbwatch")
    canvas, x, y = cell(browser, 4, 0.5)
    ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).perform()
    said = browser.wait_for(lambda: browser.text(".tip"))
    step = int(said.split("\n")[0].removeprefix("update "))
    assert 99 <= step <= 102
    name, value = said.split("\n")[1].split(": ")
    assert name == "out/kernel"
    shown = float(value.replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(ratio(4, step), rel=6e-3)


def test_clicking_selects_a_variable_and_a_moment(browser, server):
    opened(browser, server, run="good/tbwatch")
    canvas, x, y = cell(browser, 2, 0.25)
    ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).click().perform()
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "fc1/kernel")
    assert any(curve.startswith("Norms; weight norm") for curve in curves(browser))
    assert "p.tbwatch.row=fc1%2Fkernel" in browser.hash
    step = int(browser.hash.partition("p.tbwatch.step=")[2].split("&")[0])
    assert 49 <= step <= 52


def test_an_alert_leads_to_its_variable_and_moment(browser, server):
    """Its evidence and remedy are there; the gravest ones first, what is over last."""
    opened(browser, server, run="bad/tbwatch")
    entries = [entry.text for entry in browser.all(".alert")]
    assert [entry.split("\n")[0].split(" c")[0].strip("▲◆ ") for entry in entries[:2]] == [
        "dead_update",
        "nonfinite",
    ]
    assert "updates 40 to 60, cleared" in entries[2]
    assert "Remedy: Wake it." in entries[0]
    browser.all(".alert button")[0].click()
    browser.wait_for(lambda: "step=23" in browser.hash)
    assert "row=fc1%2Fkernel" in browser.hash
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "fc1/kernel")
    browser.all(".alert summary")[0].click()
    assert "threshold" in browser.text(".alert details")


def test_what_was_cleared_can_be_left_out(browser, server):
    opened(browser, server, run="bad/tbwatch")
    assert len(browser.all(".alert")) == 3
    browser.all("section[aria-label=Alerts] input[type=checkbox]")[0].click()
    browser.wait_for(lambda: len(browser.all(".alert")) == 2)
    assert "p.tbwatch.holding=yes" in browser.hash
    assert "1 more not shown" in browser.text("section[aria-label=Alerts]")


def test_what_another_cause_accounts_for_does_not_hold(browser, server):
    """Nothing was cleared: its variables are told under that cause now."""
    opened(browser, server, run="taken/tbwatch")
    heads = [entry.text.splitlines()[0] for entry in browser.all(".alert")]
    assert heads == [
        "▲dead_relu critical, since update 25",
        "▲zero_gradient critical, since update 21, now told under another cause",
    ]
    browser.all("section[aria-label=Alerts] input[type=checkbox]")[0].click()
    browser.wait_for(lambda: len(browser.all(".alert")) == 1)
    assert browser.text(".alert strong") == "dead_relu"


def test_nothing_is_asked_of_another_server(browser, server):
    opened(browser, server, run="bad/tbwatch", row="fc1/kernel")
    browser.wait_for(lambda: browser.all(".chart canvas"))
    asked = browser.run("return performance.getEntriesByType('resource').map((r) => r.name)")
    assert len(asked) > 15  # the modules, and the data
    assert [address for address in asked if not address.startswith(server.url)] == []


def test_the_page_follows_a_training_process(browser, tmp_path):
    """A real fit in a process of its own: more updates appear while it is still alive."""
    training = slow_training(tmp_path / "run1", updates=600)
    server = Server(tmp_path, "false")

    def last_update():
        found = re.search(r"of (\d+) updates sampled", browser.text(".maps"))
        return int(found[1]) if found else 0

    try:
        browser.open(address(server))
        first = browser.wait_for(last_update, seconds=90)
        browser.wait_for(lambda: last_update() > first, seconds=60)
        assert training.poll() is None, "the training was over before the page had looked again"
    finally:
        training.kill()
        training.wait()
        server.stop()


def test_a_deep_link_brings_everything_back(browser, server):
    state = {"run": "bad/tbwatch", "quantity": "gradient_norm", "row": "out/bias", "step": 40}
    opened(
        browser, server, **state, **{"from": 20, "to": 60, "filter": "out", "severity": "critical"}
    )
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "out/bias")
    chosen = browser.run("return [...document.querySelectorAll('select')].map((s) => s.value)")
    assert chosen[0] == "gradient_norm"
    assert "1 more not shown" in browser.text("section[aria-label=Alerts]")
    canvas = browser.all(".heatmap canvas")[0]
    assert canvas.size["height"] < 18 + 26 + 3 * 22, "the filter leaves two rows"


def test_the_keyboard_moves_zooms_and_selects(browser, server):
    opened(browser, server, run="good/tbwatch")
    canvas = browser.all(".heatmap canvas")[0]
    browser.run("arguments[0].focus()", canvas)
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_LEFT)
    said = browser.wait_for(lambda: browser.text(".tip"))
    assert said.split("\n")[0] == "update 199"
    assert said.split("\n")[1].startswith("conv1/bias: ")
    canvas.send_keys("+")
    browser.wait_for(lambda: "p.tbwatch.from=" in browser.hash)
    canvas.send_keys("0")
    browser.wait_for(lambda: "p.tbwatch.from=" not in browser.hash)
    canvas.send_keys(Keys.ENTER)
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "conv1/bias")
    assert browser.run("return document.activeElement === arguments[0]", canvas), "focus is kept"


def test_the_wheel_zooms_and_dragging_pans(browser, server):
    opened(browser, server, run="good/tbwatch")
    canvas, x, y = cell(browser, 2, 0.5)
    origin = ScrollOrigin.from_element(canvas, x, y)
    ActionChains(browser.driver).scroll_from_origin(origin, 0, -100).perform()
    ActionChains(browser.driver).scroll_from_origin(origin, 0, -100).perform()
    browser.wait_for(lambda: "p.tbwatch.from=" in browser.hash)

    def edges():
        state = dict(part.split("=") for part in browser.hash.split("&")[1:])
        return float(state.get("p.tbwatch.from", 0)), float(state.get("p.tbwatch.to", UPDATES))

    before = edges()
    assert before[1] - before[0] < 0.8 * UPDATES
    drag = ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y)
    drag.click_and_hold().move_by_offset(-120, 0).release().perform()
    browser.wait_for(lambda: edges()[0] > before[0])
    after = edges()
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=2)
    assert "p.tbwatch.row=" not in browser.hash, "a drag is no click"


def test_dark_mode_follows_tensorboard(browser, server):
    opened(browser, server, run="bad/tbwatch")
    light = color(browser, 0, 0.02)
    browser.run("window.parent.document.body.classList.add('dark-mode')")
    browser.wait_for(lambda: sum(color(browser, 0, 0.02)[:3]) < sum(light[:3]) / 2)
    page = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert page == "rgb(33, 33, 33)"


def test_the_picture_of_a_report_has_the_same_colours(browser, server):
    """Of all ratios, as the page itself works them out, in 250 steps."""
    opened(browser, server)
    ratios = [*(10.0 ** np.linspace(-9, 1, 201)).tolist(), 0.0]
    script = """
    const [values, done] = arguments, { href } = document.querySelector("link[rel=stylesheet]");
    const load = (name) => import(new URL(`${name}.js`, href));
    Promise.all([load("colors"), load("metrics")]).then(([colors, metrics]) => {
      const table = colors.table("diverging", false);
      const levels = colors.levels(metrics.scaleOf("update_ratio", []), values);
      done([...levels].map((level) => [0, 8, 16].map((bits) => (table[level] >> bits) & 255)));
    });
    """
    of_the_page = np.array(browser.driver.execute_async_script(script, ratios))
    off = np.abs(of_the_page - picture.colours(np.array(ratios)).astype(int))
    assert off.shape == (202, 3)
    assert off.max() <= 6  # half a step, where the colours change fastest


def test_two_runs_beside_each_other(browser, server):
    """On the same scale: a cell of the same value has the same colour."""
    opened(browser, server, run="bad/tbwatch", other="good/tbwatch")
    browser.wait_for(lambda: len(browser.all(".heatmap canvas")) == 2)
    assert [title.text for title in browser.all(".maps h2")] == ["bad", "good"]
    assert len(browser.all(".legend")) == 1
    heads = [head.text for head in browser.all("section[aria-label=Alerts] h2")]
    assert heads == ["Alerts of bad (3)", "Alerts of good (0)"]
    boxes = [box.get_attribute("checked") for box in browser.all(".runs input")]
    assert boxes.count("true") == 1


def curves(browser):
    """What the charts show, as a screen reader is told."""
    script = "return [...document.querySelectorAll('.chart canvas')].map((c) => c.ariaLabel)"
    return browser.run(script)


def test_the_whole_run_is_shown_until_a_variable_is_chosen(browser, server):
    """Its loss; then a variable's norms, beside those of the other run; then the run again."""
    opened(browser, server, run="bad/tbwatch", other="good/tbwatch")
    browser.wait_for(lambda: "Loss of bad; loss: last 1" in curves(browser))
    assert "Loss of good; loss: last 1" in curves(browser)
    browser.all(".alert button")[0].click()
    browser.wait_for(lambda: any(c.startswith("Norms of good; weight") for c in curves(browser)))
    assert any(c.startswith("Norms of bad; weight norm") for c in curves(browser))
    browser.all("section[aria-label=Variable] button")[0].click()
    browser.wait_for(lambda: "Loss of bad; loss: last 1" in curves(browser))
    assert "p.tbwatch.row=" not in browser.hash


def test_an_alert_about_the_loss_leads_to_its_curve(browser, server):
    opened(browser, server, run="bad/tbwatch", row="loss", step=150)
    browser.wait_for(lambda: "Loss; loss: last 1" in curves(browser))


def test_a_quantity_of_the_whole_run_is_none_of_the_map(browser, server):
    browser.open(address(server, run="good/tbwatch", quantity="loss"))
    browser.wait_for(lambda: "did not record loss" in browser.text(".maps"))
    assert "update ratio" in browser.text("select")


def test_runs_of_different_length_share_an_axis(browser, server):
    """An update is at the same place in both maps; behind the end of the shorter one is nothing."""
    opened(browser, server, run="short/tbwatch", other="good/tbwatch")
    browser.wait_for(lambda: len(browser.all(".heatmap canvas")) == 2)
    assert color(browser, 0, 0.2)[3] == 255, "update 40 of 200"
    assert color(browser, 0, 0.3)[3] == 0, "there is no update 60"
    canvas, x, y = cell(browser, 0, 0.1)
    ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).perform()
    said = browser.wait_for(lambda: browser.text(".tip"))
    assert 19 <= int(said.split("\n")[0].removeprefix("update ")) <= 22
    canvas, x, y = cell(browser, 0, 0.6)
    ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).perform()
    browser.wait_for(lambda: browser.run("return document.querySelector('.tip').hidden"))


def test_a_gradient_of_exactly_0_has_a_colour_of_its_own(browser, server):
    """It is no small value; cosines have their middle at 0."""
    opened(browser, server, run="small/tbwatch", quantity="gradient_norm")
    assert color(browser, 0, 0.5, rows=2)[:3] == [224, 168, 0]
    assert color(browser, 1, 0.5, rows=2)[:3] != [224, 168, 0]
    assert "exactly 0" in browser.text(".legend")
    opened(browser, server, run="small/tbwatch", quantity="gradient_weight_cosine")
    assert "exactly 0" not in browser.text(".legend")
    middle = color(browser, 0, 0.5, rows=2)[:3]
    assert max(middle) - min(middle) < 12, "0 is the grey middle"
    red, _, blue, _ = color(browser, 1, 0.5, rows=2)
    assert red > 2 * blue


def test_an_alert_about_an_output_marks_its_row(browser, server):
    """Alerts call it a/activation, the map a."""
    opened(browser, server, run="small/tbwatch", quantity="dead_units")
    browser.all(".alert button")[0].click()
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "a/activation")
    assert browser.run("return window.tbwatchApp.maps.heatmaps[0].picture.selected") == "a"
    opened(browser, server, run="small/tbwatch", quantity="dead_units", row="a", step=9)
    browser.wait_for(lambda: len(browser.all(".alert.selected")) == 1)


def test_names_are_text(browser, server):
    """A run, a variable and a message that would be markup are shown as they are."""
    run = f"{HOSTILE.replace('/', '_')}/tbwatch"
    opened(browser, server, run=run, row=HOSTILE)
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == HOSTILE)
    assert HOSTILE in browser.text(".alert")
    assert browser.run("return window.hacked || window.parent.hacked || ''") == ""
    assert browser.all("main img[src=x]") == []


def test_what_is_not_there_is_said_in_a_sentence(browser, server):
    browser.open(address(server, run="nowhere"))
    said = browser.wait_for(lambda: browser.text(".message"))
    assert "there is no run 'nowhere'" in said
    assert any("404" in error for error in browser.errors())
    opened(browser, server, run="good/tbwatch", row="gone/kernel")
    browser.wait_for(
        lambda: "no variable of this run" in browser.text("section[aria-label=Variable]")
    )


def test_an_empty_directory_then_a_run_that_grows(browser, tmp_path):
    """The page says how to begin, then follows by itself."""
    server = Server(tmp_path, "false")
    try:
        browser.open(address(server))
        assert "tbwatch.Watch" in browser.wait_for(lambda: browser.text(".message"))
        write_run(tmp_path / "run", healthy(20))
        browser.wait_for(lambda: "20 of 20 updates" in browser.text(".maps"), seconds=40)
        write_run(tmp_path / "run", healthy(30, first=21))
        browser.wait_for(lambda: "50 of 50 updates" in browser.text(".maps"), seconds=40)
        assert browser.text(".message") == ""
    finally:
        server.stop()


UNNAMED = """
const named = (e) => (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent
  || e.alt || "").trim();
const asked = "button, select, input, canvas, img, a, [role=img]";
return [...document.querySelectorAll(asked)].filter((e) => !named(e)).map((e) => e.outerHTML);
"""
# Contrast as WCAG 2.2 defines it (1.4.3), of every text and what is painted behind it.
PALE = """
const parsed = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) {
  const c = parsed(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.5) return c; }
  return [255, 255, 255]; };
const found = [];
for (const e of document.querySelectorAll("main *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.getClientRects().length || e.tagName === "OPTION" || e.disabled) continue;
  const [a, b] = [light(parsed(getComputedStyle(e).color)), light(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) found.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 30)} ${ratio}`);
}
return found;
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(theme, browser, server):
    """Controls have names for a screen reader, and texts stand out from what is behind them."""
    opened(browser, server, run="bad/tbwatch", other="good/tbwatch", row="fc1/kernel")
    browser.wait_for(lambda: browser.all(".chart canvas"))
    if theme == "dark":
        browser.run("window.parent.document.body.classList.add('dark-mode')")
        browser.wait_for(lambda: browser.run("return document.documentElement.className") == "dark")
    assert browser.run(UNNAMED) == []
    assert browser.run(PALE) == []
    assert browser.run("return document.documentElement.lang") == "en"


def test_a_window_of_1200_pixels_is_wide_enough(browser, server):
    """Beside the map nothing sticks out of its card, and the title of the alerts is one line."""
    size = browser.driver.get_window_size()
    browser.driver.set_window_size(1200, 1000)
    try:
        opened(browser, server, run="bad/tbwatch")
        script = """
        const parts = [...document.querySelectorAll("aside section")];
        const title = document.querySelector("section[aria-label=Alerts] h2");
        return [...parts.map((one) => one.scrollWidth - one.clientWidth), title.clientHeight];
        """
        *beyond, height = browser.run(script)
        assert beyond == [0, 0]
        assert 10 < height < 30
    finally:
        browser.driver.set_window_size(size["width"], size["height"])
