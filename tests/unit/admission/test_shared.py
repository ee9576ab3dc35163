"""One line of several processes: it is the line that one process would have, and the dead leave it."""

import contextlib
import itertools
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.admission.preference import Preference
from shim.admission.queue import SlotQueue
from shim.admission.shared import Lines, SharedTable
from shim.admission.slots import Capacity, Kind, Waiter
from shim.admission.table import LocalTable
from shim.errors import DiskError, QueueFull, UploadsFull
from shim.ledger import layout, locks
from shim.ledger.rows import Rows
from shim.ledger.table import STEP_LOCK
from tests.fakes.loops import run
from tests.support.examples import examples
from tests.unit.ledger.test_table import Processes

SMALL, UPLOAD = Kind
GREEDY, MODEST = 1, 2


class Party:
    """Processes with a line of their own in common, whose clock moves on with each look at it."""

    def __init__(self, folder, *slots, count=2, share=0.75):
        self.processes = Processes(folder)
        self.capacity = Capacity.of(slots, share)
        self.clock = itertools.count(1_000_000, 1000)
        self.rung = []
        self.ledgers = [self.processes.join(holders=False) for _ in range(count)]
        self.tables = [self.table(ledger) for ledger in self.ledgers]

    def table(self, ledger, name="main", **options):
        clock = self.clock.__next__
        return SharedTable(self.capacity, Rows(ledger, name), self.rung.append, clock=clock, **options)

    def joins(self, process, kind=SMALL, project=GREEDY, times=1):
        """So many come in line; the last of them."""
        for _ in range(times):
            waiter = self.tables[process].enter(kind, project)
            granted = [holder.number for holder in self.tables[process].join(waiter)]
        return waiter, granted

    def dies(self, process):
        self.processes.end(self.ledgers[process])

    def rings(self):
        rung = [*self.rung]
        self.rung.clear()
        return rung

    def close(self):
        self.processes.close()


@pytest.fixture
def party(tmp_path):
    with contextlib.ExitStack() as stack:
        yield lambda *slots, **options: stack.enter_context(
            contextlib.closing(Party(tmp_path, *slots, **options))
        )


def numbers(holders):
    return [holder.number for holder in holders]


def test_slots_hold_across_processes(party):
    made = party(3)
    one, other = made.tables
    first, granted = made.joins(0)
    assert granted == [first.number]
    made.joins(1)
    made.joins(0)
    late, granted = made.joins(1)
    assert granted == []
    assert (one.held(0), one.waiting(), other.waiting()) == (3, 0, 1)
    assert numbers(one.leave(first.number)) == []
    assert made.rings() == [1], "the one whose turn it is hears of it"
    assert numbers(other.grant()) == [late.number]
    assert other.grant() == []


def test_uploads_share_holds_across_processes(party):
    made = party(2)
    made.joins(0, UPLOAD)
    assert made.joins(1, UPLOAD)[1] == []
    small, granted = made.joins(1)
    assert granted == [small.number]


def test_projects_take_turns_wherever_they_wait(party):
    """However many the first has in line, in this process or in another one."""
    made = party(2, count=3)
    under_way, _ = made.joins(0)
    made.joins(0, times=50)
    made.joins(1, times=50)
    modest, _ = made.joins(2, project=MODEST)
    made.tables[0].leave(under_way.number)
    assert made.rings() == [2]
    assert numbers(made.tables[2].grant()) == [modest.number]


def test_a_project_is_remembered_to_have_had_its_turn(party):
    """By those too who took no step while it had it."""
    made = party(1, count=3)
    held, _ = made.joins(0, project=3)
    greedy, _ = made.joins(0, times=2)
    modest, _ = made.joins(1, project=MODEST)
    for process, number in ((0, held.number), (0, greedy.number - (1 << 7))):
        made.tables[process].leave(number)
    # The greedy one's turn is over, and it waits again; the modest one has had none, then each has had one.
    assert numbers(made.tables[1].grant()) == [modest.number]
    assert made.tables[2].grant() == []
    last, _ = made.joins(2, project=MODEST)
    made.tables[1].leave(modest.number)
    assert numbers(made.tables[0].grant()) == [greedy.number]
    made.tables[0].leave(greedy.number)
    assert numbers(made.tables[2].grant()) == [last.number]


