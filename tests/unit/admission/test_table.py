"""Who waits and who holds: turns as they are given one after the other, and places in line."""

import pytest

from shim.admission import table
from shim.admission.preference import only
from shim.admission.slots import MOST_PASSED_OVER, Capacity, Kind
from shim.admission.table import LocalTable
from tests.support.series import series

GREEDY, MODEST = 1, 2


class Story:
    """A table, and short words for what happens to it."""

    def __init__(self, *slots, share=0.75):
        self.table = LocalTable(Capacity.of(slots, share))

    def joins(self, kind=Kind.UPLOAD, project=GREEDY, times=1):
        """So many come in line; the last of them."""
        for _ in range(times):
            waiter = self.table.enter(kind, project)
            self.table.add(waiter)
        return waiter

    def grants(self):
        """Who gets a slot now: numbers."""
        return [holder.number for holder in self.table.grant()]

    def ends(self, number):
        """One is over; who gets its slot."""
        return [holder.number for holder in self.table.leave(number)]


def test_nobody_waits_where_there_is_no_limit():
    story = Story(float("inf"))
    for number in range(1, 100):
        story.joins()
        assert story.grants() == [number]
    assert story.table.held(0) == 99


@series("slots", [1, 2, 3, 4, 8, 16])
def test_another_project_waits_for_one_upload_to_end_and_no_longer(slots):
    """However many the first has in line."""
    story = Story(slots)
    story.joins(times=100)
    under_way = story.grants()
    modest = story.joins(project=MODEST)
    assert story.grants() == []
    assert story.table.place(modest) == 2, "as projects take turns, one of the others may come first"
    assert story.ends(under_way[0]) == [modest.number]


def test_projects_take_turns():
    story = Story(2)
    story.joins(times=5)
    order = story.grants()
    story.joins(project=MODEST, times=3)
    while order[-1:] and (granted := story.ends(order[-1])):
        order += granted
    assert order == [1, 6, 2, 7, 3, 8, 4, 5]


def test_an_upload_waits_for_small_requests_but_not_for_ever():
    story = Story(1)
    story.joins(Kind.SMALL)
    story.grants()
    upload = story.joins()
    held, passed_over = 1, 0
    while held != upload.number:
        small = story.joins(Kind.SMALL, project=MODEST)
        (held,) = story.ends(held)
        passed_over += held == small.number
        # One more comes meanwhile, so that there is always a small one in line.
        assert passed_over <= MOST_PASSED_OVER
    assert passed_over == MOST_PASSED_OVER


def test_new_projects_without_end_do_not_starve_one_that_holds():
    """Each of them holds less than it does; and whoever has many addresses has many projects."""
    story = Story(3)
    story.joins()
    story.joins(project=MODEST)
    _, held = story.grants()
    again, passed_over = story.joins(), 0
    while held != again.number:
        story.joins(project=100 + passed_over)
        (held,) = story.ends(held)
        passed_over += held != again.number
        assert passed_over <= MOST_PASSED_OVER
    assert passed_over == MOST_PASSED_OVER


def test_a_refused_request_comes_back_to_its_place():
    story = Story(1, 1, share=1.0)
    story.joins(Kind.SMALL, times=2)
    assert story.grants() == [1, 2]
    waiting = [story.joins(Kind.SMALL) for _ in range(3)]
    assert story.ends(1) == [waiting[0].number]
    story.table.remove(waiting[0].number)
    story.table.add(waiting[0])
    assert story.table.place(waiting[0]) == 1
    assert story.grants() == [waiting[0].number]


def test_places_as_projects_take_turns():
    story = Story(2)
    story.joins()
    story.grants()
    greedy = [story.joins() for _ in range(4)]
    modest = [story.joins(project=MODEST) for _ in range(2)]
    story.joins(Kind.SMALL)
    assert [story.table.place(waiter) for waiter in greedy] == [2, 4, 5, 6]
    assert [story.table.place(waiter) for waiter in modest] == [2, 4]
    assert (story.table.waiting(), story.table.waiting(Kind.UPLOAD)) == (7, 6)


def test_leaving_the_line():
    story = Story(2)
    story.joins(times=3)
    assert story.grants() == [1]
    assert story.ends(2) == []
    assert story.table.waiting() == 1
    assert story.ends(1) == [3]
    assert story.ends(99) == story.ends(1) == []


def test_more_and_fewer_slots():
    story = Story(2)
    story.joins(Kind.SMALL, times=6)
    assert story.grants() == [1, 2]
    story.table.resize(Capacity.of((4,), 0.75))
    assert story.grants() == [3, 4]
    story.table.resize(Capacity.of((1,), 0.75))
    assert [story.ends(number) for number in (1, 2, 3)] == [[], [], []]
    assert story.ends(4) == [5]


def test_a_project_that_is_gone_is_forgotten():
    story = Story(2)
    for project in range(50):
        waiter = story.joins(project=project)
        story.grants()
        story.table.leave(waiter.number)
    assert story.table._held.turns == {}
    assert story.table._lines == {}


def test_a_table_describes_itself():
    story = Story(2)
    story.joins(times=3)
    story.grants()
    assert (
        repr(story.table)
        == "<LocalTable: 1 held, 2 waiting, of Capacity(servers=(2,), uploads=1, uploads_each=inf)>"
    )


def test_a_line_for_servers_without_a_slot_costs_one_look(monkeypatch):
    """All of it avoid the same servers: what the first was refused, the others are not asked about."""
    looks = []

    def may_enter(waiter, *state):
        looks.append(waiter)
        return may_enter_indeed(waiter, *state)

    may_enter_indeed = table.may_enter
    monkeypatch.setattr(table, "may_enter", may_enter)
    story = Story(1, 1)
    holds = story.table.enter(Kind.SMALL, MODEST)
    story.table.add(holds._replace(avoided=0b10))
    story.grants()
    for _ in range(1000):
        story.table.add(story.table.enter(Kind.SMALL, GREEDY)._replace(avoided=0b10))
    last = story.table.enter(Kind.SMALL, GREEDY)._replace(avoided=0b01)
    story.table.add(last)
    looks.clear()
    assert story.grants() == [last.number], "who avoids others is not passed over"
    assert len(looks) <= 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("servers", [(0, 1, 2), (1,), (2, 0)], ids=str)
def test_taking_a_slot_at_once_is_joining_and_being_granted_one(servers, kind):
    """However much is held by then; and nobody takes one that somebody waits for."""
    short, full = Story(1, 3, 2), Story(1, 3, 2)
    while True:
        waiter = short.table.enter(kind, GREEDY)
        (granted,) = [*full.table.join(only(full.table.enter(kind, GREEDY), servers, 3)), None][:1]
        assert short.table.take(waiter, servers) == granted
        if granted is None:
            break
        assert (short.table.turn, repr(short.table)) == (full.table.turn, repr(full.table))
    assert short.table.waiting() == 0
    assert full.table.take(full.table.enter(Kind.SMALL, MODEST), (0, 1, 2)) is None
