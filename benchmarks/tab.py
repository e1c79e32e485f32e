"""How fast the tab is with many variables: `python -m benchmarks.tab`, in the repository's root.

A run of 2000 variables and 2000 samples in a real TensorBoard, and a real browser without a screen:
from the request to the first picture, and from frame to frame while the map is dragged. Needs
Chromium and its chromedriver.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tbwatch.testing import make_layout, make_record
from tests.board import LOADERS, Server, write_run
from tests.browser import Browser

ROUTE = "/data/plugin/tbwatch"
ADDRESS = "#tbwatch&p.tbwatch.group=variable"
# Milliseconds between frames while the map is dragged by a pixel a frame.
DRAG = """
const [frames, done] = arguments;
const canvas = document.querySelector(".heatmap canvas");
const box = canvas.getBoundingClientRect();
const point = (type, x) => canvas.dispatchEvent(new PointerEvent(type,
  { pointerId: 1, clientX: box.left + x, clientY: box.top + 60, bubbles: true }));
canvas.setPointerCapture = () => {};
const times = [];
let [x, last] = [700, performance.now()];
point("pointerdown", x);
const step = (now) => {
  times.push(now - last);
  last = now;
  x += times.length % 200 < 100 ? -2 : 2;
  point("pointermove", x);
  if (times.length < frames) requestAnimationFrame(step);
  else { point("pointerup", x); done(times.slice(5)); }
};
requestAnimationFrame(step);
"""
# Milliseconds that one drawing takes.
PAINT = """
const map = window.tbwatchApp.maps.heatmaps[0];
return Array.from({ length: 30 }, () => {
  const begin = performance.now(); map.drawNow(); return performance.now() - begin; });
"""


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--variables", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "run", given.variables, given.samples)
        for load_fast in LOADERS:
            measure(folder, load_fast, given.samples, given.repeats)


def write(log_dir: Path, variables: int, samples: int) -> None:
    """A run whose cells all differ."""
    rng = np.random.default_rng(0)
    names = [
        f"block{n // 100}/dense{n // 2}/{'bias' if n % 2 else 'kernel'}" for n in range(variables)
    ]
    layout = make_layout(*names)
    ratios = 10.0 ** rng.uniform(-6, -1, (samples, variables))
    write_run(log_dir, (make_record(n + 1, layout, update_ratio=r) for n, r in enumerate(ratios)))


def measure(folder: str, load_fast: str, samples: int, repeats: int) -> None:
    """One server and one window."""
    server = Server(folder, load_fast)
    browser = Browser(1500, 1000)
    try:
        server.wait_for(
            lambda: [r["last_update"] for r in server.json(f"{ROUTE}/runs")["runs"]] == [samples],
            120,
        )
        series = f"{server.url}{ROUTE}/series?run=run/tbwatch&quantity=update_ratio"
        server_times = [
            timed(lambda: urllib.request.urlopen(series).read()) for _ in range(repeats)
        ]
        tell(load_fast, "the server's answer, 2000 x 2000 numbers", server_times)
        first = []
        for _ in range(repeats):
            browser.open(f"{server.url}/{ADDRESS}")
            browser.wait_for(lambda: browser.run("return !!window.tbwatchFirstPicture"), 60)
            first.append(browser.run("return window.tbwatchFirstPicture / 1000"))
        tell(load_fast, "from opening the tab to the first picture", first)
        tell(load_fast, "one drawing, all samples in sight", [t / 1000 for t in browser.run(PAINT)])
        canvas = browser.all(".heatmap canvas")[0]
        browser.run("arguments[0].focus()", canvas)
        for _ in range(3):
            canvas.send_keys("+")
        time.sleep(0.5)
        frames = browser.driver.execute_async_script(DRAG, 150)
        tell(load_fast, "from frame to frame while dragging", [t / 1000 for t in frames])
    finally:
        browser.close()
        server.stop()


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def tell(load_fast: str, what: str, seconds: list[float]) -> None:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    loader = "fast data server" if load_fast == "true" else "Python loader"
    print(f"{loader}: {what}: {1e3 * middle:.1f} ms ({1e3 * low:.1f}-{1e3 * high:.1f})", flush=True)


if __name__ == "__main__":
    main()
