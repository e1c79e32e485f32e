"""Schedules, epochs and accumulation put together."""

import pytest

from tbwatch.planner import Planner
from tbwatch.schedule import Schedule

EPOCH, EVERY_THIRD, HISTOGRAMS = Schedule("epoch"), Schedule(3), Schedule("auto", 2, growing=True)


def test_ends_of_epochs_of_known_length():
    """Five batches to the epoch: its last update is 5, 10, 15; with accumulation by 2: 2, 5, 7."""
    for per_update, ends in ((1, [5, 10, 15]), (2, [2, 5, 7])):
        planner = Planner(0, per_update, batches_per_epoch=5)
        found = []
        for epoch in range(3):
            planner.begin_epoch(epoch, epoch * 5)
            found += planner.next_due(EPOCH, epoch * 5 // per_update, 4)
            assert planner.is_due(EPOCH, found[-1])
            assert not planner.is_due(EPOCH, found[-1] - 1)
        assert found == ends


def test_an_end_that_is_foreseen_anew():
    """Updates were skipped: the last one is another; a stand-in for the epoch before stays."""
    planner = Planner(0, batches_per_epoch=5)
    planner.begin_epoch(0, 0)
    planner.begin_epoch(1, 4)  # the first one ended with 4, and its stand-in is 5
    assert planner.batches_left(4) == 1
    planner.expect_end(1, 1, 6)
    assert planner.next_due(EPOCH, 4, 4) == [5, 7]
    assert planner.batches_left(5) == 0
    assert Planner(0).batches_left(3) == 0


def test_an_epoch_of_unknown_length():
    """The first update after the first epoch stands in for its last; then the length is known."""
    planner = Planner(0)
    planner.begin_epoch(0, 0)
    assert planner.next_due(EPOCH, 0, 4) == []
    assert not planner.knows_epochs
    planner.end_epoch(0, batches=4, batches_done=5)  # the counter ran on by one
    planner.begin_epoch(1, 5)
    assert planner.next_due(EPOCH, 5, 4) == [6, 9]
    planner.end_epoch(1, batches=4, batches_done=10)
    planner.begin_epoch(2, 10)
    assert planner.next_due(EPOCH, 10, 4) == [14]


def test_every_second_epoch_and_the_growing_series():
    """Both kinds of due updates, in order, without repeats, no more than asked for."""
    planner = Planner(0, batches_per_epoch=5)
    planner.begin_epoch(1, 5)
    assert planner.next_due(HISTOGRAMS, 5, 4) == [6, 8, 10, 11]
    assert planner.next_due(HISTOGRAMS, 5, 2) == [6, 8]
    planner.begin_epoch(0, 0)
    assert planner.next_due(HISTOGRAMS, 4, 2) == [6, 8], "the first epoch is not a second one"


def test_steps_count_from_where_watching_began():
    """After 1000 updates unseen, "auto" is dense again; every third batch is every third batch."""
    planner = Planner(1000)
    assert planner.next_due(Schedule("auto"), 1000, 3) == [1001, 1002, 1003]
    assert planner.next_due(EVERY_THIRD, 1000, 3) == [1002, 1005, 1008]
    assert Planner(0, 2).next_due(EVERY_THIRD, 0, 4) == [2, 3, 5, 6]


@pytest.mark.parametrize(("batches", "most"), [(1, 1), (4, 4), (30, 25)])
def test_room_for_the_due_updates_of_an_execution(batches, most):
    """Never less than what is due within it, at least 1, at most one per batch."""
    planner = Planner(0, batches_per_epoch=30)
    schedules = [HISTOGRAMS, EVERY_THIRD]
    room = planner.most_within(schedules, batches)
    assert 1 <= room <= batches
    planner.begin_epoch(1, 0)
    due = {u for s in schedules for u in planner.next_due(s, 0, batches) if u <= batches}
    assert len(due) <= room <= most
