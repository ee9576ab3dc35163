"""The roster's decisions, told what happens and what time it is: stories, each with the steps that follow."""

import pytest

from shim.server.steps import End, Kill, Order, Say, Start, Tell
from shim.server.workers import Life, Patience, Roster, Stage
from shim.timing import UNLIMITED

NOW, DRAIN, RETIRE = Order.NOW, Order.DRAIN, Order.RETIRE
PATIENCE = Patience(settled=10, first_pause=0.5, longest_pause=4, attempts=5)


class Told:
    """A roster, and what it said to do."""

    def __init__(self, size=2):
        self.roster = Roster(size, PATIENCE)
        self.now = 0.0
        self.said = []
        # Workers that cannot be started.
        self.unborn = set()

    def act(self, steps):
        """The steps that are not words."""
        taken = []
        for step in steps:
            if isinstance(step, Say):
                self.said.append(step)
                continue
            taken.append(step)
            if isinstance(step, Start) and step.number in self.unborn:
                taken += self.act(self.roster.not_started(step.number, "no room", self.now))
        return taken

    def steps(self):
        return self.act(self.roster.steps(self.now))

    def up(self, *numbers):
        return [step for number in numbers for step in self.act(self.roster.came_up(number))]

    def ended(self, number, status=0):
        return self.act(self.roster.ended(number, status, self.now))

    def end(self, order):
        return self.act(self.roster.end(order))

    def serving(self):
        """Bring it to the point where all serve."""
        assert self.steps()
        assert self.up(*self.roster.workers) == []
        assert self.roster.life is Life.SERVING
        return self


def starts(generation, *numbers):
    return [Start(number, generation) for number in numbers]


def tells(order, *numbers):
    return [Tell(number, order) for number in numbers]


def test_all_are_started_and_serve_when_the_last_is_up():
    told = Told(3)
    assert told.steps() == starts(1, 1, 2, 3)
    assert told.steps() == []
    told.up(1, 3)
    assert told.roster.life is Life.STARTING
    told.up(2)
    assert told.roster.life is Life.SERVING
    assert told.up(2) == [], "signs of life go on"


@pytest.mark.parametrize("status", [0, 1, -9])
def test_a_crashed_worker_is_replaced_at_once(status):
    told = Told().serving()
    told.now = 100
    assert told.ended(1, status) == []
    assert told.steps() == starts(1, 3)
    assert told.said[0].is_fault
    assert told.said[0].text == (
        f"Worker 1 was killed by signal {-status}" if status < 0 else f"Worker 1 ended with status {status}"
    )
    assert told.said[1].text == "A new worker takes its place"


def test_crashes_at_once_make_longer_and_longer_pauses():
    told = Told(1).serving()
    pauses = []
    for _ in range(4):
        (number,) = told.roster.workers
        assert told.ended(number, 1) == []
        pauses.append(told.roster.next_due - told.now)
        if pauses[-1]:
            told.now = told.roster.next_due - 0.01
            assert told.steps() == []
        told.now = told.roster.next_due
        assert told.steps() == starts(1, number + 1)
        assert told.up(number + 1) == []
        assert told.roster.next_due is None
    assert pauses == [0, 0.5, 1, 2]
    assert told.said[-1].text == "A new worker takes its place in 2 s"


def test_the_pause_has_an_end():
    assert [PATIENCE.pause(failures) for failures in (1, 2, 5, 6, 60)] == [0, 0.5, 4, 4, 4]


def test_one_that_lived_for_a_while_is_no_failure_in_a_row():
    told = Told(1).serving()
    for _ in range(20):
        (number,) = told.roster.workers
        told.now += 11
        told.ended(number, -11)
        assert told.roster.next_due == told.now
        assert told.steps() == starts(1, number + 1)


def test_it_gives_up_where_workers_cannot_be_kept_alive():
    told = Told(1).serving()
    for number in (1, 2, 3, 4):
        assert told.ended(number, 1) == []
        told.now = told.roster.next_due
        told.steps()
    assert told.ended(5, 1) == [End(failed=True)]
    assert told.said[-1].text == "5 workers in a row ended at once: giving up"
    assert told.steps() == []


