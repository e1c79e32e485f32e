"""A plain function of a record as a detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from tbwatch.alerts import Finding
from tbwatch.record import Record


class FunctionDetector:
    """Lets a function judge: it is called with each record.

    The function returns what is wrong at that record: nothing (None, "", False or an empty list),
    one sentence, a `Finding`, or several `Finding`s. A sentence becomes a warning about the whole
    run, under the function's name.

    Args:
        function: `record -> None | str | Finding | list of Finding`.

    Example:
        >>> from tbwatch.testing import make_record
        >>> def big_loss(record):
        ...     return f"the loss is {record.loss:.0f}." if record.loss > 100 else None
        >>> [f.message for f in FunctionDetector(big_loss).update(make_record(1, loss=200.0))]
        ['the loss is 200.']
    """

    def __init__(self, function: Callable[[Record], object]) -> None:
        self._function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def __repr__(self) -> str:
        return f"FunctionDetector({self.name})"

    def update(self, record: Record) -> list[Finding]:
        """Judge the next record; returns the findings that hold now.

        Raises:
            TypeError: if the function returns something else.
        """
        result = self._function(record)
        if not result:
            return []
        if isinstance(result, str):
            return [self._sentence(result)]
        findings = [result] if isinstance(result, Finding) else result
        if isinstance(findings, Iterable):
            findings = list(findings)
            if all(isinstance(finding, Finding) for finding in findings):
                return findings
        raise TypeError(
            f"the detector {self.name} must return None, a sentence or Findings; got {result!r}."
        )

    def reset(self) -> None:
        """A function has nothing to forget."""

    def _sentence(self, message: str) -> Finding:
        return Finding(
            rule=self.name,
            diagnosis=self.name,
            severity="warning",
            variable="run",
            message=message,
            value=math.nan,
            threshold=math.nan,
            remedy="",
        )
