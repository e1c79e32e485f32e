"""The page of the tab as a whole: it follows a training, leaks nothing, and can be read by all."""

from __future__ import annotations

import re

import pytest

from tests.board import Server, slow_training, write_run
from tests.browser import needs_browser
from tests.tab_page.page import address, color, opened
from tests.tab_page.runs import HOSTILE, healthy

pytestmark = needs_browser


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


def test_what_is_not_there_is_said_in_a_sentence(browser, server):
    browser.open(address(server, run="nowhere"))
    said = browser.wait_for(lambda: browser.text(".message"))
    assert "there is no run 'nowhere'" in said
    assert any("404" in error for error in browser.errors())
    opened(browser, server, run="good/tbwatch", row="gone/kernel")
    browser.wait_for(
        lambda: "no variable of this run" in browser.text("section[aria-label=Variable]")
    )


def test_nothing_is_asked_of_another_server(browser, server):
    opened(browser, server, run="bad/tbwatch", row="fc1/kernel")
    browser.wait_for(lambda: browser.all(".chart canvas"))
    asked = browser.run("return performance.getEntriesByType('resource').map((r) => r.name)")
    assert len(asked) > 15  # the modules, and the data
    assert [address for address in asked if not address.startswith(server.url)] == []


def test_names_are_text(browser, server):
    """A run, a variable and a message that would be markup are shown as they are."""
    run = f"{HOSTILE.replace('/', '_')}/tbwatch"
    opened(browser, server, run=run, row=HOSTILE)
    browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == HOSTILE)
    assert HOSTILE in browser.text(".alert")
    assert browser.run("return window.hacked || window.parent.hacked || ''") == ""
    assert browser.all("main img[src=x]") == []


def test_dark_mode_follows_tensorboard(browser, server):
    opened(browser, server, run="bad/tbwatch")
    light = color(browser, 0, 0.02)
    browser.run("window.parent.document.body.classList.add('dark-mode')")
    browser.wait_for(lambda: sum(color(browser, 0, 0.02)[:3]) < sum(light[:3]) / 2)
    page = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert page == "rgb(33, 33, 33)"


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