def test_it_does_not_give_up_as_long_as_others_serve():
    told = Told(2).serving()
    for _ in range(20):
        assert told.ended(max(told.roster.workers), 1) == []
        told.now = told.roster.next_due
        assert told.steps()
    assert told.said[-1].text == "A new worker takes its place in 4 s"
    # What has come up last counts for one that serves as well.
    told.up(max(told.roster.workers))
    assert told.ended(1, 1) == []


def test_one_that_does_not_come_up_is_killed():
    told = Told(2)
    told.steps()
    told.up(1)
    assert told.roster.next_due == PATIENCE.start
    told.now = PATIENCE.start - 1
    assert told.steps() == []
    told.now = PATIENCE.start
    assert told.steps() == [Kill(2)]
    assert told.said[-1].text == "Worker 2 has not come up and is killed"
    assert told.steps() == [], "once"
    assert told.ended(2, -9) == tells(DRAIN, 1)


def test_a_replacement_that_does_not_come_up_is_replaced_in_its_turn():
    told = Told(1).serving()
    told.now = 20
    told.ended(1, -9)
    assert told.steps() == starts(1, 2)
    assert told.roster.next_due == 20 + PATIENCE.start
    told.now = 20 + PATIENCE.start
    assert told.steps() == [Kill(2)]
    assert told.roster.next_due == UNLIMITED, "only its end can change anything"
    told.ended(2, -9)
    told.now = told.roster.next_due
    assert told.steps() == starts(1, 3)


def test_a_change_that_hangs_is_called_off():
    told = Told(1).serving()
    told.roster.change_over(2)
    told.steps()
    told.up(2)
    told.now = PATIENCE.start
    assert told.steps() == [Kill(3)]
    assert told.ended(3, -9) == tells(NOW, 2)
    assert told.roster.life is Life.SERVING


@pytest.mark.parametrize("status", [1, 3, -9])
def test_one_that_never_served_ends_it_all(status):
    told = Told(2)
    told.steps()
    assert told.ended(1, status) == tells(DRAIN, 2)
    assert told.ended(2) == [End(failed=True)]
    # The one that failed in order has said why itself.
    assert len(told.said) == (status != 1)


# -- no room for another process -----------------------------------------------------------------


def test_one_that_cannot_be_started_is_tried_again_after_the_pause():
    told = Told(3).serving()
    told.unborn = {4, 5, 6}
    told.ended(1)
    told.ended(2)
    told.now = told.roster.next_due
    assert told.steps() == starts(1, 4), "the second that is missing has to wait as well"
    assert told.said[-2] == Say("Worker 4 cannot be started: no room", is_fault=True)
    pauses = []
    for number in (5, 6):
        pauses.append(told.roster.next_due - told.now)
        assert told.steps() == []
        told.now = told.roster.next_due
        assert told.steps() == starts(1, number)
    assert pauses == [1, 2]
    told.now = told.roster.next_due
    assert told.steps() == starts(1, 7, 8)
    assert told.roster.life is Life.SERVING


def test_none_can_be_started_and_none_serves():
    told = Told(1).serving()
    told.unborn = {2, 3, 4, 5}
    told.ended(1)
    assert told.steps() == starts(1, 2)
    for number in (3, 4):
        told.now = told.roster.next_due
        assert told.steps() == starts(1, number)
    told.now = told.roster.next_due
    assert told.steps() == [*starts(1, 5), End(failed=True)]


def test_the_first_cannot_be_started():
    told = Told(2)
    told.unborn = {1}
    assert told.steps() == [*starts(1, 1), End(failed=True)]


def test_another_of_the_first_cannot_be_started():
    told = Told(3)
    told.unborn = {2}
    assert told.steps() == [*starts(1, 1, 2), *tells(DRAIN, 1)]
    assert told.ended(1) == [End(failed=True)]


def test_a_change_that_cannot_be_started_is_called_off():
    told = Told(2).serving()
    told.unborn = {4}
    told.roster.change_over(3)
    assert told.steps() == [*starts(2, 3, 4), Kill(3)]
    assert (told.roster.generation, told.roster.life) == (1, Life.SERVING)
    assert told.steps() == told.ended(3, -9) == []


# -- the end --------------------------------------------------------------------------------------


