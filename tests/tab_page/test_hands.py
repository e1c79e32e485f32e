"""The page of the tab with a mouse, a keyboard and an address, in a real browser."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from tests.browser import needs_browser
from tests.tab_page.page import cell, curves, opened
from tests.tab_page.runs import UPDATES, ratio

pytestmark = needs_browser


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


def test_an_alert_about_an_output_marks_its_row(browser, server):
    """Alerts call it a/activation, the map a."""
    opened(browser, server, run="small/tbwatch", quantity="dead_units")
    browser.all(".alert button")[0].click()
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == "a/activation")
    assert browser.run("return window.tbwatchApp.maps.heatmaps[0].picture.selected") == "a"
    opened(browser, server, run="small/tbwatch", quantity="dead_units", row="a", step=9)
    browser.wait_for(lambda: len(browser.all(".alert.selected")) == 1)


def test_what_was_cleared_can_be_left_out(browser, server):
    opened(browser, server, run="bad/tbwatch")
    assert len(browser.all(".alert")) == 3
    browser.all("section[aria-label=Alerts] input[type=checkbox]")[0].click()
    browser.wait_for(lambda: len(browser.all(".alert")) == 2)
    assert "p.tbwatch.holding=yes" in browser.hash
    assert "1 more not shown" in browser.text("section[aria-label=Alerts]")


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
