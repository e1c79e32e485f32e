"""The command line as a whole: what it loads, its errors, its help."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tbwatch import cli_parser, format
from tbwatch.cli import main
from tests import event_files as ef
from tests.command_line import ROOT, Printed, loaded, process, write_run


@pytest.mark.parametrize("command", ["alerts", "check", "summary"])
def test_neither_tensorflow_nor_keras_is_loaded(command: str, tmp_path: Path) -> None:
    """The command line starts fast because the heavy packages stay out of it."""
    write_run(tmp_path, ef.alert_json())
    finished = process(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "tbwatch" in loaded(finished)
    assert not loaded(finished) & {"tensorflow", "keras", "tf_keras"}


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_the_check_for_heavy_packages_can_fail(package: str, tmp_path: Path) -> None:
    """It sees an import that goes by way of another module; a stand-in keeps this test quick."""
    write_run(tmp_path / "logs")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / "by_way_of.py").write_text(f"import {package}")
    prelude = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import by_way_of"
    assert package in loaded(process("alerts", tmp_path / "logs", prelude=prelude))


@pytest.mark.parametrize("command", ["alerts", "check", "summary"])
def test_a_log_directory_that_cannot_be_read_is_one_sentence(
    command: str, tbwatch: Printed, tmp_path: Path
) -> None:
    """Status 2, nothing on stdout, no traceback."""
    file = ef.write(tmp_path / "begun", [ef.version_event()])
    (tmp_path / "empty").mkdir()
    problems = {
        tmp_path / "nix": "does not exist",
        file: "is a file",
        tmp_path / "empty": "holds no tbwatch records",
        tmp_path / "begun": "holds no tbwatch records",
    }
    for path, problem in problems.items():
        status, out, err = tbwatch(command, path)
        assert (status, out, len(err)) == (2, [], 1)
        assert err[0].startswith(f"tbwatch: error: {path} {problem}: give the ")


def test_a_run_that_cannot_be_read_does_not_hide_the_others(
    tbwatch: Printed, tmp_path: Path
) -> None:
    """What was left out is told on stderr, what was read on stdout."""
    write_run(tmp_path / "good")
    torn = write_run(tmp_path / "torn")
    torn.write_bytes(torn.read_bytes()[:-5])
    ef.write(tmp_path / "begun", [ef.version_event()])
    status, out, err = tbwatch("alerts", tmp_path)
    assert (status, out) == (0, ["No alerts in 2 runs."])
    assert [line.split(":")[:2] for line in err] == [["tbwatch", " note"]] * 2
    assert f"{tmp_path / 'begun'} holds no tbwatch records" in err[0]
    assert f"{tmp_path / 'torn'}: {torn.name}: last record cut off after" in err[1]


def test_names_cannot_steer_the_terminal(tbwatch: Printed, tmp_path: Path) -> None:
    """Line breaks, escape codes and direction marks of names and messages are made harmless."""
    name = "a\n/\x1b[31mker\u202enel\x07"
    alert = ef.alert_json(
        variables=[name],
        message="one\ntwo\r\x1b]0;x\x07",
        remedy="\x9b2J",
        diagnosis="d\x00\u2028e",
    )
    write_run(tmp_path / "r\x1b[2J", alert, names=(name,))
    for command in ("alerts", "summary"):
        status, out, err = tbwatch(command, tmp_path)
        assert (status, err) == (0, [])
        text = "\n".join(out)
        assert all(character == "\n" or character.isprintable() for character in text)
        assert "a /?[31mker?nel?" in text
        assert len(out) == (8 if command == "summary" else 4)
    _, out, _ = tbwatch("summary", tmp_path, "--json")
    assert json.loads("\n".join(out))["runs"][0]["variables"][0]["name"] == name
    assert "\x1b" not in "\n".join(out)
    status, out, err = tbwatch("alerts", tmp_path / "n\x1b[2Jo\nne")
    assert (status, out) == (2, [])
    assert "n?[2Jo ne does not exist" in err[0]


def test_plain_keeps_what_can_be_shown() -> None:
    """Letters of any script stay as they are."""
    assert format.plain("Schicht/größe 層 é") == "Schicht/größe 層 é"


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    """Names that its encoding lacks do not end the program."""
    write_run(tmp_path, names=("größe/層",))
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    finished = process("summary", tmp_path, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert r"gr\xf6\xdfe/\u5c64" in finished.stdout


@pytest.mark.parametrize("words", [1, 100_000])
def test_a_closed_pipe_is_no_error(words: int, tmp_path: Path) -> None:
    """As in `tbwatch alerts logs | head`: no traceback, and the status is what it would be.

    Output that fits the buffer fails elsewhere than output that does not.
    """
    write_run(tmp_path, ef.alert_json(message="long " * words))
    command = [sys.executable, "-m", "tbwatch", "alerts", str(tmp_path), "--fail-on", "critical"]
    environment = os.environ | {"PYTHONUNBUFFERED": ""}  # an empty value leaves buffers on
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (1, "")


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m tbwatch` hands arguments over and its status back."""
    write_run(tmp_path, ef.alert_json())
    command = [sys.executable, "-m", "tbwatch", "alerts", str(tmp_path), "--fail-on", "critical"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (1, "")
    assert finished.stdout.endswith("1 run, 1 alert (1 critical)\n")


def test_version_and_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the package's own; no command, no directory, wrong severity: status 2."""
    import tbwatch

    with pytest.raises(SystemExit) as finished:
        main(["--version"])
    assert finished.value.code == 0
    assert capsys.readouterr().out == f"tbwatch {tbwatch.__version__}\n"
    for arguments in ([], ["alerts"], ["alerts", ".", "--fail-on", "fatal"], ["repair", "."]):
        with pytest.raises(SystemExit) as finished:
            main(arguments)
        assert finished.value.code == 2


def test_help_names_every_command_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be run, what comes back, and examples that are right."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert re.findall(r"^    (\w+) ", text, re.MULTILINE) == [
        "alerts",
        "check",
        "flight",
        "report",
        "summary",
    ]
    assert re.findall(r"^  (\d)  ", text, re.MULTILINE) == ["0", "1", "2"]
    examples = re.findall(r"^  tbwatch (.+)$", text, re.MULTILINE)
    assert len(examples) == 5
    for example in examples:
        cli_parser.parser().parse_args(example.split())
