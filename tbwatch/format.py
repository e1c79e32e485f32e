"""The record format: sub-run, tags and metadata that the writer and the readers agree on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

PLUGIN_NAME = "tbwatch"
FORMAT_VERSION = 1
# An own sub-run: two live writers in one run directory make TensorBoard's Python loader stop
# reading the older file.
SUBRUN = "tbwatch"
FILE_SUFFIX = ".tbwatch"

# Characters of a name or a message of others that go into a sentence.
LONGEST_SHOWN = 200

SERIES_PREFIX = "tbwatch/"
UPDATE_TAG = SERIES_PREFIX + "update"
END_TAG = SERIES_PREFIX + "end"
ALERTS_TAG = SERIES_PREFIX + "alerts"
HOLDING_TAG = SERIES_PREFIX + "holding"
FLIGHT_TAG = SERIES_PREFIX + "flight"
MAGNITUDES_TAG = SERIES_PREFIX + "gradient_magnitudes"

KIND_QUANTITY = "quantity"
KIND_ACTIVATION = "activation"
KIND_UPDATE = "update"
KIND_ALERTS = "alerts"
KIND_HOLDING = "holding"
KIND_FLIGHT = "flight"
KIND_MAGNITUDES = "magnitudes"


def plain(text: object) -> str:
    r"""Text on one line that cannot steer a terminal: names and messages come from users.

    Example:
        >>> plain("a\nb \x1b[31mred")
        'a b ?[31mred'
    """
    joined = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "?" for character in joined)


def shown(text: str, limit: int = LONGEST_SHOWN) -> str:
    """`plain`, with the middle left out of what is longer than `limit` characters.

    Example:
        >>> shown("abcdefghijkl", 9)
        'abc...jkl'
    """
    text = plain(text)
    if len(text) <= limit:
        return text
    kept = limit - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def told(error: BaseException) -> str:
    """What an exception says, for the log: TensorFlow's say nothing in their `repr`."""
    return f"{type(error).__name__}: {shown(str(error))}" if str(error) else repr(error)


def quantity_tag(name: str) -> str:
    """Tag of the packed series of a quantity."""
    return SERIES_PREFIX + name


def encode_metadata(kind: str, **fields: Any) -> bytes:
    """Plugin content of a packed series: JSON with the format version."""
    return json.dumps({"version": FORMAT_VERSION, "kind": kind, **fields}, allow_nan=False).encode()


def decode_metadata(content: bytes) -> dict[str, Any]:
    """Read plugin content back.

    Raises:
        ValueError: if it is not JSON, not an object, or of a newer format version.
    """
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a ValueError for too many digits, too
        raise ValueError(f"series metadata is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("version"), int):
        raise ValueError("series metadata holds no format version")
    if data["version"] > FORMAT_VERSION:
        raise ValueError(
            f"series has format version {data['version']}, this tbwatch reads up to "
            f"{FORMAT_VERSION}: install a newer tbwatch"
        )
    return data


def counted(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "alert"), counted(0, "alert")
        ('1 alert', '0 alerts')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def listed(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], 2), listed(["a"], 2)
        ('a, b and 1 more', 'a')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def text(value: object) -> str:
    """A text out of JSON, as it is; TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError(f"a text is a {type(value).__name__}")
    return value


def whole(value: Any) -> int:
    """A number out of JSON as an int of at most 64 bits; TypeError or ValueError if it is none."""
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("a number has more than 64 bits")
    return number
