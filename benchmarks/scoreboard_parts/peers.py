"""Rules of other tools, judged from the same records.

A record holds norms, shares and the loss, no tensors and no accuracy. What stands in for what is
said at each rule; where there is a choice, it is the one that is better for the peer. All peers
get the real gradients at every sampled update, which none of them had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.scoreboard_parts.peer_common import Fired
from benchmarks.scoreboard_parts.peer_epochs import autotrainer, deepdiagnosis
from benchmarks.scoreboard_parts.peer_sagemaker import sagemaker
from tbwatch.record import Record

PEERS: dict[str, Callable[[Sequence[Record]], list[Fired]]] = {
    "SageMaker Debugger": sagemaker,
    "AutoTrainer": autotrainer,
    "DeepDiagnosis": deepdiagnosis,
}