def test_asked_to_end():
    told = Told(2).serving()
    assert told.end(DRAIN) == tells(DRAIN, 1, 2)
    assert told.ended(2) == []
    assert told.steps() == []
    assert told.roster.next_due is None
    assert told.ended(1) == [End(failed=False)]
    assert told.said == []


def test_asked_twice_means_now():
    told = Told(2).serving()
    told.end(DRAIN)
    told.ended(2)
    assert told.end(NOW) == tells(NOW, 1)
    assert told.ended(1, -9) == [End(failed=False)]


def test_who_is_not_up_yet_is_killed_when_it_means_now():
    told = Told(2)
    told.steps()
    told.up(1)
    assert told.end(NOW) == [Tell(1, NOW), Kill(2)]


def test_the_last_resort():
    told = Told(2).serving()
    told.end(NOW)
    assert told.act(told.roster.kill()) == [Kill(1), Kill(2)]


def test_asked_to_end_before_anybody_serves():
    told = Told(2)
    assert told.end(DRAIN) == [End(failed=False)]
    told = Told(2)
    told.steps()
    assert told.end(DRAIN) == tells(DRAIN, 1, 2)
    assert told.up(1) == [], "too late"
    assert told.ended(1) == []
    assert told.ended(2, 1) == [End(failed=False)]


def test_asked_to_end_during_a_pause():
    told = Told(1).serving()
    told.ended(1)
    told.steps()
    told.ended(2)
    assert told.roster.next_due > told.now
    assert told.end(DRAIN) == [End(failed=False)]


# -- changing over --------------------------------------------------------------------------------


def test_the_old_retire_when_all_new_ones_are_up():
    told = Told(2).serving()
    assert told.roster.change_over(3) == 2
    assert told.steps() == starts(2, 3, 4, 5)
    assert told.up(3, 5) == []
    assert told.roster.generation == 1
    assert told.up(4) == tells(RETIRE, 1, 2)
    assert (told.roster.generation, told.roster.life) == (2, Life.SERVING)
    assert told.ended(1) == told.ended(2) == told.steps() == []
    told.ended(5, -9)
    assert told.steps() == starts(2, 6)


def test_fewer_than_before():
    told = Told(3).serving()
    told.roster.change_over(1)
    assert told.steps() == starts(2, 4)
    assert told.up(4) == tells(RETIRE, 1, 2, 3)
    assert told.steps() == []


def test_a_change_that_does_not_come_up_is_called_off():
    told = Told(2).serving()
    told.roster.change_over(2)
    told.steps()
    told.up(3)
    assert told.ended(4, 1) == tells(NOW, 3)
    assert (told.roster.generation, told.roster.life) == (1, Life.SERVING)
    assert told.said[-1].text.startswith("The new configuration is not used: ")
    assert told.steps() == told.ended(3) == []
    # And may be tried again: a number of a generation is no promise, one of a worker is.
    assert told.roster.change_over(1) == 2
    assert told.steps() == starts(2, 5)
    assert told.up(5) == tells(RETIRE, 1, 2)


def test_an_old_one_that_crashes_meanwhile_is_replaced():
    told = Told(2).serving()
    told.roster.change_over(2)
    told.steps()
    told.now = 50
    assert told.ended(1, -11) == []
    assert told.steps() == starts(1, 5)
    told.up(3)
    assert told.up(4) == tells(RETIRE, 2, 5)


def test_pauses_are_not_for_a_new_configuration():
    told = Told(1).serving()
    for number in (1, 2):
        told.ended(number, 1)
        told.steps()
    assert told.roster.next_due == told.now + 0.5
    told.roster.change_over(1)
    assert told.steps() == starts(2, 3)
    assert told.up(3) == []
    assert told.roster.next_due is None


def test_asked_to_end_meanwhile():
    told = Told(1).serving()
    told.roster.change_over(1)
    told.steps()
    assert told.end(DRAIN) == tells(DRAIN, 1, 2)
    assert told.up(2) == []
    assert {worker.stage for worker in told.roster.workers.values()} == {Stage.LEAVING}


def test_asked_to_end_while_the_old_still_retire():
    told = Told(1).serving()
    told.roster.change_over(1)
    told.steps()
    told.up(2)
    assert told.end(DRAIN) == tells(DRAIN, 1, 2)
    assert told.ended(2) == []
    assert told.ended(1) == [End(failed=False)]
