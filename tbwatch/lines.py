"""The two lines that a watch prints: what it watches, and what it has found."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence

import keras

from tbwatch.alerts import Alert
from tbwatch.format import counted, listed, plain, shown
from tbwatch.layout import Layout
from tbwatch.telling import tell

MOST_NAMED = 3  # causes in the last line


def check_verbose(verbose: int | str) -> None:
    """Refuse what is neither `"auto"` nor a switch.

    Raises:
        ValueError: says what was given and what is allowed.
    """
    if verbose != "auto" and (isinstance(verbose, str) or verbose not in (0, 1)):
        raise ValueError(f'verbose must be "auto", 0 or 1; got {verbose!r}.')


def first_line(model_name: str, layout: Layout, when: str, log_dir: str) -> str:
    """What is watched, how often, and where it is written.

    Args:
        model_name: of the model.
        layout: what is watched of it.
        when: of `Schedule.described`.
        log_dir: directory of the run.

    Example:
        >>> from tbwatch.testing import make_layout
        >>> first_line("net", make_layout("fc/kernel", "fc/bias"), "every batch", "logs/run1")
        'watching 2 variables of net, every batch; records go to logs/run1'
    """
    what = counted(len(layout), "variable")
    if layout.activations:
        what += f" and {counted(len(layout.activations), 'activation')}"
    frozen = f" ({len(layout.frozen)} frozen)" if layout.frozen else ""
    return plain(f"watching {what} of {shown(model_name)}{frozen}, {when}; records go to {log_dir}")


def last_line(
    holding: Sequence[Alert], alerts: Sequence[Alert], records: int, problems: int, log_dir: str
) -> str:
    """What was found, and how to see it.

    Args:
        holding: one alert for each cause that holds, the gravest first.
        alerts: all of the run.
        records: updates that were recorded.
        problems: kinds of failures that the log tells of.
        log_dir: directory of the run.

    Example:
        >>> last_line([], [], 145, 0, "logs/run1")
        'no alerts in 145 sampled updates; to see the run: tensorboard --logdir logs/run1'
    """
    where = shlex.quote(log_dir)
    failed = f"; {counted(problems, 'problem')} in the log" if problems else ""
    if not records:
        return f"no update was recorded{failed}"
    if holding:
        named = [f"{a.severity} {a.diagnosis} since update {a.first_seen}" for a in holding]
        told = listed(named, MOST_NAMED)
        found = f"{counted(len(holding), 'alert')}: {told}; what to do: tbwatch summary {where}"
    elif any(alert.state == "cleared" for alert in alerts):
        found = "no alert is left of those that were raised"
    else:
        found = f"no alerts in {counted(records, 'sampled update')}"
    return plain(f"{found}{failed}; to see the run: tensorboard --logdir {where}")


def say(line: str) -> None:
    """Print a line where Keras prints its own: to stdout, or to the log if that is switched off."""
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(f"tbwatch: {line}\n")
        sys.stdout.flush()
    else:
        tell(logging.INFO, "tbwatch: %s", line)
