"""What the page of the tab shows of runs: maps, colours, curves and alerts, in a real browser."""

from __future__ import annotations

import numpy as np
from selenium.webdriver.common.action_chains import ActionChains

from tbwatch.tab import picture
from tests.browser import needs_browser
from tests.tab_page.page import address, cell, color, curves, opened

pytestmark = needs_browser


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


def test_an_alert_about_the_loss_leads_to_its_curve(browser, server):
    opened(browser, server, run="bad/tbwatch", row="loss", step=150)
    browser.wait_for(lambda: "Loss; loss: last 1" in curves(browser))


def test_a_quantity_of_the_whole_run_is_none_of_the_map(browser, server):
    browser.open(address(server, run="good/tbwatch", quantity="loss"))
    browser.wait_for(lambda: "did not record loss" in browser.text(".maps"))
    assert "update ratio" in browser.text("select")
