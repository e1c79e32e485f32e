"""Plain functions of a record as detectors."""

import functools

import pytest

from tbwatch.alerts import Finding
from tbwatch.detectors.function import FunctionDetector
from tbwatch.testing import make_layout, make_record, run
from tests.detectors.series import of_losses

FINDING = Finding("mine", "too_hot", "info", "a/kernel", "Hot.", 2.0, 1.0, "Cool it.")


def _told(result):
    return FunctionDetector(lambda record: result).update(make_record(1))


@pytest.mark.parametrize("nothing", [None, "", False, [], ()])
def test_nothing_is_wrong(nothing):
    """Whatever is nothing says so."""
    assert _told(nothing) == []


def test_a_sentence_is_a_warning_about_the_run():
    """Under the function's name, while it returns one; what it says may change."""

    def high_loss(record):
        return f"the loss is {record.loss:.0f}." if record.loss > 5 else None

    alerts = run(high_loss, of_losses([1, 9, 8, 1]))
    assert [(a.step, a.state, a.message) for a in alerts] == [
        (2, "raised", "the loss is 9."),
        (4, "cleared", "the loss is 8."),
    ]
    assert (alerts[0].rule, alerts[0].diagnosis, alerts[0].severity) == (
        "high_loss",
        "high_loss",
        "warning",
    )
    assert alerts[0].variables == ("run",)


@pytest.mark.parametrize(
    "result", [FINDING, [FINDING], (FINDING,), (f for f in [FINDING])], ids=["one", "l", "t", "g"]
)
def test_findings_go_through(result):
    """One or several, from any iterable."""
    assert _told(result) == [FINDING]


@pytest.mark.parametrize("result", [3, True, [FINDING, "x"], {"a": 1}, object()])
def test_anything_else_is_refused(result):
    """In one sentence that names the function."""
    with pytest.raises(TypeError, match=r"must return None, a sentence or Findings; got"):
        _told(result)


def test_the_name():
    """That of the function; of its class where it has none."""

    class Callable:
        def __call__(self, record):
            return "Always."

    assert repr(FunctionDetector(len)) == "FunctionDetector(len)"
    assert FunctionDetector(Callable()).name == "Callable"
    assert FunctionDetector(functools.partial(len)).name == "partial"
    (alert,) = run(Callable(), [make_record(1, make_layout("a"))])
    assert alert.diagnosis == "Callable"


def test_reset_leaves_the_function_alone():
    """It has nothing to forget."""
    detector = FunctionDetector(lambda record: "Always.")
    detector.reset()
    assert len(detector.update(make_record(1))) == 1
