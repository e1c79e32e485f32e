"""Pictures of the page that `tbwatch report` writes, and of the tab, taken in a browser."""

from __future__ import annotations

import io
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tbwatch.cli import main as tbwatch
from tbwatch.format import SUBRUN

WIDTH, HEIGHT = 1200, 3000  # of the window; a picture is cut off below what it shows
TAB_SIZE = CHARTS_SIZE = 1500, 1600  # of the window with TensorBoard's bar
MARGIN = 8
# What an alert may be about besides variables and activations.
OF_THE_RUN = ("loss", "learning_rate", "loss_scale")
# Colours of the page that a palette must not lose, however few pixels have them: not finite,
# healthy, critical, warning, selected, exactly 0.
KEPT = (
    (194, 0, 155),
    (19, 115, 51),
    (179, 38, 30),
    (138, 83, 0),
    (11, 87, 208),
    (224, 168, 0),
)

# Where the picture ends, in pixels: below the map and below the alert, but not within a line or
# a chart. 0 as long as something is missing.
EDGE = """
const [diagnosis, heading] = arguments;
const map = document.querySelector("section[aria-label='Heat map']");
const alerts = [...document.querySelectorAll("li.alert")];
const alert = alerts.find((one) => one.querySelector("strong")?.textContent === diagnosis);
const shown = document.querySelector("section[aria-label=Variable]");
if (!map?.querySelector("canvas") || !alert) return 0;
if (shown?.querySelector("h2")?.textContent !== heading) return 0;
const bottom = (one) => one.getBoundingClientRect().bottom;
const edge = Math.max(bottom(map), bottom(alert));
if (!shown.querySelector("figure")) return 0;
const parts = [...shown.querySelectorAll("h2, p, figure")];
const cut = parts.find((one) => one.getBoundingClientRect().top < edge && bottom(one) > edge);
return cut ? bottom(cut) : edge;
"""
# Whether the tab shows the map of a run, and an alert.
IS_DRAWN = """
return document.querySelector(".maps h2")?.textContent === arguments[0]
  && !!document.querySelector(".heatmap canvas") && !!document.querySelector("li.alert");
"""
# The corners of TensorBoard's cards, once there are so many and each has drawn its picture.
CARDS = """
const cards = [...document.querySelectorAll("card-view")].filter((one) => one.clientHeight);
const drawn = cards.filter((one) => one.querySelector("img, svg, canvas"));
if (drawn.length !== arguments[0]) return null;
const boxes = cards.map((one) => one.getBoundingClientRect());
return [
  Math.min(...boxes.map((box) => box.left)),
  Math.max(...boxes.map((box) => box.right)),
  Math.max(...boxes.map((box) => box.bottom)),
];
"""
CHARTS_TOP = 68  # pixels: the picture begins below TensorBoard's bar


class NoBrowser(RuntimeError):
    """There is none; the message is one sentence for the user."""


def check_browser() -> None:
    """Look for what pictures need.

    Raises:
        NoBrowser: where Chromium, its driver or Selenium is missing.
    """
    try:
        import selenium  # noqa: F401

        from tests import browser
    except ImportError as error:
        raise NoBrowser(
            f"pictures need the packages of the tests, and {error.name} is missing: install "
            'them with pip install -e ".[test]", or leave pictures out with --no-pictures.'
        ) from error
    if not (browser.CHROMIUM and browser.DRIVER):
        raise NoBrowser(
            "pictures need Chromium and its chromedriver on the PATH (Debian: apt install "
            "chromium-driver); --no-pictures leaves them out."
        )


