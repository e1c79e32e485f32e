"""What is shared without a server: the page in one file, the picture, and the notebook."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tbwatch import notebook, summaries
from tbwatch.cli import main
from tbwatch.events import EventWriter
from tbwatch.reader import ReadError, read_run, read_runs
from tbwatch.tab import page, picture, recorded, thinning
from tbwatch.testing import make_layout, make_record
from tests.board import write_run
from tests.browser import Browser, needs_browser
from tests.tab_runs import (
    ALERTS,
    LOST_FROM,
    UPDATES,
    check_losses,
    pictures,
    unpacked,
    write_both,
)

HOSTILE = "</script><img src=x onerror=\"window.hacked='yes'\">/kernel"


@pytest.fixture(scope="module", name="log_dir")
def _log_dir(tmp_path_factory):
    top = tmp_path_factory.mktemp("logs")
    write_both(top)
    return top


def embedded(html):
    """The data in a page."""
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', html)[1]
    )


def test_the_page_carries_what_was_recorded(log_dir, tmp_path, capsys):
    file = tmp_path / "report.html"
    assert main(["report", str(log_dir), "-o", str(file)]) == 0
    assert capsys.readouterr().out.strip() == f"wrote {file}"
    data = embedded(file.read_text())
    assert [run["name"] for run in data["runs"]["runs"]] == ["healthy", "sick"]
    head, values = unpacked(base64.b64decode(data["series"]["healthy"]["update_ratio"]))
    assert head["steps"] == list(range(1, UPDATES + 1))
    steps = np.arange(1, UPDATES + 1)[:, None]
    np.testing.assert_allclose(values, 10.0 ** -(np.arange(3) + steps / UPDATES), rtol=1e-6)
    _, values = unpacked(base64.b64decode(data["series"]["sick"]["update_ratio"]))
    assert np.isposinf(values[LOST_FROM - 1 :, [0, 2]]).all()
    assert np.isnan(values[LOST_FROM - 1 :, 1]).all()
    check_losses(*unpacked(base64.b64decode(data["series"]["sick"]["loss"])))
    assert data["run"]["sick"]["alerts"] == [alert.to_json() for alert in ALERTS]
    histograms = data["histograms"]["healthy"]["conv1/kernel"]["weights"]
    assert histograms["steps"] == [1, 101, 201]
    magnitudes = data["magnitudes"]["healthy"]["conv1/bias"]
    assert magnitudes["steps"] == [1, 101, 201]
    assert [sum(row) for row in magnitudes["counts"]] == [7, 7, 7]
    assert sorted(data["pictures"]["healthy"]["conv1"], key=int) == ["1", "101", "201"]


def test_what_was_trained_again_is_shown_once(tmp_path):
    """A run that begins anew in its directory: nothing of what it replaces is drawn."""
    counts = np.zeros([1, 4096])

    def drawn(record):
        layout = record.layout
        yield summaries.packed_magnitudes(layout.names, counts)
        yield summaries.histogram("weights/dense/kernel", counts[0])
        yield summaries.image("kernels/conv1", b"png", 1, 1)

    for last in (64, 8):
        steps = [2**power for power in range(7) if 2**power <= last]
        write_run(tmp_path, [make_record(step) for step in steps], values=drawn)
    data = recorded.answers({"run": read_run(tmp_path)})
    kept = [1, 2, 4, 8]
    assert data["histograms"]["run"]["dense/kernel"]["weights"]["steps"] == kept
    assert data["magnitudes"]["run"]["dense/kernel"]["steps"] == kept
    assert sorted(map(int, data["pictures"]["run"]["conv1"])) == kept
    assert read_run(tmp_path).steps == kept


def test_the_page_asks_nothing_of_a_network(log_dir, tmp_path):
    file = tmp_path / "report.html"
    main(["report", str(log_dir), "-o", str(file)])
    html = re.sub(r'<script type="application/json".*?</script>', "", file.read_text())
    assert not re.search(r"https?://|@import|url\(", html)
    assert not re.search(r"^\s*(import|export)\b", html, re.MULTILINE)


def test_a_long_run_is_thinned_out_evenly(tmp_path):
    """So many numbers of a quantity and no more; the first and the last record stay."""
    layout = make_layout(*(f"d{n}/kernel" for n in range(500)))
    write_run(tmp_path, [make_record(step, layout) for step in range(1, 1001)])
    series = recorded.series_of(read_run(tmp_path), "update_ratio")
    assert len(series.steps) == thinning.MOST_NUMBERS // 500 == len(series.values)
    assert (series.steps[0], series.steps[-1]) == (1, 1000)
    gaps = np.diff(series.steps)
    assert set(gaps.tolist()) == {2, 3}


def test_the_picture_shows_each_ratio_where_it_was(log_dir, tmp_path):
    """Colours at places worked out by hand: blue for still, grey for healthy, magenta for lost."""
    file = tmp_path / "health.png"
    assert main(["report", str(log_dir / "sick"), "--png", str(file)]) == 0
    image = np.array(Image.open(file).convert("RGB"))
    left, top, row = 230, 30 + 16, 16
    width = picture.WIDTH

    def at(variable, update):
        x = left + round((update - 1) / (UPDATES - 1) * (width - 1))
        return tuple(int(v) for v in image[top + variable * row + row // 2, x])

    assert at(0, LOST_FROM + 20) == (194, 0, 155)
    assert at(1, LOST_FROM + 20) == (255, 255, 255)
    assert max(at(2, 150)) - min(at(2, 150)) < 16, "a ratio of 10 ** -2.5 is healthy: grey"
    red, _, blue = at(0, 2)
    assert red > blue, "a ratio near 1 is orange"
    assert 1e-3 < 10 ** -(2 + 150 / UPDATES) < 1e-2


def test_colours_of_ratios():
    shown = picture.colours(np.array([[1e-9, 1e-3, 1.0, np.inf, np.nan, 0.0]]))
    assert shown.tolist() == [
        [[8, 48, 107], [240, 240, 240], [127, 39, 4], [194, 0, 155], [255, 255, 255], [8, 48, 107]]
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "report needs -o FILE for the page, --png FILE for the picture, or both"),
        (["-o", "{}"], "cannot be written: give the name of a file in a directory"),
        (["--png", "{}/none/a.png"], "cannot be written: give the name of a file in a directory"),
        (["-o", "{}/a.txt"], "the file of -o must end in .html; got "),
        (["--png", "{}/a.jpg"], "the file of --png must end in .png; got "),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_read(arguments, sentence, tmp_path, capsys):
    given = [argument.format(tmp_path) for argument in arguments]
    assert main(["report", str(tmp_path / "nowhere"), *given]) == 2
    assert sentence in capsys.readouterr().err


def test_a_directory_without_records_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "a.html")]) == 2
    assert "holds no tbwatch records" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()


def test_reports_need_no_tensorflow(log_dir, tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
        f"from tbwatch.cli import main; sys.exit(main(['report', {str(log_dir)!r}, '-o', "
        f"{str(tmp_path / 'a.html')!r}, '--png', {str(tmp_path / 'a.png')!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Image.open(tmp_path / "a.png").size[0] == 230 + picture.WIDTH + 20
    assert "Training health" in (tmp_path / "a.html").read_text()


def test_a_run_without_samples_makes_a_picture_too(tmp_path):
    """Only a list of alerts could be read."""
    run = read_run_of_alerts(tmp_path)
    image = Image.open(io.BytesIO(picture.picture({"run": run})))
    assert image.size[1] > 50
    assert recorded.answers({"run": run})["run"]["run"]["variables"] == []


def read_run_of_alerts(folder):
    writer = EventWriter(str(folder))
    writer.write(3, 1.7e9, [summaries.packed_alerts(ALERTS)])
    writer.close()
    return read_run(folder)


@needs_browser
def test_the_page_works_from_a_file(tmp_path):
    """Offline, with hostile names, and with an address that leads to a variable."""
    layout = (HOSTILE, "b/kernel")
    sick = [make_record(step, make_layout(*layout)) for step in range(1, 31)]
    write_run(tmp_path / "run", sick, values=lambda record: pictures(record))
    file = tmp_path / "report.html"
    assert main(["report", str(tmp_path), "-o", str(file)]) == 0
    browser = Browser()
    try:
        browser.open(file.as_uri())
        browser.wait_for(lambda: browser.text(".maps h2") == "run")
        assert "30 of 30 updates sampled" in browser.text(".maps")
        canvas = browser.all(".heatmap canvas")[0]
        browser.run("arguments[0].focus()", canvas)
        canvas.send_keys("\ue007")  # Enter
        browser.wait_for(lambda: browser.text("section[aria-label=Variable] h2") == HOSTILE)
        browser.wait_for(lambda: len(browser.all(".chart canvas")) >= 2)
        assert browser.run("return window.hacked || ''") == ""
        assert browser.errors() == []
    finally:
        browser.close()


def test_a_notebook_shows_a_page_without_a_server(log_dir):
    """One element, a frame, and nothing beside it: the page is what it shows."""
    shown = notebook.show(log_dir, live=False, height=500)
    begun, texts = [], []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: begun.append((tag, dict(attributes)))
    parser.handle_data = texts.append
    parser.feed(shown._repr_html_())
    parser.close()
    ((tag, attributes),) = begun
    assert (tag, attributes["height"], texts) == ("iframe", "500", [])
    content = page.page("Training health", recorded.answers(read_runs(log_dir)))
    assert attributes["srcdoc"] == content
    assert repr(shown) == "Training health, as a page"


def test_a_notebook_shows_a_live_tensorboard(log_dir):
    """In a process of its own, since the server ends with it."""
    code = f"""
import urllib.request
from tbwatch import notebook
shown = notebook.show({str(log_dir)!r})
assert shown.url.endswith("/#tbwatch"), shown.url
assert shown.url in shown._repr_html_()
base = shown.url.removesuffix("#tbwatch")
print(urllib.request.urlopen(base + "data/plugin/tbwatch/static/index.js").status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "200", done.stderr[-2000:]


@pytest.mark.parametrize("height", [0, -1, 1.5, True, "900"])
def test_a_wrong_height_is_refused(height, log_dir):
    with pytest.raises(ValueError, match="height must be a number of pixels") as caught:
        notebook.show(log_dir, height=height)
    assert repr(height) in str(caught.value)


def test_a_notebook_without_records_says_so(tmp_path):
    with pytest.raises(ReadError, match="holds no tbwatch records"):
        notebook.show(tmp_path, live=False)
