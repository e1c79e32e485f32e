"""The TensorBoard plugin behind the tab "Training health": its routes."""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tbwatch import format as fmt
from tbwatch._version import __version__
from tbwatch.tab import STATIC
from tbwatch.tab.answers import packed
from tbwatch.tab.source import Source

logger = logging.getLogger("tbwatch")

_TYPES = {".js": "text/javascript", ".css": "text/css"}

Route = Callable[[Source, Mapping[str, str]], tuple[Any, str]]


class HealthPlugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard is untyped
    """Serves the page and its data; `docs/routes.md` lists the routes.

    Args:
        context: TensorBoard's.
    """

    plugin_name = fmt.PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._provider = context.data_provider

    def is_active(self) -> bool:
        """TensorBoard looks for records of this plugin itself."""
        return False

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """The page is an ES module in an iframe."""
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name="Training health"
        )

    def get_plugin_apps(self) -> dict[str, Any]:
        """The routes, below `data/plugin/tbwatch`."""
        routes = {f"/{name}": self._app(route) for name, route in _ROUTES.items()}
        return {**routes, "/static/*": _static}

    def _app(self, route: Route) -> Any:
        @wrappers.Request.application
        def app(request: wrappers.Request) -> wrappers.Response:
            environ = request.environ
            source = Source(
                self._provider, plugin_util.context(environ), plugin_util.experiment_id(environ)
            )
            try:
                content, kind = route(source, request.args)
                code = 200
            except errors.PublicError as error:
                content, kind, code = json.dumps({"error": str(error)}), _JSON, error.http_code
            except Exception as error:
                logger.warning("tbwatch: %s failed", request.path, exc_info=True)
                message = f"tbwatch cannot show this: {fmt.told(error)}"
                content, kind, code = json.dumps({"error": message}), _JSON, 500
            return http_util.Respond(request, content, kind, code=code)

        return app


_JSON = "application/json"
_OCTETS = "application/octet-stream"


def _as_json(data: object) -> tuple[str, str]:
    return json.dumps(data, allow_nan=False), _JSON


def _argument(arguments: Mapping[str, str], name: str) -> str:
    if not arguments.get(name):
        raise errors.InvalidArgumentError(f"the address lacks {name}=...")
    return arguments[name]


def _runs(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    return _as_json({"version": __version__, "runs": source.runs()})


def _run(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    return _as_json(source.run(_argument(arguments, "run")))


def _series(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    run, quantity = _argument(arguments, "run"), _argument(arguments, "quantity")
    return packed(source.series(run, quantity)), _OCTETS


def _histograms(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    run, variable = _argument(arguments, "run"), _argument(arguments, "variable")
    return _as_json(_finite(source.histograms(run, variable)))


def _magnitudes(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    run, variable = _argument(arguments, "run"), _argument(arguments, "variable")
    return _as_json(_finite(source.magnitudes(run, variable)))


def _pictures(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    run, layer = _argument(arguments, "run"), _argument(arguments, "layer")
    return _as_json({"steps": source.pictures(run, layer)})


def _picture(source: Source, arguments: Mapping[str, str]) -> tuple[Any, str]:
    run, layer, step = (_argument(arguments, name) for name in ("run", "layer", "step"))
    if not step.isdecimal():
        raise errors.InvalidArgumentError(f"step must be the number of an update; got {step!r}")
    return source.picture(run, layer, int(step)), "image/png"


_ROUTES: dict[str, Route] = {
    "runs": _runs,
    "run": _run,
    "series": _series,
    "histograms": _histograms,
    "magnitudes": _magnitudes,
    "pictures": _pictures,
    "picture": _picture,
}


def _finite(data: Any) -> Any:
    """Plain data with null in the place of what JSON does not know."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


@functools.cache
def static_file(name: str) -> tuple[bytes, str] | None:
    """A file of the page and its type; None if there is none of this name."""
    path = STATIC / name
    if path.parent != STATIC or path.suffix not in _TYPES or not path.is_file():
        return None
    return path.read_bytes(), _TYPES[path.suffix]


@wrappers.Request.application
def _static(request: wrappers.Request) -> wrappers.Response:
    name = request.path.rpartition("/")[2]
    found = static_file(name)
    if found is None:
        return http_util.Respond(request, f"there is no {name}", "text/plain", code=404)
    return http_util.Respond(request, *found)
