"""Tags and metadata: what files on disk rely on."""

from __future__ import annotations

import json
import math

import pytest

from tbwatch import format

HOSTILE = 'a|b\n"\\</script>\x00\u2028\ud800é'


def test_names_on_disk_are_pinned() -> None:
    """Files that were written must stay readable: these change only with the format version."""
    assert format.FORMAT_VERSION == 1
    assert (format.PLUGIN_NAME, format.SUBRUN, format.FILE_SUFFIX) == (
        "tbwatch",
        "tbwatch",
        ".tbwatch",
    )
    assert format.quantity_tag("update_ratio") == "tbwatch/update_ratio"
    tags = {name: value for name, value in vars(format).items() if name.endswith("_TAG")}
    assert tags == {
        "UPDATE_TAG": "tbwatch/update",
        "END_TAG": "tbwatch/end",
        "ALERTS_TAG": "tbwatch/alerts",
        "HOLDING_TAG": "tbwatch/holding",
        "FLIGHT_TAG": "tbwatch/flight",
        "MAGNITUDES_TAG": "tbwatch/gradient_magnitudes",
    }
    kinds = {name: value for name, value in vars(format).items() if name.startswith("KIND_")}
    assert kinds == {
        "KIND_QUANTITY": "quantity",
        "KIND_ACTIVATION": "activation",
        "KIND_UPDATE": "update",
        "KIND_ALERTS": "alerts",
        "KIND_HOLDING": "holding",
        "KIND_FLIGHT": "flight",
        "KIND_MAGNITUDES": "magnitudes",
    }


def test_metadata_round_trip() -> None:
    """JSON bytes with version and kind, whatever the names in them are."""
    content = format.encode_metadata("quantity", variables=[HOSTILE, "b"], unit="1")
    assert json.loads(content) == {
        "version": 1,
        "kind": "quantity",
        "variables": [HOSTILE, "b"],
        "unit": "1",
    }
    assert format.decode_metadata(content) == json.loads(content)


def test_metadata_holds_no_nan() -> None:
    """What other JSON readers refuse is refused at writing."""
    with pytest.raises(ValueError, match="JSON compliant"):
        format.encode_metadata("update", scale=math.nan)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "no format version"),
        (b'[{"version": 1}]', "no format version"),
        (b"{}", "no format version"),
        (b'{"version": "1"}', "no format version"),
        (b'{"version": null}', "no format version"),
        (b'{"version": 1.5}', "no format version"),
        (b'{"version": 2, "kind": "update"}', "version 2, .* up to 1: install a newer tbwatch"),
    ],
)
def test_other_content_is_refused(content: bytes, words: str) -> None:
    """One sentence says what is wrong, and a newer format what to do."""
    with pytest.raises(ValueError, match=words):
        format.decode_metadata(content)


def test_later_additions_are_kept() -> None:
    """Unknown keys and kinds of this version are for the reader to judge."""
    data = {"version": 1, "kind": "colours", "more": [1]}
    assert format.decode_metadata(json.dumps(data).encode()) == data
