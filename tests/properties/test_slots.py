"""Slots and line under any sequence of events: never too many, never idle, nobody lost, nobody starved."""

import math
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shim.admission import slots
from shim.admission.preference import only
from shim.admission.slots import Capacity, Held, Holder, Kind, Waiter, choose, may_enter
from shim.admission.table import LocalTable

kinds = st.sampled_from(Kind)
projects = st.integers(1, 4)
sizes = st.integers(0, 4) | st.just(math.inf)
capacities = st.builds(
    Capacity.of,
    st.lists(sizes, min_size=2, max_size=2),
    st.floats(0.01, 1.0, exclude_min=True),
    st.sampled_from([1, 2, math.inf]),
)
MOST_PASSED_OVER = 3
"""So few here that sequences reach it."""


@pytest.fixture(autouse=True)
def _soon_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by the machine: hypothesis also makes machines that it never tears down.
    monkeypatch.setattr(slots, "MOST_PASSED_OVER", MOST_PASSED_OVER)


class Line(RuleBasedStateMachine):
    """Requests that come, get slots, are refused, leave and end, beside a model that only lists them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, Waiter] = {}
        self.holding: dict[int, Holder] = {}
        self.outside: dict[int, Waiter] = {}
        self.of_number: dict[int, Waiter] = {}
        self.passed_over = 0

    def teardown(self) -> None:
        for number in [*self.waiting, *self.holding]:
            self.table.remove(number)
        assert self.table.waiting() == 0
        assert (self.table.held(0), self.table.held(1)) == (0, 0)
        assert self.table._held.turns == {}

    @initialize(capacity=capacities)
    def begin(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.table = LocalTable(capacity)

    # -- what happens ---------------------------------------------------------------------------------

    @rule(kind=kinds, project=projects)
    def come(self, kind: Kind, project: int) -> None:
        waiter = self.table.enter(kind, project)
        assert waiter.number > max(self.of_number, default=0)
        self.join(waiter)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave_the_line(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[number]
        self.table.remove(number)
        self.grant()

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.holding)))
        del self.holding[number]
        self.table.remove(number)
        # Released once, whatever is asked for after it.
        self.table.remove(number)
        self.grant()

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def be_refused(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.holding)))
        holder, waiter = self.holding.pop(number), self.of_number[number]
        self.table.remove(number)
        again = Waiter(number, waiter.kind, waiter.project, waiter.avoided | 1 << holder.server)
        self.grant()
        if again.avoided != 0b11:
            self.join(again)
        else:
            self.outside[number] = again

    @precondition(lambda self: self.outside)
    @rule(data=st.data())
    def try_again(self, data: st.DataObject) -> None:
        waiter = self.outside.pop(data.draw(st.sampled_from(sorted(self.outside))))
        self.join(Waiter(waiter.number, waiter.kind, waiter.project))

    @rule(capacity=capacities)
    def resize(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.table.resize(capacity)
        self.grant()

    # -- what is to hold at every step ----------------------------------------------------------------

    def join(self, waiter: Waiter) -> None:
        self.of_number[waiter.number] = self.waiting[waiter.number] = waiter
        self.table.add(waiter)
        self.grant()

    def grant(self) -> None:
        for holder in self.table.grant():
            self.check_turn(holder)
            waiter = self.waiting.pop(holder.number)
            assert (holder.kind, holder.project) == (waiter.kind, waiter.project)
            assert not waiter.avoided >> holder.server & 1
            self.holding[holder.number] = holder
            assert self.held(holder.server) <= self.capacity.servers[holder.server]
            if holder.kind is Kind.UPLOAD:
                assert self.uploads() <= self.capacity.uploads
                assert self.uploads(holder.server) <= self.capacity.uploads_each

    def check_turn(self, holder: Holder) -> None:
        """Nobody that could have gone before is passed over too often, and no project's order is changed."""
        counts = self.counted()
        fitting = [waiter for waiter in self.waiting.values() if may_enter(waiter, counts, self.capacity)]
        first = min(waiter.number for waiter in fitting)
        self.passed_over = 0 if holder.number == first else self.passed_over + 1
        assert self.passed_over <= MOST_PASSED_OVER
        own = [w.number for w in fitting if (w.kind, w.project) == (holder.kind, holder.project)]
        assert holder.number == min(own)

    def counted(self) -> Held:
        counts = Held(2)
        for holder in self.holding.values():
            counts.add(holder)
        return counts

    def held(self, server: int) -> int:
        return sum(holder.server == server for holder in self.holding.values())

    def uploads(self, *servers: int) -> int:
        """In these servers; by default in all."""
        holders = [holder for holder in self.holding.values() if not servers or holder.server in servers]
        return sum(holder.kind is Kind.UPLOAD for holder in holders)

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "table"):
            return
        assert self.table.waiting() == len(self.waiting)
        for kind in Kind:
            assert self.table.waiting(kind) == sum(w.kind is kind for w in self.waiting.values())
        assert [self.table.held(server) for server in (0, 1)] == [self.held(0), self.held(1)]
        held, holders = self.table._held, self.holding.values()
        assert held.uploads == [self.uploads(0), self.uploads(1)]
        assert held.kinds == [sum(holder.kind is kind for holder in holders) for kind in Kind]
        assert held.shares == Counter(holder.share for holder in holders)
        there = {waiter.share for waiter in self.waiting.values()} | held.shares.keys()
        assert held.shares.keys() <= held.turns.keys() <= there

    @invariant()
    def no_slot_is_idle(self) -> None:
        if hasattr(self, "table"):
            counts = self.counted()
            assert not [w for w in self.waiting.values() if may_enter(w, counts, self.capacity)]

    @invariant()
    def places_are_places(self) -> None:
        for waiter in self.waiting.values():
            same = sum(other.kind is waiter.kind for other in self.waiting.values())
            assert 1 <= self.table.place(waiter) <= same


