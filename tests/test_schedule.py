"""Which updates are due, held against definitions spelled out as slow loops."""

from __future__ import annotations

import itertools

import pytest

from tbwatch.schedule import Schedule, check_epoch_freq, check_update_freq

LAST = 10_000


def is_auto(update: int) -> bool:
    """Every update to 50, from there every 2nd, from 75 every 3rd, ..., from 2500 every 100th."""
    if update <= 50:
        return update >= 1
    for interval in range(2, 100):
        if update < 25 * (interval + 1):
            return update % interval == 0
    return update % 100 == 0


def growing_updates() -> list[int]:
    """The whole numbers nearest to the powers of the square root of 2."""
    near = {min(range(LAST), key=lambda n, e=e: abs(n - 2 ** (e / 2))) for e in range(27)}
    return sorted(near - {0})


def every(batches: int, per_update: int = 1) -> list[int]:
    """The first update at or after each so many batches; an update ends at its last batch."""
    due = []
    for marked in range(batches, LAST * per_update + 1, batches):
        candidates = range((marked - 1) // per_update, LAST + 1)
        due.append(next(u for u in candidates if u * per_update >= marked))
    return sorted(set(due))


def listed(schedule: Schedule, last: int = LAST, **options: int) -> list[int]:
    """Due updates up to the last, by following `next_due` from the start."""
    due = [0]
    while (update := schedule.next_due(due[-1], **options)) is not None and update <= last:
        assert update > due[-1]
        due.append(update)
    return due[1:]


def test_auto_is_dense_at_first_and_sparser_later() -> None:
    """The list of due updates, and each single answer, agree with the definition."""
    expected = [update for update in range(1, LAST + 1) if is_auto(update)]
    assert expected == listed(Schedule())
    assert expected == [u for u in range(-3, LAST + 1) if Schedule().is_due(u)]
    gaps = [(u, following - u) for u, following in itertools.pairwise(expected)]
    assert max(gap for _, gap in gaps) == 100
    assert all(gap <= max(0.04 * u, 1) for u, gap in gaps)


def test_growing_thins_out_geometrically() -> None:
    """1, 2, 3, 4, 6, 8, 11, 16, 23, 32, ...: each about 1.41 times the last."""
    schedule = Schedule(growing=True)
    assert listed(schedule, 32) == [1, 2, 3, 4, 6, 8, 11, 16, 23, 32]
    assert [u for u in growing_updates() if u <= 8192] == listed(schedule, 8192)
    assert listed(schedule, 8192) == [u for u in range(8193) if schedule.is_due(u)]


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("start", [1, 37, 100_000])
def test_auto_counts_from_the_start_of_watching(growing: bool, start: int) -> None:
    """A resumed run is seen as densely at first as a new one."""
    schedule = Schedule(growing=growing)
    expected = [start + update for update in listed(schedule, 500)]
    assert expected == listed(schedule, start + 500, start=start)
    assert not schedule.is_due(start, start)


@pytest.mark.parametrize("per_update", [1, 2, 4, 7])
@pytest.mark.parametrize("batches", [1, 2, 3, 4, 9, 16])
def test_a_number_counts_batches(batches: int, per_update: int) -> None:
    """With accumulation, the first update at or after each N-th batch is due, once."""
    schedule = Schedule(batches)
    expected = [u for u in every(batches, per_update) if u <= 500]
    assert expected == listed(schedule, 500, batches_per_update=per_update)
    assert expected == [u for u in range(501) if schedule.is_due(u, 0, per_update)]


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(growing=True), Schedule(7)])
def test_answers_do_not_depend_on_where_one_asks(schedule: Schedule) -> None:
    """From any update on, the next due one is the first later one of the list."""
    due = listed(schedule, 700)
    for after in range(500):
        assert next(u for u in due if u > after) == schedule.next_due(after)


