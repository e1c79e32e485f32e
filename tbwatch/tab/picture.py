"""The heat map as a picture, for a paper or a ticket: no browser needed."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from tbwatch.format import shown
from tbwatch.reader import Run
from tbwatch.tab.answers import Series
from tbwatch.tab.recorded import layout_of, series_of

WIDTH = 720  # pixels of the map itself
TALLEST = 900
_LABELS, _RIGHT, _TITLE, _LANE, _AXIS, _GAP = 230, 20, 30, 16, 24, 24
_TEXT, _SOFT, _PAGE = (33, 33, 33), (95, 99, 104), (255, 255, 255)
_MISSING, _NONFINITE = (255, 255, 255), (194, 0, 155)
_SEVERITIES = {"critical": (179, 38, 30), "warning": (138, 83, 0), "info": (11, 87, 208)}
# log10 of the update ratio and its colours, those of the tab (colors.js, metrics.js): blue for what
# stands still, orange for what jumps, and a middle that is nearly grey for what is healthy.
_AT = np.interp(
    [0.0, 0.2, 0.38, 0.44, 0.5, 0.56, 0.62, 0.8, 1.0], [0.0, 0.44, 0.56, 1.0], [-7, -4, -2, 0]
)
_COLOURS = [
    ImageColor.getrgb(name)
    for name in (
        "#08306b", "#2171b5", "#8dbfe0", "#e4ebf2", "#f0f0f0", "#f7ece1", "#fdb97f", "#e6550d",
        "#7f2704",
    )
]  # fmt: skip


def picture(runs: Mapping[str, Run]) -> bytes:
    """Update ratios of all variables over all updates, run below run, as PNG."""
    parts = [_of_run(name, run) for name, run in runs.items()]
    height = sum(part.height for part in parts) + _legend_height()
    whole = Image.new("RGB", (_LABELS + WIDTH + _RIGHT, height), _PAGE)
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    _draw_legend(ImageDraw.Draw(whole), top)
    buffer = io.BytesIO()
    whole.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def colours(ratios: np.ndarray) -> np.ndarray:
    """Colours of update ratios: uint8, one axis more than `ratios`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.log10(ratios.astype(np.float64))
    mixed = [np.interp(at, _AT, channel) for channel in zip(*_COLOURS, strict=True)]
    painted = np.nan_to_num(np.stack(mixed, axis=-1)).round().astype(np.uint8)
    painted[np.isnan(ratios)] = _MISSING
    painted[np.isinf(ratios)] = _NONFINITE
    return painted


def _of_run(name: str, run: Run) -> Image.Image:
    series, layout = series_of(run, "update_ratio"), layout_of(run)
    count = len(layout)
    each = min(max(TALLEST // max(count, 1), 2), 16)
    part = Image.new(
        "RGB", (_LABELS + WIDTH + _RIGHT, _TITLE + _LANE + count * each + _AXIS + _GAP), _PAGE
    )
    draw, small = ImageDraw.Draw(part), _font(11)
    draw.text((8, 8), f"{shown(name, 80)}: update ratio", _TEXT, _font(14))
    if not series.steps:
        draw.text((8, _TITLE + 2), "no update was sampled", _SOFT, small)
        return part
    top = _TITLE + _LANE
    columns = _columns(series)
    cells = colours(series.values[columns].T)
    part.paste(Image.fromarray(np.repeat(cells, each, axis=0)), (_LABELS, top))
    for row, label in enumerate(layout.names):
        if row % max(1, -(-11 // each)) == 0:
            y = top + row * each + each / 2
            draw.text((_LABELS - 6, y), shown(label, 36), _TEXT, small, anchor="rm")
    for alert in run.alerts:
        x = _place(alert.step, series)
        corners = [(x - 5, top - 12), (x + 5, top - 12), (x, top - 3)]
        if alert.state == "cleared":
            draw.ellipse([x - 4, top - 12, x + 4, top - 4], outline=_SEVERITIES[alert.severity])
        else:
            draw.polygon(corners, fill=_SEVERITIES[alert.severity])
    bottom = top + count * each + 4
    first, last = series.steps[0], series.steps[-1]
    for step in np.unique(np.linspace(first, last, 6).round().astype(int)).tolist():
        draw.text((_place(step, series), bottom), str(step), _SOFT, small, anchor="ma")
    return part


def _columns(series: Series) -> np.ndarray:
    """The sample that each column of pixels shows: the last one up to that update."""
    at = np.linspace(series.steps[0], series.steps[-1], WIDTH)
    found: np.ndarray = np.searchsorted(series.steps, at, side="right") - 1
    return found


def _place(step: int, series: Series) -> float:
    first, last = series.steps[0], series.steps[-1]
    share = (step - first) / max(last - first, 1)
    return _LABELS + min(max(share, 0.0), 1.0) * (WIDTH - 1)


def _legend_height() -> int:
    return 44


def _draw_legend(draw: ImageDraw.ImageDraw, top: int) -> None:
    small = _font(11)
    width = 300
    bar = colours(10.0 ** np.linspace(_AT[0], _AT[-1], width)[np.newaxis])
    for x, colour in enumerate(bar[0]):
        draw.line([_LABELS + x, top, _LABELS + x, top + 12], fill=tuple(map(int, colour)))
    for power in (-7, -4, -2, 0):
        place = _LABELS + (power - _AT[0]) / (_AT[-1] - _AT[0]) * width
        draw.text((place, top + 16), f"1e{power}" if power else "1", _SOFT, small, anchor="ma")
    draw.text((_LABELS + width + 16, top), "1e-4 to 1e-2: healthy", _SOFT, small)
    x = _LABELS + width + 170
    draw.rectangle([x, top, x + 12, top + 12], fill=_NONFINITE)
    draw.text((x + 18, top), "not finite", _SOFT, small)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
