"""A real browser for tests of the page: Debian's Chromium, driven by Selenium."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DRIVER = shutil.which("chromedriver") or ""
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no Chromium with its chromedriver on the PATH (Debian: apt install chromium-driver)",
)


class Browser:
    """One window; `page` is the document of the tab, inside TensorBoard's frame."""

    def __init__(self, width=1400, height=1000):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            options.add_argument(f"--{argument}")
        options.add_argument(f"--window-size={width},{height}")
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(DRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)

    def open(self, url):
        """Load an address anew, and go into the frame if there is one."""
        self.driver.get("about:blank")
        self.driver.get(url)
        if url.startswith("http"):
            self.wait_for(lambda: self._enter())

    def _enter(self):
        self.driver.switch_to.default_content()
        for frame in self.driver.find_elements("css selector", "iframe"):
            self.driver.switch_to.frame(frame)
            if self.driver.execute_script("return !!document.querySelector('main')"):
                return True
            self.driver.switch_to.default_content()
        return False

    def run(self, script, *arguments):
        """The value of a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        """All elements of a selector."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        """What the first element of a selector says; empty if there is none."""
        # In one script: the page may put another element in its place at any time.
        script = "return document.querySelector(arguments[0])?.innerText.trim() ?? ''"
        return self.run(script, selector)

    def wait_for(self, ask, seconds=20):
        """Ask until the answer is true."""
        end = time.monotonic() + seconds
        while True:
            answer = ask()
            if answer or time.monotonic() > end:
                assert answer, f"not within {seconds} seconds; the page says:\n{self.text('body')}"
                return answer
            time.sleep(0.1)

    @property
    def hash(self):
        """The address behind its #, which is that of the whole window."""
        return self.run("return (window.parent || window).location.hash")

    def errors(self):
        """What the console holds of errors since the last call."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and "favicon" not in entry["message"]
        ]

    def screenshot(self, file):
        """A picture of the window, to be looked at."""
        self.driver.switch_to.default_content()
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))

    def close(self):
        """End it."""
        self.driver.quit()
