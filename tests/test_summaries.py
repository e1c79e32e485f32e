"""Summary values, read back from their bytes with the protocol buffers of TensorBoard."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary
from tensorboard.plugin_util import markdown_to_safe_html
from tensorboard.util.tensor_util import make_ndarray

from tbwatch import summaries
from tbwatch.alerts import Alert
from tbwatch.layout_json import layout_from_json
from tbwatch.quantities import NAMES, QUANTITIES
from tbwatch.reductions import Flat
from tbwatch.testing import make_layout, make_record
from tests.alert_cases import make_alert

HOSTILE = 'a|b\n"\\</script>\x00\u2028\ud800é'


def stored(*values: Summary.Value) -> list[Summary.Value]:
    """The values after a way through the bytes of a file."""
    return list(Summary.FromString(Summary(value=values).SerializeToString()).value)


def content(value: Summary.Value) -> dict:
    """The plugin content of a packed series, which names its plugin and class."""
    metadata = value.metadata
    assert metadata.plugin_data.plugin_name == "tbwatch"
    assert metadata.data_class == DATA_CLASS_TENSOR
    return json.loads(metadata.plugin_data.content)


def table(*alerts: Alert) -> list[list[str]]:
    """Text of the body cells of the alerts' table, as TensorBoard renders it."""
    page = markdown_to_safe_html(summaries.alerts_markdown(alerts))
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[html.unescape(c) for c in re.findall("<td>(.*?)</td>", r, re.DOTALL)] for r in rows]


def test_packed_record_survives_its_bytes() -> None:
    """Every quantity, NaN and infinity included, bit by bit, with unit, meaning and names."""
    layout = make_layout(HOSTILE, "b")
    numbers = {
        n: [np.float32(math.pi) * 10**i, [np.nan, np.inf][i % 2]] for i, n in enumerate(NAMES)
    }
    values = stored(*summaries.packed_record(make_record(3, layout, **numbers)))
    assert [f"tbwatch/{name}" for name in NAMES] == [value.tag for value in values[:-1]]
    for value, quantity in zip(values, QUANTITIES, strict=False):
        expected = np.array(numbers[quantity.name], np.float32)
        assert make_ndarray(value.tensor).dtype == np.float32
        assert make_ndarray(value.tensor).tobytes() == expected.tobytes()
        assert content(value) == {
            "version": 1,
            "kind": "quantity",
            "variables": [HOSTILE, "b"],
            "unit": quantity.unit,
            "meaning": quantity.meaning,
        }


def test_packed_record_holds_the_values_of_the_update() -> None:
    """One vector whose columns are named, and the layout to read all other series with."""
    layout = make_layout(HOSTILE, "b")
    record = make_record(
        3,
        layout,
        epoch=2,
        learning_rate=0.5,
        loss=np.inf,
        loss_is_known=True,
        global_gradient_norm=7.0,
        loss_scale=1024.0,
        judged=False,
    )
    *_, value = stored(*summaries.packed_record(record))
    assert value.tag == "tbwatch/update"
    data = content(value)
    assert data["kind"] == "update"
    assert layout_from_json(data["layout"]) == layout
    columns = dict(zip(data["names"], make_ndarray(value.tensor).tolist(), strict=True))
    assert columns == {
        "epoch": 2,
        "learning_rate": 0.5,
        "loss": np.inf,
        "loss_is_known": 1,
        "global_gradient_norm": 7,
        "loss_scale": 1024,
        "judged": 0,
        "is_first": 0,
        "is_last": 0,
    }
    *_, end = stored(*summaries.packed_record(dataclasses.replace(record, is_last=True)))
    assert (end.tag, content(end)) == ("tbwatch/end", data), "its step has a value already"


