"""The page of the tab in one HTML file, with its data inside: no server, no network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from tbwatch._version import __version__
from tbwatch.tab import STATIC

# Each module behind those that it imports.
MODULES = (
    "dom.js",
    "api.js",
    "state.js",
    "metrics.js",
    "colors.js",
    "rows.js",
    "view.js",
    "painting.js",
    "heatmap.js",
    "legend.js",
    "alerts.js",
    "maps.js",
    "chart.js",
    "curves.js",
    "histograms.js",
    "runs.js",
    "variable.js",
    "app.js",
)

_IMPORT = re.compile(r"^import\s[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export\s+((?:async\s+)?(?:function|class|const)\s+(\w+))", re.MULTILINE)
_START = """
const data = JSON.parse(document.getElementById("data").textContent);
const isDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
document.body.classList.toggle("dark-mode", isDark);
const app = new App(new Embedded(data), window);
document.body.append(app.element);
app.start();
"""


def page(title: str, answers: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        title: of the document.
        answers: of all routes, as `recorded.answers` gives them.
    """
    # In a script element nothing but "</script" and "<!--" could end the data.
    data = json.dumps(answers, allow_nan=False).replace("<", "\\u003c")
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="tbwatch {__version__}">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script()}{_START}</script>
</body>
</html>
"""


def script() -> str:
    """All modules as one: each is a function of its own that gives what it exports."""
    parts = []
    for name in MODULES:
        source = _IMPORT.sub("", (STATIC / name).read_text(encoding="utf-8"))
        exported = ", ".join(match[2] for match in _EXPORT.finditer(source))
        body = _EXPORT.sub(r"\1", source)
        parts.append(
            f"const {{ {exported} }} = (() => {{\n{body}return {{ {exported} }};\n}})();\n"
        )
    return "\n".join(parts)
