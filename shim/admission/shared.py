"""The slots of an upstream that several processes use: one line for all of them, in the shared table.

Whoever takes a step has all rows before it, decides as ``LocalTable`` does, and writes what has changed. Who
got a slot in another process is told by its bell. A process that was killed holds nothing: its rows go when
somebody would have to wait because of them.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from shim.admission.slots import Capacity, Holder, Kind, Waiter
from shim.admission.table import LocalTable
from shim.errors import LimitReached, QueueFull
from shim.ledger.bell import Bell
from shim.ledger.rows import Row, Rows
from shim.ledger.table import LeaseTable
from shim.timing import UNLIMITED

log = logging.getLogger("shim.admission")

# Numbers are times, so that they are in order across processes, with the process in their last bits.
_OWNER_BITS = 7
RETRY_AFTER = 5

# Rings the bell of a process, by its slot.
Ring = Callable[[int], None]


class SharedTable:
    """A ``SlotTable`` over rows that several processes have in common."""

    is_shared = True

    def __init__(
        self,
        capacity: Capacity,
        rows: Rows,
        ring: Ring,
        *,
        is_told_later: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin with nobody.

        Args:
            capacity: How much there is.
            rows: Those of all processes.
            ring: How others are told.
            is_told_later: Whether a server without a limit is one whose limit is not known yet.
            clock: The machine's, in nanoseconds.
        """
        # What all rows together say, as of our last step.
        self._mirror = LocalTable(capacity)
        self._rows = rows
        self._ring = ring
        self._is_told_later = is_told_later
        self._clock = clock
        self._last = 0
        self._places: dict[int, int] = {}
        self._found: dict[int, Row] = {}
        self._own: dict[int, Waiter] = {}
        self._late: set[int] = set()
        self._granted: list[Holder] = []

    def __repr__(self) -> str:
        return f"<SharedTable: {len(self._own)} waiting here, {self._mirror}>"

    @property
    def capacity(self) -> Capacity:
        """How much there is to be held."""
        return self._mirror.capacity

    def resize(self, capacity: Capacity) -> None:
        """Set it anew, for the steps of this process."""
        self._mirror.resize(capacity)

    def enter(self, kind: Kind, project: int) -> Waiter:
        """A new request, not yet in line."""
        number = self._clock() // 1000 << _OWNER_BITS | self._rows.owner
        self._last = number if number > self._last else self._last + (1 << _OWNER_BITS)
        return Waiter(self._last, kind, project)

    # -- steps --------------------------------------------------------------------------------------

    def join(self, waiter: Waiter) -> list[Holder]:
        """Put it in line, at the place of its number; gives those of this process that got a slot by it.

        Raises:
            QueueFull: The table has no row left.
            LimitReached: It is not to be had.
        """
        self._step(waiter)
        return self._take_granted()

    def take(self, waiter: Waiter, servers: Sequence[int]) -> None:
        """Nothing: what the other processes hold and wait for is known only with a step."""

    def leave(self, number: int) -> list[Holder]:
        """Take a request out of the line, or its slot from it; gives as ``join`` does."""
        if number not in self._places:
            return []
        # Noted first: where the table is not to be had now, it is done with the next step. What others give
        # to it meanwhile nobody is told of.
        self._late.add(number)
        self._own.pop(number, None)
        self._granted = [holder for holder in self._granted if holder.number != number]
        return self.grant()

    def grant(self) -> list[Holder]:
        """Give away every free slot that can be used; gives those of this process that have got one since."""
        if self._own or self._late:
            try:
                self._step()
            except LimitReached as error:
                log.warning("A slot is given back later: %s", error.for_operator)
        return self._take_granted()

    def _step(self, coming: Waiter | None = None) -> None:
        """A change of the rows: after those of others, and before the turns that it makes possible."""
        bells: set[int] = set()
        with self._rows.step() as news:
            self._follow(news)
            if self._late:
                self._tell_of_room(bells)
            while self._late:
                self._drop(self._late.pop())
            if coming is not None and not self._serve(coming):
                self._stand(coming)
            while self._mirror.waiting() and (holder := self._grant_next(bells)) is not None:
                self._tell(holder, bells)
        # Without the lock: whoever is woken wants it.
        for owner in bells:
            self._ring(owner)

    def _serve(self, waiter: Waiter) -> bool:
        """A slot at once where nobody waits: what ``_stand`` and a turn come to, in one write of its row."""
        self._mirror.turn = self._rows.turn
        holder = self._mirror.take(waiter, range(len(self.capacity.servers)))
        if holder is None:
            return False
        number, kind, project, avoided = waiter
        row = Row(self._rows.owner, holder.server, number, kind, project, avoided, self._mirror.turn)
        place = self._rows.add(row)
        if place is None:
            self._mirror.remove(number)
            raise _table_full()
        self._found[place] = row
        self._places[number] = place
        self._granted.append(holder)
        return True

    def _stand(self, waiter: Waiter) -> None:
        row = Row(self._rows.owner, None, waiter.number, waiter.kind, waiter.project, waiter.avoided)
        place = self._rows.add(row)
        if place is None:
            raise _table_full()
        self._note(place, row)
        self._own[waiter.number] = waiter

    def _grant_next(self, bells: set[int]) -> Holder | None:
        self._mirror.turn, self._mirror.passed_over = self._rows.turn, self._rows.passed_over
        # Who does not know how much there is gives to its own alone, at its own risk: others may know, and
        # have their lines for it.
        holder = self._mirror.grant_next(None if self._knows_size else self._own)
        if holder is None and self._mirror.waiting() and self._rows.clear_dead():
            self._follow(self._rows.news())
            self._tell_of_room(bells)
            return self._grant_next(bells)
        return holder

    @property
    def _knows_size(self) -> bool:
        """Whether what it takes for the capacity is that."""
        return not self._is_told_later or UNLIMITED not in self.capacity.servers

    def _tell_of_room(self, bells: set[int]) -> None:
        """A slot may be free: where it is not known here whether it is, all others look who have a line."""
        if not self._knows_size:
            bells.update(row.owner for row in self._found.values() if row.server is None)
            bells.discard(self._rows.owner)

    def _tell(self, holder: Holder, bells: set[int]) -> None:
        """Write down a turn, and see to it that its request hears of it."""
        turn = self._mirror.turn
        place = self._places[holder.number]
        self._rows.hold(place, holder.server, turn, self._mirror.passed_over)
        row = self._found[place] = self._found[place].after(turn, holder.server)
        # When this one has gone, its project has still had its turn.
        if (following := self._mirror.first(holder.share)) is not None:
            other = self._places[following.number]
            self._rows.note_turn(other, turn)
            self._found[other] = self._found[other].after(turn, None)
        if row.owner == self._rows.owner:
            self._note_granted(holder)
        else:
            bells.add(row.owner)

    # -- the rows -----------------------------------------------------------------------------------

    def _follow(self, news: Mapping[int, Row | None]) -> None:
        """Do to the mirror what others have done to the rows."""
        for place, row in news.items():
            before = self._found.get(place)
            if before is not None and not _goes_on(before, row):
                self._forget(place)
        for place, row in news.items():
            if row is not None:
                self._note(place, row)

    def _note(self, place: int, row: Row) -> None:
        if row.server is not None:
            holder = Holder(row.number, Kind(row.kind), row.project, row.server)
            self._mirror.hold(holder, row.turn)
            if row.number in self._own:
                self._note_granted(holder)
        elif place not in self._found:
            self._mirror.add(Waiter(row.number, Kind(row.kind), row.project, row.avoided))
        if row.turn:
            self._mirror.note_turn((Kind(row.kind), row.project), row.turn)
        self._found[place] = row
        self._places[row.number] = place

    def _drop(self, number: int) -> None:
        if (place := self._places.get(number)) is not None:
            self._rows.remove(place)
            self._forget(place)

    def _forget(self, place: int) -> None:
        row = self._found.pop(place)
        self._mirror.remove(row.number)
        del self._places[row.number]

    def _note_granted(self, holder: Holder) -> None:
        del self._own[holder.number]
        self._granted.append(holder)

    def _take_granted(self) -> list[Holder]:
        granted, self._granted = self._granted, []
        return granted

    # -- what is asked ------------------------------------------------------------------------------

    def waiting(self, kind: Kind | None = None) -> int:
        """How many of this process are in line."""
        return sum(kind is None or waiter.kind is kind for waiter in self._own.values())

    def held(self, server: int) -> int:
        """How many hold a slot of a server, of all processes."""
        return self._mirror.held(server)

    def place(self, waiter: Waiter) -> float:
        """Its place, in turns of this process: it has its part of all turns."""
        # Nobody waits, where another process gave the slot and we have not taken our next step since.
        everybody = max(1, self._mirror.waiting(waiter.kind))
        return self._mirror.place(waiter) * self.waiting(waiter.kind) / everybody


def _table_full() -> QueueFull:
    return QueueFull("Too many requests are waiting for the upstream servers.", retry_after=RETRY_AFTER)


def _goes_on(before: Row, after: Row | None) -> bool:
    """Whether it is the same request that at most got its slot meanwhile, for the same servers as before."""
    if after is None or before.server is not None:
        return False
    # It may have left the line and come back, with its number, into the row that it had.
    return (before.number, before.avoided) == (after.number, after.avoided)


class Lines:
    """The lines of one process's upstreams, in one table and with one bell."""

    def __init__(self, table: LeaseTable, bell: Bell) -> None:
        self._table = table
        self.bell = bell

    def table(self, name: str, capacity: Capacity, *, is_told_later: bool = False) -> SharedTable:
        """The table of an upstream, by a name that all processes give it; raises LimitReached."""
        return SharedTable(capacity, Rows(self._table, name), self.bell.ring, is_told_later=is_told_later)
