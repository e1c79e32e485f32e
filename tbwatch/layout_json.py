"""A layout as plain data, for the metadata of event files, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tbwatch.format import text, whole
from tbwatch.layout import Layout, Setup, WatchedActivation, WatchedVariable


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """Plain data; `layout_from_json` reverses it."""
    return {
        "variables": [
            {
                "name": v.name,
                "shape": list(v.shape),
                "dtype": v.dtype,
                "initial_rms": _finite_or_none(v.initial_rms),
                "connected": v.connected,
                "regularized": v.regularized,
                "constant": v.constant,
            }
            for v in layout.variables
        ],
        "frozen": list(layout.frozen),
        "activations": [dataclasses.asdict(a) for a in layout.activations],
        "setup": {
            name: _finite_or_none(value) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(layout.setup).items()
        },
    }


def layout_from_json(data: Mapping[str, Any]) -> Layout:
    """Rebuild a layout.

    Raises:
        ValueError: if the data has another form.
    """
    try:
        variables = tuple(
            WatchedVariable(
                name=text(item["name"]),
                shape=_shape(item["shape"]),
                dtype=text(item["dtype"]),
                initial_rms=_number(item["initial_rms"]),
                connected=bool(item["connected"]),
                regularized=bool(item.get("regularized", False)),
                constant=bool(item.get("constant", False)),
            )
            for item in data["variables"]
        )
        # Files of older versions know neither activations nor the setup.
        activations = tuple(
            WatchedActivation(
                name=text(item["name"]),
                layer=text(item["layer"]),
                function=text(item["function"]),
                units=whole(item["units"]),
                is_output=bool(item["is_output"]),
                before=bool(item["before"]),
            )
            for item in data.get("activations", ())
        )
        setup = data.get("setup", {})
        numbers = ("epsilon", "chance_loss", "clipnorm", "clipvalue", "global_clipnorm")
        return Layout(
            variables,
            tuple(text(name) for name in data.get("frozen", ())),
            activations,
            Setup(
                optimizer=text(setup.get("optimizer", "")),
                optimizers=whole(setup.get("optimizers", 1)),
                loss=text(setup.get("loss", "")),
                **{name: _number(setup.get(name)) for name in numbers},
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a tbwatch layout: {error!r}") from error


def _shape(value: Iterable[Any]) -> tuple[int, ...]:
    shape = tuple(whole(size) for size in value)
    if len(shape) > 255 or min(shape, default=0) < 0:  # TensorFlow knows at most 254 axes
        raise ValueError("a shape has a negative size or too many axes")
    whole(math.prod(size or 1 for size in shape))
    return shape


def _number(value: Any) -> float | None:
    return None if value is None else _finite_or_none(float(value))


def _finite_or_none(value: float | None) -> float | None:
    # JSON has no NaN; a variable that starts as NaN has no usable scale either.
    return value if value is not None and math.isfinite(value) else None