def test_servers_that_are_avoided_from_now_on(party):
    """In line for other servers than before, in the same row: the other process offers it those alone."""
    made = party(1, 1)
    one, other = made.tables
    (first, _), (second, _) = made.joins(0), made.joins(0)
    waiter, _ = made.joins(1)
    with one._rows.step() as news:
        one._follow(news)
    elsewhere = waiter._replace(avoided=1 << 0)
    # As a queue does when a server is ejected.
    assert other.leave(waiter.number) == other.join(elsewhere) == []
    assert one.leave(first.number) == []
    assert made.rings() == []
    assert one._mirror.first(waiter.share) == elsewhere
    assert one.leave(second.number) == []
    assert made.rings() == [1]
    assert [(holder.number, holder.server) for holder in other.grant()] == [(waiter.number, 1)]


def test_who_does_not_know_the_size_gives_to_its_own_alone(party):
    """And tells the others when it gives something back: they know whether that makes room."""
    made = party(math.inf)
    one, other = made.tables[0], made.table(made.ledgers[1], is_told_later=True)
    made.tables[1] = other
    one.resize(Capacity.of((2,), 0.75))
    made.joins(0)
    mine, granted = made.joins(1)
    assert granted == [mine.number]
    waiting, _ = made.joins(0)
    made.joins(0, times=7)
    more, granted = made.joins(1)
    assert granted == [more.number]
    assert (other.held(0), one.waiting(), made.rings()) == (3, 8, [])
    assert other.leave(more.number) == []
    assert made.rings() == [0]
    assert one.grant() == []
    assert other.leave(mine.number) == []
    assert made.rings() == [0]
    assert numbers(one.grant()) == [waiting.number]
    # Told at last, it gives to all.
    other.resize(Capacity.of((3,), 0.75))
    late, granted = made.joins(1, project=MODEST)
    assert (granted, made.rings()) == ([late.number], [])
    assert other.leave(late.number) == []
    assert made.rings() == [0]
    assert other.held(0) == 3


def test_who_does_not_know_the_size_clears_away_the_dead(party):
    made = party(math.inf, count=3)
    made.tables[1] = made.table(made.ledgers[1], is_told_later=True)
    made.tables[0].resize(Capacity.of((1,), 0.75))
    made.joins(2)
    waiting, granted = made.joins(0)
    assert granted == []
    made.dies(2)
    made.joins(1)
    assert made.rings() == [0]
    made.tables[0].resize(Capacity.of((2,), 0.75))
    assert numbers(made.tables[0].grant()) == [waiting.number]


def test_a_server_that_takes_any_number(party):
    """That is known: who gives an upload's slot back gives it to whoever waits for it."""
    made = party(math.inf)
    made.capacity = Capacity.of((math.inf,), 0.75, uploads_each=1)
    made.tables = [made.table(ledger) for ledger in made.ledgers]
    first, _ = made.joins(0, UPLOAD)
    waiting, granted = made.joins(1, UPLOAD)
    assert granted == []
    made.tables[0].leave(first.number)
    assert made.tables[0].held(0) == 1
    assert made.rings() == [1]
    assert numbers(made.tables[1].grant()) == [waiting.number]


def test_a_dead_process_leaves_line_and_slots(party):
    """Its waiting requests too: no slot is given to them."""
    made = party(2)
    made.joins(0, times=5)
    waiter, granted = made.joins(1, project=MODEST)
    assert granted == []
    made.dies(0)
    assert numbers(made.tables[1].grant()) == [waiter.number]
    assert made.tables[1].held(0) == 1
    again, granted = made.joins(1)
    assert granted == [again.number]


def test_its_successor_holds_nothing(party):
    """It has the same slot of the table, and so the same name in the line."""
    made = party(1)
    made.joins(0, times=3)
    made.dies(0)
    successor = made.processes.join(holders=False)
    assert successor.slot == 0
    table = made.table(successor)
    waiter = table.enter(SMALL, GREEDY)
    assert numbers(table.join(waiter)) == [waiter.number]


@pytest.mark.parametrize("slots", [2, 3], ids=["that puts it in line", "that gives it a slot"])
@pytest.mark.parametrize("killed_after", range(16))
def test_killed_in_the_middle_of_a_step(party, monkeypatch, killed_after, slots):
    """After any of its writes: the others go on as if its request had never been, or had been and gone."""
    made = party(slots)
    first, _ = made.joins(0)
    mine, _ = made.joins(1)

    class Killed(BaseException):
        pass

    class Counting:
        def __init__(self, words):
            self.words, self.left = words, killed_after

        def __getitem__(self, key):
            return self.words[key]

        def __setitem__(self, key, value):
            if self.left == 0:
                raise Killed
            self.left -= 1
            self.words[key] = value

    rows = made.tables[0]._rows
    monkeypatch.setattr(rows, "_words", Counting(rows._words))
    with contextlib.suppress(Killed):
        made.joins(0)
        made.tables[0].leave(first.number)
    made.dies(0)
    for _ in range(slots - 1):
        waiting, granted = made.joins(1)
        assert granted == [waiting.number]
    assert made.joins(1)[1] == [], "the last is one too many"
    assert len(made.tables[1].leave(mine.number)) == 1
    assert (made.tables[1].held(0), made.tables[1].waiting()) == (slots, 0)


