"""An alert by itself: its severity, its names, its line, and its JSON there and back."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
import pytest

from tbwatch.alerts import Alert, severity_at_least
from tests import alert_cases
from tests.alert_cases import A

HOSTILE = 'a|b\n"\\</script>\x00\u2028\ud800é'

# Two variables, so that an alert has others to name.
make_alert = functools.partial(alert_cases.make_alert, variables=("net/a/kernel", "b/kernel"))


def test_severities_are_ordered() -> None:
    """Critical is graver than a warning, and that than an info."""
    ladder = ["info", "warning", "critical"]
    table = [[severity_at_least(severity, floor) for floor in ladder] for severity in ladder]
    assert table == np.tril(np.ones((3, 3), bool)).tolist()


def test_names_and_link() -> None:
    """The first variable and its layer speak for the alert; its page is called as the diagnosis."""
    alert = make_alert()
    assert (alert.variable, alert.layer) == ("net/a/kernel", "net/a")
    assert alert.link == "docs/alerts/zero_gradient.md"
    assert make_alert(diagnosis="of_my_own").link == "docs/alerts.md"
    assert make_alert(variables=("loss",)).layer == "loss"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {},
            "WARNING zero_gradient (raised) at update 30: net/a/kernel (and b/kernel): "
            "It is still. Wake it.",
        ),
        (
            {"variables": A, "state": "worsened", "severity": "critical"},
            "CRITICAL zero_gradient (worsened) at update 30: a/kernel: It is still. Wake it.",
        ),
        (
            {"variables": tuple("abcdefg"), "state": "cleared"},
            "WARNING zero_gradient (cleared) at update 30: a (and b, c, d, e and 2 more) is no "
            "longer affected.",
        ),
    ],
)
def test_an_alert_reads_as_one_line(fields: dict, line: str) -> None:
    """Head, names, then message and remedy, or the end of it."""
    assert str(make_alert(**fields)) == line


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, 3])
def test_json_round_trip(value: float) -> None:
    """Through JSON text, which has no NaN, every number and every string comes back."""
    alert = make_alert(
        value=value,
        threshold=np.float64(value),
        variables=(HOSTILE, "b"),
        message=HOSTILE,
        remedy=HOSTILE,
        evidence={HOSTILE: value, "cause": HOSTILE, "": ""},
    )
    back = Alert.from_json(json.loads(json.dumps(alert.to_json(), allow_nan=False)))
    assert repr(float(value)) == repr(back.value) == repr(back.threshold)
    assert repr(float(value)) == repr(back.evidence[HOSTILE])
    same = {"value": 0.0, "threshold": 0.0}
    texts = {"cause": HOSTILE, "": ""}
    assert {k: v for k, v in back.evidence.items() if k != HOSTILE} == texts
    assert make_alert(
        variables=(HOSTILE, "b"), message=HOSTILE, remedy=HOSTILE, evidence=back.evidence, **same
    ) == Alert(**{**vars(back), **same})


def test_unknown_keys_are_ignored() -> None:
    """A later version may say more."""
    alert = make_alert()
    assert Alert.from_json({**alert.to_json(), "colour": "red"}) == alert


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "fatal"},
        {"state": "lowered"},
        {"variables": []},
        {"variables": 3},
        {"value": "much"},
        {"value": None},
        {"step": "x"},
        {"step": math.inf},
        {"samples": None},
        {"wall_time": 10**400},
        {"evidence": 3},
        {"evidence": {"a": None}},
    ],
)
def test_other_data_is_refused(change: dict) -> None:
    """One wrong field is enough for a ValueError that says so."""
    with pytest.raises(ValueError, match="not a tbwatch alert"):
        Alert.from_json({**make_alert().to_json(), **change})


@pytest.mark.parametrize("name", sorted(make_alert().to_json()))
def test_every_field_is_needed(name: str) -> None:
    """A missing field is not guessed."""
    data = make_alert().to_json()
    del data[name]
    with pytest.raises(ValueError, match=f"not a tbwatch alert.*{name}"):
        Alert.from_json(data)


@pytest.mark.parametrize("data", [None, [], "alert", 3])
def test_other_types_are_refused(data: object) -> None:
    """What is no object at all is no alert."""
    with pytest.raises(ValueError, match="not a tbwatch alert"):
        Alert.from_json(data)  # type: ignore[arg-type]
