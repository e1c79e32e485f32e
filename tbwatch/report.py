"""What the command line prints: runs as lines of plain text, or as data for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tbwatch.alerts import SEVERITIES, Alert
from tbwatch.format import counted, listed, plain
from tbwatch.reader import Run
from tbwatch.record import Record
from tbwatch.text_table import aligned, wrapped
from tbwatch.verdict import report

# Columns of the summary, in the order of the questions "does it move?" and "does it get anywhere?"
SHOWN_QUANTITIES = ("weight_norm", "gradient_norm", "update_norm", "update_ratio", "window_change")

_LEAST_MESSAGE_WIDTH = 40  # where less room is left, a message gets lines of its own
_INDENT = "    "


def raised_alerts(runs: Mapping[str, Run]) -> list[Alert]:
    """All alerts that say a fault came or grew worse, whether or not it was cleared later."""
    return [alert for run in runs.values() for alert in run.alerts if alert.state != "cleared"]


def alert_lines(runs: Mapping[str, Run], width: int) -> list[str]:
    """A table of all alerts, run by run and oldest first, and a line that counts them.

    Args:
        runs: the runs by name.
        width: columns of the terminal; 0 for lines of any length.
    """
    alerts = [(name, alert) for name, run in runs.items() for alert in run.alerts]
    lines = _alert_table(alerts, width) if alerts else []
    raised = raised_alerts(runs)
    if not raised:
        return [*lines, f"No alerts in {counted(len(runs), 'run')}."]
    numbers = [(sum(a.severity == s for a in raised), s) for s in reversed(SEVERITIES)]
    each = ", ".join(f"{number} {severity}" for number, severity in numbers if number)
    return [*lines, f"{counted(len(runs), 'run')}, {counted(len(raised), 'alert')} ({each})"]


def alert_data(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The same as plain data: `{"runs": [{"run", "path", "alerts", "notes"}]}`."""
    return {
        "runs": [
            {
                "run": name,
                "path": str(run.path),
                "alerts": [alert.to_json() for alert in run.alerts],
                "notes": run.notes,
            }
            for name, run in runs.items()
        ]
    }


def summary_lines(runs: Mapping[str, Run]) -> list[str]:
    """For each run: a line about it, a line for each variable, and a line for the frozen ones."""
    lines: list[str] = []
    for name, run in runs.items():
        last, sampled = _last(run)
        values = _values(sampled)
        verdicts = _verdicts(run, sampled, values)
        lines += ["", _headline(name, run, last, sampled)]
        if verdicts:
            titles = ("variable", *SHOWN_QUANTITIES, "verdict")
            rows = [tuple(title.partition("_")[part] for title in titles) for part in (0, 2)]
            for variable, verdict in verdicts.items():
                shown = values.get(variable, {})
                numbers = [_number(shown.get(name, math.nan)) for name in SHOWN_QUANTITIES]
                rows.append((variable, *numbers, verdict))
            lines += aligned(rows, right=range(1, 1 + len(SHOWN_QUANTITIES)))
        if last is not None and last.layout.frozen:
            lines.append("frozen: " + ", ".join(map(plain, last.layout.frozen)))
        left = list({id(alert): alert for alert in run.holding.values()}.values())
        if left or any(alert.state == "cleared" for alert in run.alerts):
            told = report(left, run.alerts, width=0).splitlines()
            lines += ["what is left, the gravest first:", *map(_plain_line, told)]
    return lines[1:]