def test_a_lock_that_is_not_to_be_had(party, monkeypatch, caplog):
    """Nobody gets in, and what is given back is so with the next step."""
    made = party(1)
    held, _ = made.joins(0)
    table = made.tables[0]
    monkeypatch.setattr("shim.ledger.table.PATIENCE", 0.0)
    stopped = made.ledgers[1]
    assert locks.try_lock(stopped._descriptor, STEP_LOCK)
    with pytest.raises(UploadsFull):
        made.joins(0)
    assert table.leave(held.number) == []
    assert "given back later" in caplog.text
    locks.unlock(stopped._descriptor, STEP_LOCK)
    waiter, granted = made.joins(1)
    assert granted == [], "nobody has told of it yet"
    assert table.grant() == []
    assert made.rings() == [1]
    assert numbers(made.tables[1].grant()) == [waiter.number]


def test_a_slot_for_one_that_could_not_leave(party, monkeypatch):
    """It was given one before it could tell that it had gone: nobody hears of it, and the next gets it."""
    made = party(1)
    held, _ = made.joins(0)
    gone, _ = made.joins(1)
    following, _ = made.joins(1)
    monkeypatch.setattr("shim.ledger.table.PATIENCE", 0.0)
    stopped = made.processes.join(holders=False)
    assert locks.try_lock(stopped._descriptor, STEP_LOCK)
    made.tables[1].leave(gone.number)
    assert made.tables[1].waiting() == 1
    locks.unlock(stopped._descriptor, STEP_LOCK)
    made.tables[0].leave(held.number)
    assert made.rings() == [1]
    assert numbers(made.tables[1].grant()) == [following.number]


def test_a_table_without_a_row_left(party, monkeypatch):
    monkeypatch.setattr(layout, "ROWS", 3)
    made = party(1)
    made.joins(0, times=3)
    with pytest.raises(QueueFull):
        made.joins(1)


def test_a_slot_without_a_row_left(party, monkeypatch):
    """It stays free for who comes when there is one."""
    monkeypatch.setattr(layout, "ROWS", 2)
    made = party(3)
    first, _ = made.joins(0)
    made.joins(0)
    with pytest.raises(QueueFull):
        made.joins(1)
    assert made.tables[1].held(0) == 2
    made.tables[0].leave(first.number)
    late, granted = made.joins(1)
    assert (granted, made.tables[1].held(0)) == ([late.number], 2)


def test_lines_do_not_mix_and_those_of_nobody_are_used_again(party, monkeypatch):
    monkeypatch.setattr(layout, "AREAS", 2)
    made = party(1)
    made.joins(0)
    other = made.table(made.ledgers[0], "other")
    waiter = other.enter(SMALL, GREEDY)
    assert numbers(other.join(waiter)) == [waiter.number]
    with pytest.raises(DiskError):
        made.table(made.ledgers[1], "third")
    made.dies(0)
    third = made.table(made.ledgers[1], "third")
    waiter = third.enter(SMALL, GREEDY)
    assert numbers(third.join(waiter)) == [waiter.number]


def test_lines_of_one_process_have_areas_of_their_own(tmp_path):
    """The kernel shows nobody the locks of his own file description: a process has to know what it uses."""
    names = ["glance", "metadefs", "tasks"]
    with contextlib.closing(Processes(tmp_path)) as processes:
        first, second, third = (processes.join(holders=False) for _ in range(3))
        areas = {name: Rows(first, name)._area for name in names}
        assert sorted(areas.values()) == [0, 1, 2]
        assert {name: Rows(second, name)._area for name in names} == areas
        # The one that made them has gone; who comes now finds them by their keys all the same.
        processes.end(first)
        assert {name: Rows(third, name)._area for name in reversed(names)} == areas


def test_two_upstreams_of_one_process_do_not_feel_each_other(party):
    made = party(1, count=1)
    one, (ledger,) = made.tables[0], made.ledgers
    first, granted = made.joins(0)
    assert granted == [first.number]
    other = made.table(ledger, "other")
    second = other.enter(UPLOAD, MODEST)
    assert numbers(other.join(second)) == [second.number]
    late, granted = made.joins(0)
    assert granted == []
    assert (one.held(0), one.waiting(), other.held(0), other.waiting()) == (1, 1, 1, 0)
    assert numbers(other.leave(second.number)) == []
    assert numbers(one.leave(first.number)) == [late.number]