@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [
        (Schedule(), []),
        (Schedule("epoch"), [0, 1, 2, 3, 4, 5, 6]),
        (Schedule(5, epoch_freq=1), [0, 1, 2, 3, 4, 5, 6]),
        (Schedule(None, epoch_freq=3), [2, 5]),
    ],
)
def test_ends_of_epochs(schedule: Schedule, epochs: list[int]) -> None:
    """Every so many epochs, counted from the first; `"epoch"` means every one."""
    assert epochs == [epoch for epoch in range(7) if schedule.is_epoch_due(epoch)]


@pytest.mark.parametrize("update_freq", ["epoch", None])
def test_without_updates_only_ends_of_epochs_are_due(update_freq: str | None) -> None:
    """No update is due by its number alone."""
    assert Schedule(update_freq, 1).next_due(5) is None
    assert not Schedule(update_freq, 1).is_due(5)


@pytest.mark.parametrize("epoch_freq", [0, 1])
@pytest.mark.parametrize("window", [1, 2, 3, 10, 64, 150])
@pytest.mark.parametrize(
    ("update_freq", "growing"),
    [("auto", False), ("auto", True), (1, False), (3, False), (64, False), ("epoch", False)],
)
def test_most_within_holds_any_window(
    update_freq: int | str, growing: bool, window: int, epoch_freq: int
) -> None:
    """It is at least the fullest window with one end of an epoch in it, and not all for nothing."""
    schedule = Schedule(update_freq, epoch_freq, growing)
    flags = [schedule.is_due(update) for update in range(1, 1501)]
    with_end = update_freq == "epoch" or epoch_freq == 1
    fullest = 0
    for first in range(len(flags) - window):
        part = flags[first : first + window]
        fullest = max(fullest, sum(part) + (with_end and not all(part)))
    most = schedule.most_within(window)
    assert max(fullest, 1) <= most <= min(fullest + 1, window)


def test_huge_numbers_are_answered_at_once() -> None:
    """No loop runs up to the next due update."""
    rare = Schedule(10**9)
    assert rare.next_due(1) == 10**9
    assert rare.next_due(10**9) == 2 * 10**9
    assert rare.next_due(0, 0, 3) == 333_333_334
    assert rare.most_within(10**6) == 1
    assert Schedule().next_due(10**12) == 10**12 + 100
    assert Schedule(growing=True).next_due(2**40) == round(2**40.5)


@pytest.mark.parametrize("value", ["auto", "epoch", "batch", 1, 10**9])
def test_update_freq_is_accepted(value: int | str) -> None:
    """The words, and any number from 1."""
    check_update_freq("update_freq", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "often", "", None, [1], float("nan")])
def test_other_update_freq_is_refused(value: object) -> None:
    """The sentence names the argument, what was given and what is allowed."""
    with pytest.raises(ValueError, match=r'my_freq must be .*"epoch"; got ') as caught:
        check_update_freq("my_freq", value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_update_freq_may_be_none_where_it_is_allowed() -> None:
    """Then the sentence for another value says so."""
    check_update_freq("update_freq", None, allow_none=True)
    with pytest.raises(ValueError, match='"batch", "epoch" or None; got 0'):
        check_update_freq("update_freq", 0, allow_none=True)


@pytest.mark.parametrize("value", [-1, 1.0, True, None, "epoch"])
def test_epoch_freq_is_a_number_of_epochs(value: object) -> None:
    """0 and more are accepted, all else is refused with a sentence."""
    check_epoch_freq("histogram_freq", 0)
    check_epoch_freq("histogram_freq", 3)
    with pytest.raises(ValueError, match=r"my_freq must be .*an int of at least 0") as caught:
        check_epoch_freq("my_freq", value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


def test_brute_force_agrees_with_examples_by_hand() -> None:
    """The definitions that this file holds the schedule against are themselves right."""
    assert [u for u in range(48, 58) if is_auto(u)] == [48, 49, 50, 52, 54, 56]
    assert [u for u in range(73, 84) if is_auto(u)] == [74, 75, 78, 81]
    assert [u for u in range(2440, 2601) if is_auto(u)] == [2450, 2475, 2500, 2600]
    assert every(4, 3)[:5] == [2, 3, 4, 6, 7]
