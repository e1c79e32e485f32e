"""What the user of `python -m benchmarks` chooses."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """Which parts of the suites to run, and how thoroughly.

    Attributes:
        quick: small and few, to see that everything works.
        nets: names of `benchmarks.nets.NETS` for `steps` and `first_step`; None for all.
        xla: those of them that `steps` measures under XLA too.
    """

    quick: bool = False
    nets: tuple[str, ...] | None = None
    xla: tuple[str, ...] = ()

    def takes(self, net: str) -> bool:
        """Whether a net is chosen."""
        return self.nets is None or net in self.nets
