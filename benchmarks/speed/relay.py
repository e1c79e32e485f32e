"""Several fits in turn, a few updates each: what disturbs the machine disturbs all of them alike.

Each fit is a real `model.fit` in a thread of its own. A callback at the head of its list holds it
between two updates until the baton comes round, so exactly one of them runs at any time. Tracing
and the first updates come before what is timed, and the order changes from round to round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import keras


class Stopped(RuntimeError):
    """Another fit of the relay failed."""


class Baton:
    """Says whose turn it is.

    Args:
        turns: numbers of the runners, in the order of their turns.
    """

    def __init__(self, turns: Sequence[int]) -> None:
        self._turns = turns
        self._next = 0
        self._changed = threading.Condition()
        self.error: BaseException | None = None

    def wait(self, runner: int) -> None:
        """Wait until it is this runner's turn.

        Raises:
            Stopped: if it will never be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.error or self._turns[self._next] == runner)
            if self.error:
                raise Stopped from self.error

    def pass_on(self) -> None:
        """End this turn."""
        with self._changed:
            self._next += 1
            self._changed.notify_all()

    def drop(self, error: BaseException) -> None:
        """Let all others stop too."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()


class Leg(keras.callbacks.Callback):  # type: ignore[misc]  # Keras is untyped
    """Holds a fit until its turn, and times its blocks of updates.

    A block ends where the next update begins, so it holds what all callbacks do, also at the end
    of an epoch. To be put first in the list of callbacks.

    Attributes:
        times: seconds of each block.
    """

    def __init__(self, baton: Baton, runner: int, warmup: int, block: int, rounds: int) -> None:
        super().__init__()
        self._baton, self._runner = baton, runner
        self._warmup, self._block, self._rounds = warmup, block, rounds
        self._count, self._since = 0, 0.0
        self.times: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Perhaps the end of a block."""
        self._look()
        self._count += 1

    def on_train_end(self, logs: object = None) -> None:
        """Perhaps the end of the last block."""
        self._look()

    def _look(self) -> None:
        done = self._count - self._warmup
        if done < 0 or done % self._block or len(self.times) == self._rounds:
            return
        if done:
            self.times.append(time.perf_counter() - self._since)
        self._baton.pass_on()
        self._baton.wait(self._runner)
        self._since = time.perf_counter()


def relay(
    runners: Mapping[str, Callable[[Leg], object]], warmup: int, block: int, rounds: int
) -> dict[str, list[float]]:
    """Run fits in turn.

    Args:
        runners: name -> function that builds a model and fits it with this callback first in the
            list, for `warmup + block * rounds` updates or more.
        warmup: updates of each fit before the first block.
        block: updates of a turn.
        rounds: turns of each fit.

    Returns:
        Name -> seconds of each of its blocks; the same place in two lists is the same round.
    """
    baton = Baton(turns(len(runners), rounds))
    legs = [Leg(baton, number, warmup, block, rounds) for number in range(len(runners))]

    def run(number: int, fit: Callable[[Leg], object]) -> None:
        try:
            baton.wait(number)
            fit(legs[number])
            baton.pass_on()
        except Stopped:
            pass
        except BaseException as error:
            baton.drop(error)

    threads = [
        threading.Thread(target=run, args=(number, fit), daemon=True)
        for number, fit in enumerate(runners.values())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if baton.error:
        raise baton.error
    found = {name: leg.times for name, leg in zip(runners, legs, strict=True)}
    short = [name for name, times in found.items() if len(times) != rounds]
    if short:
        raise ValueError(f"too few updates for {rounds} blocks of {block}: {', '.join(short)}.")
    return found


def turns(runners: int, rounds: int) -> list[int]:
    """Warm-up, rounds in an order that is rotated each time, and winding up.

    Example:
        >>> turns(3, 2)
        [0, 1, 2, 0, 1, 2, 1, 2, 0, 0, 1, 2]
    """
    order = list(range(runners))
    middle = [order[(n + first) % runners] for first in range(rounds) for n in order]
    return [*order, *middle, *order]