TestLine = Line.TestCase


@given(
    st.lists(st.tuples(kinds, projects), max_size=30),
    st.lists(st.tuples(kinds, projects, st.integers(0, 1)), max_size=6),
    capacities,
    st.integers(0, 40),
)
def test_the_first_of_each_line_are_enough(waiting, holding, capacity, passed_over):
    """What a table may leave out changes no decision."""
    waiters = [Waiter(number, kind, project) for number, (kind, project) in enumerate(waiting, 1)]
    counts = Held(2)
    for number, (kind, project, server) in enumerate(holding, 100):
        counts.add(Holder(number, kind, project, server))
    firsts = {waiter.share: waiter for waiter in reversed(waiters)}.values()
    expected = choose(waiters, counts, capacity, passed_over)
    assert choose(firsts, counts, capacity, passed_over) == expected


servers = st.sampled_from([(0,), (1,), (0, 1)])
comings = st.tuples(kinds, projects, servers, st.integers(0, 3))
leavings = st.integers(0, 9)


def comes(kind: Kind, project: int) -> tuple[Kind, int, tuple[int, ...], int]:
    return kind, project, (0, 1), 0


# The second is passed over by the third, and leaves; the fourth finds nobody.
PASSED_OVER = [
    comes(Kind.SMALL, 1),
    comes(Kind.UPLOAD, 1),
    comes(Kind.SMALL, 2),
    0,
    0,
    0,
    comes(Kind.SMALL, 1),
]


@given(st.lists(comings | leavings, max_size=40), capacities)
@example(PASSED_OVER, Capacity.of([1, 0], 1.0))
def test_a_slot_that_is_taken_at_once_is_one_that_was_waited_for(events, capacity):
    """The short way leaves the table as the line does, count for count and turn for turn."""
    short, plain = LocalTable(capacity), LocalTable(capacity)
    there: list[int] = []
    for event in events:
        if isinstance(event, tuple):
            kind, project, among, avoided = event
            waiter = short.enter(kind, project)._replace(avoided=avoided)
            assert plain.enter(kind, project) == (*waiter[:3], 0)
            taken = short.take(waiter, among)
            wanted = only(waiter, among, 2)
            granted = short.join(wanted) if taken is None else [taken]
            assert granted == plain.join(wanted)
            there.append(waiter.number)
        elif there:
            number = there.pop(event % len(there))
            assert short.leave(number) == plain.leave(number)
        assert _all_of(short) == _all_of(plain)


def _all_of(table: LocalTable) -> object:
    return vars(table) | {"_numbers": None, "_held": vars(table._held)}