@pytest.mark.parametrize("word", [layout.STATE, layout.OWNER])
def test_a_damaged_row(party, word):
    made = party(1)
    made.joins(0)
    words = made.ledgers[0].words
    words[layout.row(0, 0) + word] = -5
    words[layout.area_header(0) + layout.CHANGES] += 1
    with pytest.raises(DiskError):
        made.joins(1)


def test_places_are_told_in_turns_of_ones_own(party):
    made = party(1)
    made.joins(0)
    made.joins(0, times=3)
    last, _ = made.joins(1)
    assert made.tables[1].place(last) == 1, "of four turns one is its process's"


def test_a_place_where_nobody_waits_any_more(party):
    """Its time was over in the moment in which it got a slot."""
    made = party(1)
    first, _ = made.joins(0)
    late, _ = made.joins(1)
    made.tables[0].leave(first.number)
    table = made.tables[1]
    with table._rows.step() as news:
        table._follow(news)
    assert table.place(late) == 0


kinds, projects = st.sampled_from(Kind), st.integers(1, 3)
events = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "leave", "refuse", "look"]), st.integers(0, 2), kinds, projects
    ),
    max_size=60,
)


@given(events, st.lists(st.integers(0, 3), min_size=2, max_size=2), st.randoms(use_true_random=False))
@examples(60)
def test_it_is_the_line_that_one_process_would_have(story, slots, random):
    """Whatever happens wherever, the same requests get slots, in the same order."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Party(Path(folder), *slots, count=3)) as made,
    ):
        model, alive = LocalTable(made.capacity), {}
        for what, process, kind, project in story:
            table, granted = made.tables[process], []
            if what == "join":
                waiter = table.enter(kind, project)
                alive[waiter.number] = process
                granted, expected = table.join(waiter), model.join(waiter)
            elif what in ("leave", "refuse") and alive:
                number = random.choice(sorted(alive))
                table = made.tables[alive.pop(number)]
                holder = model._holders.get(number)
                granted, expected = table.leave(number), model.leave(number)
                if what == "refuse" and holder is not None:
                    again = Waiter(number, holder.kind, holder.project, 1 << holder.server)
                    alive[number] = made.tables.index(table)
                    granted, expected = [*granted, *table.join(again)], [*expected, *model.join(again)]
            else:
                granted, expected = table.grant(), []
            for woken in set(made.rings()) - {made.tables.index(table)}:
                granted = [*granted, *made.tables[woken].grant()]
            assert sorted(numbers(granted)) == sorted(numbers(expected))
            assert sum(each.waiting() for each in made.tables) == model.waiting()
            with table._rows.step() as news:
                table._follow(news)
            assert (table._rows.turn, table._rows.passed_over) == (model.turn, model.passed_over)
            # But not the turns of projects: a process that comes later knows of those since then alone.
            held, expected = ({**vars(one._held), "turns": None} for one in (table._mirror, model))
            assert held == expected


def test_a_place_at_once_or_none(party):
    """As far as there are slots; who finds none is in no line, and holds nothing."""

    async def scene():
        made = party(2)
        queue = SlotQueue(1, table=made.tables[0])
        queue.limit(0, 2)
        preference = Preference((), (0,))
        made.joins(1)
        place = queue.place_now("a", None, None, preference)
        assert place is not None
        assert place.server == 0
        assert queue.place_now("b", None, None, preference) is None
        assert queue.place_now("b", None, None, Preference((0,), (0,))) is None
        assert (queue.waiting, queue.used(0), made.rings()) == (0, 2, [])
        place.give_back()
        assert queue.used(0) == 1
        assert queue.place_now("b", None, None, preference) is not None

    run(scene())


def test_who_waits_comes_before_who_finds_a_slot_at_once(party):
    made = party(1)

    async def scene():
        queue = SlotQueue(1, table=made.tables[0])
        queue.limit(0, 1)
        first, _ = made.joins(1)
        made.joins(1)
        assert queue.place_now("a", None, None, Preference((), (0,))) is None
        made.tables[1].leave(first.number)
        assert queue.place_now("a", None, None, Preference((), (0,))) is None
        assert made.tables[1].waiting() == 0

    run(scene())


def test_they_describe_themselves(party):
    made = party(1)
    made.joins(0, times=2)
    assert repr(made.tables[0]).startswith("<SharedTable: 1 waiting here, <LocalTable: 1 held, 1 waiting")
    assert repr(made.tables[0]._rows) == "<Rows of area 0: 2 in use>"
    assert isinstance(Lines(made.ledgers[0], None), Lines)
