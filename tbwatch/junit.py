"""Alerts as JUnit XML, which CI servers show as a list of tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from xml.etree import ElementTree

from tbwatch.alerts import Alert, severity_at_least
from tbwatch.detectors import DETECTORS
from tbwatch.format import plain
from tbwatch.reader import Run


def junit(
    runs: Mapping[str, Run], floor: str = "warning", judged: Collection[str] = DETECTORS
) -> bytes:
    """A test suite for each run, a test case for each rule; those that raised an alert failed.

    The cases are the same in every run, so that a server can follow one over many builds. Rules of
    a user's own are there if they raised something.

    Args:
        runs: the runs by name.
        floor: the least severity that is a failure; what is lighter stands in the output of its
            case.
        judged: rules that were asked; the cases of the others are skipped. All by default.

    Returns:
        UTF-8, with an XML declaration.
    """
    suites = ElementTree.Element("testsuites", name="tbwatch")
    for name, run in runs.items():
        suite = ElementTree.SubElement(suites, "testsuite", name=plain(name))
        raised: dict[str, list[Alert]] = {rule: [] for rule in DETECTORS}
        for alert in run.alerts:
            if alert.state != "cleared":
                raised.setdefault(alert.rule, []).append(alert)
        for rule, alerts in raised.items():
            case = _add_case(suite, plain(rule), alerts, floor)
            if rule in DETECTORS and rule not in judged:
                ElementTree.SubElement(case, "skipped", message="this rule was not asked")
        _count(suite)
        if run.notes:
            ElementTree.SubElement(suite, "system-err").text = "\n".join(map(plain, run.notes))
    _count(suites)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _add_case(
    suite: ElementTree.Element, rule: str, alerts: list[Alert], floor: str
) -> ElementTree.Element:
    case = ElementTree.SubElement(suite, "testcase", name=rule, classname=suite.get("name", ""))
    grave = [alert for alert in alerts if severity_at_least(alert.severity, floor)]
    text = "\n".join(plain(alert) for alert in alerts)
    if grave:
        first = grave[0]
        message = f"{first.severity} {first.diagnosis} at update {first.step}"
        failure = ElementTree.SubElement(
            case, "failure", message=plain(message), type=first.severity
        )
        failure.text = text
    elif alerts:
        ElementTree.SubElement(case, "system-out").text = text
    return case


def _count(element: ElementTree.Element) -> None:
    for of, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        element.set(of, str(len(element.findall(f".//{tag}"))))
