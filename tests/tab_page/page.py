"""The page in a browser: its address, and what is where on it."""

from __future__ import annotations

import urllib.parse


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


def curves(browser):
    """What the charts show, as a screen reader is told."""
    script = "return [...document.querySelectorAll('.chart canvas')].map((c) => c.ariaLabel)"
    return browser.run(script)
