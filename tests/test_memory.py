"""What watching takes of the memory of a process."""

from __future__ import annotations

import pytest

from benchmarks.process import apart

PARAMETERS = 50_000_000


@pytest.fixture(scope="module")
def plain_peak() -> float:
    """Bytes that training takes at most beyond what it began with."""
    found: float = apart("benchmarks.speed.growth:fit", "parameters", PARAMETERS, "plain", 2)[
        "peak"
    ]
    return found


@pytest.mark.parametrize("way", ["norms", "norms and histograms"])
def test_one_copy_of_the_weights_and_no_second_one(plain_peak: float, way: str) -> None:
    """4 bytes for each parameter, 4 more for a gradient that waits, and some MB for graphs.

    If the optimizer multiplies a gradient before we have looked at it, it cannot do so in place.
    """
    peak = apart("benchmarks.speed.growth:fit", "parameters", PARAMETERS, way, 2)["peak"]
    assert 4.0 < (peak - plain_peak) / PARAMETERS < 11.0
