"""Alerts as JUnit XML, read back by the standard library's parser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tbwatch.cli import main
from tbwatch.detectors import DETECTORS
from tests import event_files as ef

HOSTILE = "]]><a b='\x1b[31m'>&\x00\ud800/kernel"


def write_run(run: Path, *alerts: dict) -> None:
    events = ef.simple_events(range(10, 61, 10), "a/kernel")
    if alerts:
        events.append(ef.event(60, [ef.alerts_value(alerts)]))
    ef.write(run, events)


@pytest.fixture(name="logs")
def _logs(tmp_path):
    found = {"rule": "nonfinite", "diagnosis": "nonfinite", "severity": "critical", "step": 30}
    light = {"rule": "dead_relu", "diagnosis": "dead_relu", "severity": "info", "step": 20}
    own = {"rule": "mine", "diagnosis": "my_own", "severity": "warning", "step": 40}
    own |= {"message": HOSTILE, "variables": [HOSTILE]}
    logs = tmp_path / "logs"
    write_run(logs / "good")
    over = {**found, "state": "cleared", "step": 50}
    write_run(logs / "bad", *(ef.alert_json(**fields) for fields in (found, light, own, over)))
    return logs


def suites(file):
    """Name of a suite -> name of a case -> the element of the case."""
    root = ElementTree.parse(file).getroot()
    assert root.tag == "testsuites"
    return root, {
        suite.get("name"): {case.get("name"): case for case in suite.iter("testcase")}
        for suite in root
    }


def test_a_case_for_each_rule_fails_if_it_raised(logs, tmp_path, capsys):
    """From warnings on; an info is output, a rule of a user's own a case more."""
    file = tmp_path / "junit.xml"
    assert main(["alerts", str(logs), "--junit", str(file)]) == 0
    assert "2 runs" in capsys.readouterr().out, "the table is printed as ever"
    root, found = suites(file)
    assert set(found) == {"good", "bad"}
    assert set(found["good"]) == set(DETECTORS)
    assert set(found["bad"]) == {*DETECTORS, "mine"}
    failed = {
        (suite, name): case.find("failure")
        for suite, cases in found.items()
        for name, case in cases.items()
        if case.find("failure") is not None
    }
    assert set(failed) == {("bad", "nonfinite"), ("bad", "mine")}
    failure = failed["bad", "nonfinite"]
    assert failure.get("message") == "critical nonfinite at update 30"
    assert failure.get("type") == "critical"
    assert failure.text.startswith("CRITICAL nonfinite (raised) at update 30: ")
    assert "cleared" not in failure.text
    assert "INFO dead_relu" in found["bad"]["dead_relu"].findtext("system-out")
    assert (root.get("tests"), root.get("failures")) == (str(2 * len(DETECTORS) + 1), "2")
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in root}
    assert counts["good"] == (str(len(DETECTORS)), "0")
    assert counts["bad"] == (str(len(DETECTORS) + 1), "2")


def test_names_are_text(logs, tmp_path):
    """What would be markup, or is no character of XML, is neither."""
    file = tmp_path / "junit.xml"
    main(["alerts", str(logs), "--junit", str(file)])
    text = suites(file)[1]["bad"]["mine"].findtext("failure")
    assert "]]><a b='?[31m'>&" in text
    assert ElementTree.parse(file).getroot().findall(".//a") == []


@pytest.mark.parametrize(
    ("floor", "failing", "status"),
    [("critical", 1, 1), ("warning", 2, 1), ("info", 3, 1)],
)
def test_fail_on_says_what_fails(floor, failing, status, logs, tmp_path):
    file = tmp_path / "junit.xml"
    assert main(["alerts", str(logs), "--junit", str(file), "--fail-on", floor]) == status
    assert suites(file)[0].get("failures") == str(failing)


def test_what_is_judged_anew_is_written_too(logs, tmp_path):
    """`check` finds nothing in these records: the alerts of the file were made by hand."""
    file = tmp_path / "junit.xml"
    assert main(["check", str(logs), "--junit", str(file)]) == 0
    assert suites(file)[0].get("failures") == "0"


def test_rules_that_were_not_asked_are_skipped_and_none_else(logs, tmp_path):
    """What was not judged anew has not passed."""
    file = tmp_path / "junit.xml"
    assert main(["check", str(logs), "--detectors", "nonfinite", "--junit", str(file)]) == 0
    root, found = suites(file)
    skipped = {name for name, case in found["good"].items() if case.find("skipped") is not None}
    assert skipped == set(DETECTORS) - {"nonfinite"}
    assert root.get("skipped") == str(2 * len(skipped))
    main(["check", str(logs), "--junit", str(file)])
    assert suites(file)[0].get("skipped") == "0"


def test_what_could_not_be_read_is_noted(logs, tmp_path):
    (part,) = (logs / "good").rglob("*tfevents*")
    part.write_bytes(part.read_bytes()[:-5])
    file = tmp_path / "junit.xml"
    main(["alerts", str(logs), "--junit", str(file)])
    (said,) = suites(file)[0].findall(".//system-err")
    assert "cut off" in said.text


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, capsys):
    for command in ("alerts", "check"):
        assert main([command, str(tmp_path / "none"), "--junit", str(tmp_path)]) == 2
        assert "cannot be written: give the name of a file" in capsys.readouterr().err


def test_no_tensorflow_is_needed(logs, tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
        f"from tbwatch.cli import main; sys.exit(main(['alerts', {str(logs)!r}, '--junit', "
        f"{str(tmp_path / 'junit.xml')!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert suites(tmp_path / "junit.xml")[0].get("failures") == "2"
