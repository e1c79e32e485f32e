"""The page on the command line: it shows true output, and all options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tbwatch import cli_parser
from tests.command_line import (
    ROOT,
    Printed,
    write_documented_flight,
    write_documented_runs,
)

DOCS = ROOT / "docs" / "command_line.md"


def test_the_documentation_shows_true_output(
    tbwatch: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transcripts are what the program prints."""
    monkeypatch.chdir(tmp_path)
    transcripts = re.findall(r"```text\n\$ tbwatch (.+)\n((?:.*\n)*?)```", DOCS.read_text())
    commands = [command.split()[0] for command, _ in transcripts]
    assert commands == ["alerts", "check", "flight", "report", "summary"]
    for command, shown in transcripts:
        logs = tmp_path / command.split()[0] / "logs"
        write_documented_runs(logs)
        if command.startswith("flight"):
            write_documented_flight(logs / "run2")
        arguments = [logs.parent / a if a.startswith("logs") else a for a in command.split()]
        assert tbwatch(*arguments)[1] == shown.splitlines()


def test_the_documentation_names_every_option() -> None:
    """Each option of each command is on the page, and each word that a verdict can be."""
    text = DOCS.read_text()
    for parser in cli_parser.parser()._subparsers._group_actions[0].choices.values():
        assert parser.prog in text
        for action in parser._actions[1:]:
            assert all(f"[{option}" in text for option in action.option_strings)
    for verdict in ("non-finite weights", "not connected", "no value", "ok"):
        assert f"`{verdict}`" in text


def test_the_documentation_s_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python example prints a line per run."""
    write_documented_runs(tmp_path / "logs")
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"```python\n((?:.*\n)*?)```", DOCS.read_text())
    exec(program, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["run1", "60"], ["run10", "60"]]
    assert all(line.endswith("] []") for line in lines)
