"""The pages of the diagnoses: each is complete, and its real run is that of its program."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tbwatch.alerts import SEVERITIES
from tbwatch.detectors import DETECTORS, DIAGNOSES, ORDER, VariableRule
from tbwatch.testing import make_record, run
from tests import program
from tests.alert_cases import make_alert
from tests.board import write_run
from tests.detectors.test_contract import SICK
from tests.doc_pages import DOCS, ROOT

# Each diagnosis with the rule that gives it.
RULES = {**{name: name for name in DETECTORS}, "learning_rate_too_low": "loss_stuck"}
# What one wants to know of a diagnosis, in the order of a page.
SECTIONS = [
    "In a real run",
    "Remedy",
    "Test",
    "Not to be confused with",
    "Source",
    "Parameters",
    "How to silence it honestly",
]
ALERT_PICTURES = ROOT / "docs" / "images" / "alerts"


def page_of(diagnosis: str) -> str:
    """The text that the link of an alert leads to."""
    return (ROOT / make_alert(diagnosis=diagnosis).link).read_text(encoding="utf-8")


def severities_of(page: str) -> set[str]:
    """Those that the first paragraph below the title names."""
    first = page.partition("\n\n")[2].partition("\n\n")[0]
    return set(re.findall(r"\*\*(info|warning|critical)\*\*", first))


def numbers() -> dict[str, dict[str, object]]:
    """What the programs of the pictures gave, by diagnosis."""
    return json.loads((ALERT_PICTURES / "alerts.json").read_text(encoding="utf-8"))


def test_every_diagnosis_has_a_rule() -> None:
    """The table above leaves none out."""
    assert sorted(RULES) == sorted(DIAGNOSES)


@pytest.mark.parametrize("diagnosis", RULES)
def test_diagnoses_are_documented(diagnosis: str) -> None:
    """Each has a page with its name, its severity, its parameters, and all one wants to know."""
    rule, page = RULES[diagnosis], page_of(diagnosis)
    detector = DETECTORS[rule]()
    assert page.partition("\n\n")[2].startswith(f"`{diagnosis}`, **")
    severities = severities_of(page)
    if isinstance(detector, VariableRule):
        assert severities == {detector.severity}
    else:
        assert {alert.severity for alert in run(DETECTORS[rule](), SICK[rule])} <= severities
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings == SECTIONS
    texts = re.split(r"^## .+\n", page, flags=re.MULTILINE)[1:]
    assert [text for text in texts if len(text.strip()) < 20] == []
    assert f"\n`{detector!r}`\n" in page


@pytest.mark.parametrize("diagnosis", RULES)
def test_the_page_of_a_diagnosis_tells_of_a_real_run(diagnosis: str) -> None:
    """The alert and its numbers are those of alerts.json; a picture with a description is there."""
    from docs.pictures import pages
    from docs.pictures.programs import PROGRAMS

    page, found = page_of(diagnosis), numbers()[diagnosis]
    assert pages.written(page) == pages.section(PROGRAMS[diagnosis], found)
    severity = str(found["severity"])
    assert severity in severities_of(page)
    start = f"{severity.upper()} {diagnosis} (raised) at update {found['update']}: "
    assert str(found["text"]).startswith(start)
    assert f"\n{found['text']}\n" in page
    pictures = re.findall(r"!\[([^\]]+)\]\(\.\./images/alerts/(\w+)\.png\)", page)
    assert [name for _, name in pictures] == [diagnosis]
    assert len(pictures[0][0]) > 60, "says what is to be seen"
    assert (ALERT_PICTURES / f"{diagnosis}.png").stat().st_size < 120_000


def test_nothing_in_the_folder_of_alerts_is_left_over() -> None:
    """Each picture, page, program and set of numbers belongs to a diagnosis."""
    from docs.pictures.programs import PROGRAMS

    assert {file.stem for file in ALERT_PICTURES.glob("*.png")} == set(RULES)
    assert {file.stem for file in (ROOT / "docs" / "alerts").glob("*")} == set(RULES)
    assert set(numbers()) == set(PROGRAMS) == set(RULES)


QUICK = ["not_connected", "output_mismatch", "nonfinite"]


def test_programs_of_the_pictures_get_their_diagnosis(tmp_path: Path) -> None:
    """Three of them are trained: the alert comes with the fault, at its update, and not without."""
    code = f"""
import json
from docs.pictures.digits import digits
from docs.pictures.programs import PROGRAMS
from docs.pictures.training import RUNS, entry, train
from pathlib import Path
data = digits()
for name in {QUICK}:
    for run, faulty in RUNS.items():
        train(PROGRAMS[name], faulty, data, Path(name) / run)
    found = entry(PROGRAMS[name], Path(name), "digits")
    print(json.dumps([name, found["severity"], found["update"], found["runs"]["fixed"]["alerts"]]))
"""
    done = program.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    known = numbers()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told == [[n, known[n]["severity"], known[n]["update"], []] for n in QUICK]


def test_a_program_without_its_diagnosis_is_noticed(tmp_path: Path) -> None:
    """No alert, or the alert without the fault too, is an error that says what was said."""
    from docs.pictures.program import Program
    from docs.pictures.training import entry

    records, alert = [make_record(1), make_record(2)], make_alert(variables=("dense/kernel",))
    program = Program("zero_gradient", lambda *_: None, "update_ratio")
    write_run(tmp_path / "faulty", records)
    write_run(tmp_path / "fixed", records, [alert])
    with pytest.raises(ValueError, match="no such alert; tbwatch said nothing"):
        entry(program, tmp_path, "")
    (tmp_path / "fixed").rename(tmp_path / "kept")
    (tmp_path / "faulty").rename(tmp_path / "fixed")
    (tmp_path / "kept").rename(tmp_path / "faulty")
    assert entry(program, tmp_path, "")["text"] == str(alert)
    write_run(tmp_path / "fixed", records, [alert])
    with pytest.raises(ValueError, match="raised without the fault"):
        entry(program, tmp_path, "")


def test_pictures_without_a_browser_are_refused_in_a_sentence(monkeypatch, capsys) -> None:
    """Before anything is trained."""
    from docs.pictures import __main__ as pictures
    from tests import browser

    monkeypatch.setattr(browser, "DRIVER", "")
    monkeypatch.setattr(pictures, "train", None)
    assert pictures.main(["--only", "not_connected"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("pictures need Chromium and its chromedriver on the PATH")


def test_the_order_of_diagnosis_is_documented() -> None:
    """The rows of its table are the rules in their order, and each other rule stands below."""
    text = DOCS["alerts.md"].partition("\n## The order of diagnosis\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE)
    assert rows[: len(ORDER)] == [rule.name for rule in ORDER]
    linked = re.findall(r"\[`(\w+)`\]\(alerts/(\w+)\.md\)", text)
    assert all(name == file for name, file in linked)
    assert sorted(name for name, _ in linked) == sorted(DETECTORS)


def test_all_diagnoses_are_in_one_table() -> None:
    """Each with a link to its page, the gravest severity that this names, and its meaning."""
    text = DOCS["alerts.md"].partition("\n## All diagnoses\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`(\w+)`\]\(alerts/(\w+)\.md\) \| (\w+) \| (.+) \|$", text, re.M)
    assert sorted(name for name, *_ in rows) == sorted(RULES)
    for name, file, severity, meaning in rows:
        assert file == name
        assert severity == max(severities_of(page_of(name)), key=SEVERITIES.index)
        assert 4 <= len(meaning.split()) <= 7
