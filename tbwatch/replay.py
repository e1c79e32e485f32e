"""Judge recorded runs anew: other detectors, other thresholds, the same records."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterable, Sequence

from tbwatch.detectors import DETECTORS, Detector
from tbwatch.judging import Panel
from tbwatch.reader import Run


def chosen_detectors(names: Sequence[str], settings: Iterable[str]) -> list[Detector]:
    """Detectors by name, with parameters set from texts.

    Args:
        names: names out of `DETECTORS`; none for all.
        settings: texts `"rule.parameter=value"`, such as `"dead_update.threshold=1e-6"`.

    Raises:
        ValueError: for a name, parameter or value that does not exist or is not allowed; says what
            there is.
        TypeError: for a setting that is no text.

    Example:
        >>> chosen_detectors(["dead_update"], ["dead_update.threshold=1e-6"])
        [DeadUpdate(threshold=1e-06, patience=3, warmup=20)]
    """
    for name in names:
        _check_rule(name)
    arguments: dict[str, dict[str, object]] = {}
    for text in settings:
        rule, parameter, value = _parsed(text)
        if names and rule not in names:
            raise ValueError(f"{text!r} sets a rule that was not chosen: {', '.join(names)}.")
        arguments.setdefault(rule, {})[parameter] = value
    return [DETECTORS[name](**arguments.get(name, {})) for name in names or DETECTORS]


def replayed(run: Run, detectors: Sequence[Detector]) -> Run:
    """The run with the alerts that these detectors give on its records.

    Args:
        run: as read by `read_run`, with all its records.
        detectors: as for `Panel`.
    """
    panel = Panel(detectors)
    for record in run.records:
        panel.update(record)
    holding = {name: alert for alert in panel.holding() for name in alert.variables}
    notes = [*run.notes, *panel.notes]
    return dataclasses.replace(run, alerts=panel.alerts, holding=holding, notes=notes)


def parameters_of(rule: str) -> dict[str, object]:
    """Parameters of a rule and their defaults."""
    parameters = inspect.signature(DETECTORS[rule]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def _parsed(text: str) -> tuple[str, str, object]:
    if not isinstance(text, str):
        raise TypeError(f"a setting must be a text; got {text!r}.")
    name, equals, value = text.partition("=")
    rule, dot, parameter = name.strip().partition(".")
    if not (equals and dot):
        raise ValueError(f"{text!r} is no setting: write RULE.PARAMETER=VALUE.")
    _check_rule(rule)
    known = parameters_of(rule)
    if parameter not in known:
        listed = ", ".join(f"{name} ({default!r})" for name, default in known.items())
        raise ValueError(f"the rule {rule} has no parameter {parameter!r}; it has: {listed}.")
    try:
        return rule, parameter, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        raise ValueError(f"the value of {text!r} is no number.") from None


def _check_rule(name: str) -> None:
    if name not in DETECTORS:
        raise ValueError(f"there is no rule {name!r}; there are: {', '.join(DETECTORS)}.")
