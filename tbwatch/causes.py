"""Root cause over symptoms: one alert for one cause."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Sequence

from tbwatch.alerts import SEVERITIES, Finding
from tbwatch.record import Record

# What a layer starved of gradient shows; each is a symptom if a cause is known.
STARVED = frozenset(
    {
        "zero_gradient",
        "decay_only",
        "regularisation_only",
        "vanishing_gradient",
        "lost_update",
        "dead_update",
        "update_too_small",
    }
)
# cause -> diagnoses of other variables that it accounts for.
EXPLAINS: dict[str, frozenset[str]] = {
    "dead_relu": STARVED | {"signal_lost"},
    "saturated_activation": frozenset({*STARVED, "weights_too_large"}),
    "identical_units": STARVED | {"dead_relu"},
    "regularisation_only": frozenset({"zero_gradient"}),
    "vanishing_gradient": frozenset({*STARVED, "signal_lost"}) - {"vanishing_gradient"},
    "zero_gradient": frozenset({"signal_lost"}),
    "always_clipped": frozenset({"dead_update", "update_too_small"}),
    "output_mismatch": STARVED | {"dead_relu", "saturated_activation", "signal_lost"},
    "dead_update": frozenset({"update_too_small"}),
    "update_too_large": frozenset({"dead_update", "update_too_small"}),
    "exploding_gradient": frozenset({"weight_divergence", "update_too_large", "loss_diverging"}),
}
# The others account for what lies before them, since gradients come from behind.
ANYWHERE = frozenset(
    {
        "always_clipped",
        "output_mismatch",
        "identical_units",
        "zero_gradient",
        "regularisation_only",
        "vanishing_gradient",
        "dead_update",
        "exploding_gradient",
        "update_too_large",
    }
)
# Share of dead units from which on a layer counts as dead.
WHOLE_LAYER = 0.95
# Diagnoses of the whole run that point at what lies behind them.
POINTING = frozenset({"loss_stuck", "learning_rate_too_low", "loss_diverging", "loss_oscillating"})


def attributed(findings: Sequence[Finding], record: Record) -> list[Finding]:
    """Give each symptom to its cause.

    A variable whose diagnosis is explained by another finding is listed behind that one, under its
    diagnosis. What is said of the loss names the gravest finding about a layer that knows a remedy.

    Args:
        findings: all findings at a record.
        record: the record.

    Returns:
        The findings, the symptoms among them with the diagnosis of their cause.
    """
    causes = _Causes(findings, record)
    explained: list[Finding] = []
    for finding in findings:
        root = finding
        for _ in EXPLAINS:  # a cause may have a cause itself, but not without end
            cause = causes.of(root)
            if cause is None:
                break
            root = cause
        if root is finding:
            explained.append(finding)
        else:
            explained.append(dataclasses.replace(root, variable=finding.variable, follows=True))
    about_layers = [f for f in explained if not f.follows and f.diagnosis not in POINTING]
    # A finding that knows no remedy explains nothing.
    about_layers = [f for f in about_layers if f.severity != "info" and f.remedy]
    if not about_layers:
        return explained
    gravest = max(about_layers, key=_weight)
    return [_pointing(f, gravest) if f.diagnosis in POINTING else f for f in explained]


def _weight(finding: Finding) -> tuple[int, bool]:
    """How much a finding has to say about the loss; among equals the first one counts."""
    partly = finding.diagnosis == "dead_relu" and finding.value < WHOLE_LAYER
    return SEVERITIES.index(finding.severity), not partly


class _Causes:
    """Finds what explains a symptom among many findings, without a look at each for each."""

    def __init__(self, findings: Sequence[Finding], record: Record) -> None:
        self._rank = record.layout.rank
        self._findings = findings
        # Of a diagnosis: what may explain it, from where to where each of these reaches, and the
        # furthest reach up to each of them.
        self._known: dict[str, tuple[list[Finding], list[float], list[float], list[float]]] = {}

    def of(self, symptom: Finding) -> Finding | None:
        """The first finding that explains a symptom; None if nothing does."""
        if symptom.diagnosis not in self._known:
            self._known[symptom.diagnosis] = self._explaining(symptom.diagnosis)
        causes, begins, reaches, furthest = self._known[symptom.diagnosis]
        rank = self._rank(symptom.variable)
        for at in range(bisect.bisect_left(furthest, rank), len(causes)):
            if begins[at] <= rank <= reaches[at] and causes[at].variable != symptom.variable:
                return causes[at]
        return None

    def _explaining(
        self, diagnosis: str
    ) -> tuple[list[Finding], list[float], list[float], list[float]]:
        causes = [
            finding
            for finding in self._findings
            if diagnosis in EXPLAINS.get(finding.diagnosis, ()) and finding.severity != "info"
            # A layer that is dead as a whole starves those before and behind it.
            if finding.diagnosis != "dead_relu" or finding.value >= WHOLE_LAYER
        ]
        reaches = [
            math.inf if c.diagnosis == "dead_relu" or c.diagnosis in ANYWHERE
            else self._rank(c.variable)
            for c in causes
        ]  # fmt: skip
        begins = [
            # What a dead layer hands on is lost behind it, not before.
            self._rank(c.variable)
            if (c.diagnosis, diagnosis) == ("dead_relu", "signal_lost")
            else -math.inf
            for c in causes
        ]
        return causes, begins, reaches, list(itertools.accumulate(reaches, max))


def _pointing(finding: Finding, cause: Finding) -> Finding:
    # A rate is not to blame where a layer is.
    stuck = finding.diagnosis == "learning_rate_too_low"
    return dataclasses.replace(
        finding,
        diagnosis="loss_stuck" if stuck else finding.diagnosis,
        message=f"{finding.message} Behind it: {cause.diagnosis} of {cause.variable}.",
        remedy=cause.remedy,
        evidence={**finding.evidence, "cause": cause.diagnosis},
    )