class Camera:
    """Takes pictures of runs, in a window of this size in pixels."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        from tests import browser

        make: Any = browser.Browser
        self.browser = make(width, height)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()

    def alert(self, log_dir: Path, entry: Mapping[str, Any], diagnosis: str, file: Path) -> None:
        """The map of the faulty run above that of the fixed one, the alert beside them.

        Args:
            log_dir: holds the runs; gets a file `report.html`.
            entry: of `training.entry`.
            diagnosis: whose alert is to be seen.
            file: the PNG.
        """
        report = log_dir / "report.html"
        if tbwatch(["report", str(log_dir), "-o", str(report)]) != 0:
            raise RuntimeError(f"tbwatch report {log_dir} failed.")
        # The map of activations calls its rows like the layers.
        row = entry["of"].removesuffix("/activation")
        state = {
            "run": "faulty",
            "other": "fixed",
            "quantity": entry["quantity"],
            "filter": "kernel" if row.endswith("/kernel") else "",
            "row": row,
            "step": entry["update"],
        }
        self.browser.open(f"{report.as_uri()}{_hash(state)}")
        heading = "The whole run" if row in OF_THE_RUN else row
        shown = (diagnosis, heading)
        edge = self.browser.wait_for(lambda: self.browser.run(EDGE, *shown))
        self._save(file, round(edge) + MARGIN)

    def tab(self, url: str, run: str, file: Path) -> None:
        """The tab in TensorBoard: the kernels of a run.

        Args:
            url: of the server.
            run: name of the one that is shown.
            file: the PNG.
        """
        state = {"run": f"{run}/{SUBRUN}", "filter": "kernel"}
        self.browser.open(f"{url}/{_hash(state)}")
        self.browser.wait_for(lambda: self.browser.run(IS_DRAWN, run))
        bottom = "return document.querySelector('.columns').getBoundingClientRect().bottom"
        inside = self.browser.run(bottom)
        self.browser.driver.switch_to.default_content()
        frame = "return document.querySelector('tb-plugin, iframe').getBoundingClientRect().top"
        self._save(file, round(inside + self.browser.run(frame)))

    def charts(self, url: str, tags: str, cards: int, file: Path) -> None:
        """The tab Time Series of TensorBoard.

        Args:
            url: of the server.
            tags: pattern of the tags.
            cards: how many it finds.
            file: the PNG.
        """
        self.browser.driver.get(f"{url}/?tagFilter={urllib.parse.quote(tags, safe='')}#timeseries")
        self.browser.wait_for(lambda: self.browser.run(CARDS, cards))
        time.sleep(2)  # nothing tells when the lines are drawn
        left, right, bottom = self.browser.run(CARDS, cards)
        screen = Image.open(io.BytesIO(self.browser.driver.get_screenshot_as_png()))
        box = (left - 2 * MARGIN, CHARTS_TOP, right + 2 * MARGIN, bottom + 2 * MARGIN)
        save(screen.crop(tuple(map(round, box))), file)

    def _save(self, file: Path, height: int) -> None:
        errors = self.browser.errors()
        if errors:
            raise RuntimeError(f"{file.name}: the page has errors: {errors}")
        screen = Image.open(io.BytesIO(self.browser.driver.get_screenshot_as_png()))
        save(screen.crop((0, 0, screen.width, min(height, screen.height))), file)


def save(picture: Image.Image, file: Path) -> None:
    """As PNG with a palette, which is a third of the size and looks the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    seen = Image.new("RGB", (picture.width, picture.height + len(KEPT)))
    seen.paste(picture.convert("RGB"))
    for row, color in enumerate(KEPT):
        seen.paste(color, (0, picture.height + row, picture.width, picture.height + row + 1))
    # Without k-means the palette has too few blues for the colours of the map.
    palette = seen.quantize(256, kmeans=3, dither=Image.Dither.NONE)
    palette.crop((0, 0, *picture.size)).save(file, "PNG", optimize=True)


def _hash(state: Mapping[str, Any]) -> str:
    parts = [
        f"p.tbwatch.{key}={urllib.parse.quote(str(value), safe='')}" for key, value in state.items()
    ]
    return "#" + "&".join(["tbwatch", *parts])