def test_packed_record_without_quantities() -> None:
    """Where only the logs of a batch are known, only the update's series is written."""
    record = make_record(1, quantities={})
    assert [value.tag for value in summaries.packed_record(record)] == ["tbwatch/update"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_packed_alerts_survive_their_bytes(count: int) -> None:
    """The whole list as strict JSON text in one string tensor."""
    alerts = [
        make_alert(step=i, message=HOSTILE, variables=(HOSTILE,), value=-math.inf)
        for i in range(count)
    ]
    (value,) = stored(summaries.packed_alerts(alerts))
    assert (value.tag, content(value)["kind"]) == ("tbwatch/alerts", "alerts")
    assert make_ndarray(value.tensor).shape == ()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    items = json.loads(make_ndarray(value.tensor).item(), parse_constant=refuse)
    assert [Alert.from_json(item) for item in items] == alerts


def test_scalar_image_and_text() -> None:
    """Each in the form that the tab of its kind reads."""
    scalar, image, text = stored(
        summaries.scalar("a", np.float32(0.1)),
        summaries.image("b", b"\x89PNG", 3, 5),
        summaries.text("c", "# é"),
    )
    assert (scalar.tag, scalar.simple_value) == ("a", np.float32(0.1))
    assert (image.tag, image.image.encoded_image_string) == ("b", b"\x89PNG")
    assert (image.image.height, image.image.width) == (3, 5)
    assert (text.tag, text.metadata.plugin_data.plugin_name) == ("c", "text")
    assert make_ndarray(text.tensor).item().decode() == "# é"


def test_text_with_half_a_character_is_written_all_the_same() -> None:
    """A lone surrogate has no UTF-8 form; it is spelled out."""
    (value,) = stored(summaries.text("a", "x\ud800"))
    assert make_ndarray(value.tensor).item() == b"x\\ud800"


def test_histogram_holds_rows_of_finite_elements() -> None:
    """Float32 rows (left, right, count) for TensorBoard's histograms; none for only NaN."""
    counts = [
        Flat().bucket_counts(tf.constant(v))[0].numpy()
        for v in ([np.nan, 1.0, -1.0, 0.0], [np.nan])
    ]
    some, none = stored(*(summaries.histogram("a", c) for c in counts))
    assert some.metadata.plugin_data.plugin_name == "histograms"
    rows = make_ndarray(some.tensor)
    assert rows.dtype == np.float32
    assert rows[:, 2].sum() == 3
    assert (rows[0, 0], rows[-1, 1]) == (-1.125, 1.125)
    assert make_ndarray(none.tensor).shape == (0, 3)


def test_run_scalars_leave_out_what_is_unknown() -> None:
    """A curve for every number of the update that is one; infinity is."""
    record = make_record(1, loss=np.inf, learning_rate=np.nan, global_gradient_norm=2.0)
    values = {v.tag: v.simple_value for v in stored(*summaries.run_scalars(record, 3))}
    assert values == {
        "training/global_gradient_norm": 2,
        "training/loss": np.inf,
        "training/active_alerts": 3,
    }


def test_metadata_only_in_the_first_value_of_a_tag() -> None:
    """Also within one event; the tensors stay."""
    seen: set[str] = set()
    alerts = [make_alert()]
    first = summaries.first_metadata_only(
        [summaries.text("a", "1"), summaries.packed_alerts(alerts), summaries.text("a", "2")], seen
    )
    second = summaries.first_metadata_only(
        [summaries.text("b", "3"), summaries.packed_alerts(alerts)], seen
    )
    assert [value.HasField("metadata") for value in first] == [True, True, False]
    assert [value.HasField("metadata") for value in second] == [True, False]
    assert [value.HasField("tensor") for value in first + second] == [True] * 5
    assert seen == {"a", "b", "tbwatch/alerts"}


def test_alerts_markdown_is_a_table() -> None:
    """One row for each alert in the order given; a cleared one has nothing left to say."""
    alerts = (
        make_alert(severity="critical", variables=("a/kernel", "b_1/kernel"), value=math.nan),
        make_alert(state="cleared", step=40),
    )
    assert table(*alerts) == [
        [
            "critical: zero_gradient, raised at update 30",
            "a/kernel, b_1/kernel",
            "It is still.",
            "Wake it.",
        ],
        ["warning: zero_gradient, cleared at update 40", "a/kernel", "", ""],
    ]
    assert len(summaries.alerts_markdown(()).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", "a|b"),
        ("|", "|"),
        ("a\nb\r\n\u2028c", "a b c"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("&lt;i&gt;", "&lt;i&gt;"),
        ("a\\", "a\\"),
        ("a\\|b", "a\\|b"),
        ("`a", "`a"),
        ("*a*", "*a*"),
        ("__a__", "__a__"),
        ("[a](http://example.com)", "[a](http://example.com)"),
        ("![a](http://example.com/a.png)", "![a](http://example.com/a.png)"),
    ],
)
def test_names_in_the_table_are_only_text(name: str, shown: str) -> None:
    """Whatever users call things, TensorBoard shows it in its own cell and as it is."""
    (cells,) = table(make_alert(variables=(name,), message=f"Of {name}", remedy="`"))
    head = "warning: zero_gradient, raised at update 30"
    assert cells == [head, shown, f"Of {shown}", "`"]


def test_raw_markdown_holds_no_markup() -> None:
    """Before any rendering: one line for the alert, and no `<` that could open a tag."""
    hostile = make_alert(variables=(HOSTILE,), message="<script>\n| x |", remedy=HOSTILE)
    _, _, *lines = summaries.alerts_markdown([hostile]).split("\n")
    assert len(lines) == 1
    assert "<" not in lines[0]
    assert len(re.findall(r"(?<!\\)\|", lines[0])) == 5