def summary_data(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The same as plain data, with all quantities that were recorded."""
    data = []
    for name, run in runs.items():
        last, sampled = _last(run)
        values = _values(sampled)
        shapes = {v.name: list(v.shape) for v in sampled.layout.variables} if sampled else {}
        run_data: dict[str, Any] = {"run": name, "path": str(run.path), "records": len(run.steps)}
        if last is not None:
            run_data["update"] = last.step
            run_data["epoch"] = last.epoch
            run_data["learning_rate"] = _json_number(last.learning_rate)
            run_data["loss"] = _json_number(last.loss)
            run_data["loss_is_known"] = last.loss_is_known
            run_data["frozen"] = list(last.layout.frozen)
        if sampled is not None:
            run_data["sampled_update"] = sampled.step
        run_data["variables"] = [
            {
                "name": variable,
                "shape": shapes.get(variable),
                "verdict": verdict,
                **{name: _json_number(v) for name, v in values.get(variable, {}).items()},
            }
            for variable, verdict in _verdicts(run, sampled, values).items()
        ]
        data.append({**run_data, "notes": run.notes})
    return {"runs": data}


def flight_lines(runs: Mapping[str, Run]) -> list[str]:
    """For each run a line per update that its flight recorder kept."""
    lines: list[str] = []
    for name, run in runs.items():
        lines += ["", plain(name)]
        if run.flight is None:
            lines.append("nothing was written by a flight recorder")
        else:
            lines += aligned(run.flight.rows(), right=(0, 1, 2, 4))
    return lines[1:]


def flight_data(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The same as plain data, with the norms of every variable."""
    data = []
    for name, run in runs.items():
        updates = []
        log = run.flight
        for at in range(0 if log is None else len(log.steps)):
            assert log is not None
            loss = _json_number(float(log.loss[at]))
            numbers: dict[str, Any] = {"update": int(log.steps[at]), "loss": loss}
            for quantity in ("gradient_norm", "weight_norm"):
                values = getattr(log, quantity)[at].tolist()
                numbers[quantity] = dict(zip(log.names, map(_json_number, values), strict=True))
            updates.append(numbers)
        data.append({"run": name, "path": str(run.path), "updates": updates, "notes": run.notes})
    return {"runs": data}


def _plain_line(line: str) -> str:
    return " " * (len(line) - len(line.lstrip())) + plain(line)


# --- tbwatch alerts


def _alert_table(alerts: Sequence[tuple[str, Alert]], width: int) -> list[str]:
    rows = [("run", "update", "severity", "state", "diagnosis", "variables")]
    for run, a in alerts:
        rows.append((run, str(a.step), a.severity, a.state, a.diagnosis, listed(a.variables, 2)))
    head, *heads = aligned(rows, right=(1,), pad=True)
    beside = not width or width - len(head) - 2 >= _LEAST_MESSAGE_WIDTH
    lines = [f"{head}  message" if beside else head.rstrip()]
    for head, (_, alert) in zip(heads, alerts, strict=True):
        cleared = alert.state == "cleared"
        message = f"held until update {alert.last_seen}" if cleared else alert.message
        if beside:
            lines += wrapped(message, f"{head}  ", " " * (len(head) + 2), width)
        else:
            lines += [head.rstrip(), *wrapped(message, _INDENT, _INDENT, width)]
        if alert.remedy and not cleared:
            lines += wrapped(alert.remedy, f"{_INDENT}-> ", f"{_INDENT}   ", width)
    return lines


# --- tbwatch summary


def _last(run: Run) -> tuple[Record | None, Record | None]:
    """The last record, and the last one that holds quantities."""
    last = run.records[-1] if run.records else None
    samples = run.samples
    sampled = samples[-1] if samples else last
    return last, sampled


def _headline(name: str, run: Run, last: Record | None, sampled: Record | None) -> str:
    if last is None:
        return f"{plain(name)}: no record could be read"
    rate = "unknown" if math.isnan(last.learning_rate) else f"{last.learning_rate:.4g}"
    loss = f"{last.loss:.4g}" if last.loss_is_known else "unknown"
    parts = [
        f"{plain(name)}: update {last.step} (epoch {last.epoch})",
        f"learning rate {rate}",
        f"loss {loss}",
        counted(len(run.steps), "record"),
    ]
    if sampled is not None and sampled.step != last.step:  # the record of the end has none
        parts.append(f"variables as of update {sampled.step}")
    return ", ".join(parts)


def _values(record: Record | None) -> dict[str, dict[str, float]]:
    """Variable -> quantity -> value."""
    if record is None:
        return {}
    columns = {name: values.tolist() for name, values in record.quantities.items()}
    return {
        variable: {name: column[row] for name, column in columns.items()}
        for row, variable in enumerate(record.layout.names)
    }


def _verdicts(
    run: Run, record: Record | None, values: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    """Variable -> what is to be said of it, in forward order, then e.g. `"loss"` if it has one."""
    verdicts: dict[str, str] = {}
    for variable in record.layout.variables if record is not None else ():
        mine = values[variable.name]
        if mine.get("weight_nonfinite", 0) > 0:
            verdicts[variable.name] = "non-finite weights"
        elif not variable.connected:
            verdicts[variable.name] = "not connected"
        elif all(map(math.isnan, mine.values())):
            verdicts[variable.name] = "no value"
        else:
            verdicts[variable.name] = "ok"
    held = {name: f"{a.diagnosis} ({a.severity})" for name, a in run.holding.items()}
    return verdicts | held


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _json_number(value: float) -> float | str | None:
    """A float32 with no more digits than it has; JSON has no infinity and no NaN."""
    if math.isnan(value):
        return None
    return float(str(np.float32(value))) if math.isfinite(value) else str(value)
