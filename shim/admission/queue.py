"""The line for the slots of an upstream: a request that finds none free waits here, but not for ever.

Thin: whose turn it is ``slots`` says, who waits and holds ``table`` knows, and how a wait ends ``waits``. A
place in line is a record and a future; the body stays where it is.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from shim.admission.place import Place
from shim.admission.preference import NowhereToGo, Prefer, Preference, only
from shim.admission.room import QueueOptions, WaitingRoom
from shim.admission.slots import SMALL, UPLOAD, Capacity, Holder, Waiter, project_key
from shim.admission.table import LocalTable, SlotTable
from shim.admission.waits import Waits
from shim.errors import LimitReached
from shim.timing import UNLIMITED, Clock, Seconds, monotonic

# Bytes of a body beyond which a request holds a worker for long (``upload_share``).
UPLOAD_FROM = 1024 * 1024


class SlotQueue:
    """The slots of one upstream's servers, and the line for them."""

    def __init__(
        self,
        servers: int,
        *,
        upload_share: float = 1.0,
        uploads_each: float = UNLIMITED,
        options: QueueOptions | None = None,
        room: WaitingRoom | None = None,
        table: SlotTable | None = None,
        clock: Clock = monotonic,
    ) -> None:
        """Begin without limits; ``limit`` sets them.

        Args:
            servers: How many there are.
            upload_share: Part of all slots that uploads may hold.
            uploads_each: How many of them in each server.
            options: How long to wait.
            room: Shared by the queues of all upstreams.
            table: Where slots and line are kept; by default in this process.
            clock: Tells the time.
        """
        self.servers = servers
        self._slots = [UNLIMITED] * servers
        self._lost = [0] * servers
        self._upload_share = upload_share
        self._uploads_each = uploads_each
        self._options = options or QueueOptions()
        self._table = table or LocalTable(Capacity.of(self._slots, upload_share, uploads_each))
        self._waits = Waits(room or WaitingRoom(self._options.most), self._table, clock)
        self.clock = clock
        self._turns: dict[int, asyncio.Future[int]] = {}
        self._in_line: dict[int, tuple[Waiter, Prefer]] = {}

    def __repr__(self) -> str:
        return f"<SlotQueue: {self.waiting} waiting, {self._table}>"

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return self._table.waiting()

    def slots(self, server: int) -> float:
        """How many requests a server takes at once."""
        return self._slots[server]

    def used(self, server: int) -> int:
        """How many of them are taken."""
        return self._table.held(server) + self._lost[server]

    def limit(self, server: int, slots: float) -> None:
        """A server is known to take so many at once, from now on."""
        self._slots[server] = slots
        self._resize()

    def lose(self, server: int, slots: int) -> None:
        """So many of a server's slots are taken up by requests that were given up here, but not there."""
        self._lost[server] = slots
        self._resize()

    def reconsider(self) -> None:
        """What requests prefer may have changed: those in line keep their places there."""
        # Not by a capacity of 0 for a server that is out: other processes may still reach it (decision 17).
        for waiter, prefer in list(self._in_line.values()):
            turn = self._turns[waiter.number]
            if turn.done():
                continue
            self._tell(self._table.leave(waiter.number))
            try:
                self._wait_among(waiter, prefer(waiter.avoided).among)
            except (LimitReached, NowhereToGo) as refusal:
                turn.set_exception(refusal)

    def place(self, project: str, length: float | None, waits: QueueOptions | None = None) -> Place:
        """A place for a request, as a block at whose end it leaves the line, or gives its slot back.

        Args:
            project: Whose request it is.
            length: Bytes of its body, ``UNLIMITED`` where that is not known; None without one.
            waits: How long it may wait, where that is not as for all.
        """
        kind = UPLOAD if length is not None and length > UPLOAD_FROM else SMALL
        waiter = self._table.enter(kind, project_key(project))
        return Place(self, waiter, (waits or self._options).patience(length))

    def place_now(
        self, project: str, length: int | None, waits: QueueOptions | None, preference: Preference
    ) -> Place | None:
        """A place with a slot, for a small request; None where it would have to wait for one."""
        waiter = self._table.enter(SMALL, project_key(project))
        server = self.take(waiter, preference)
        if server is None and self._table.is_shared:
            server = self._take_by_joining(waiter, preference)
        if server is None:
            return None
        return Place(self, waiter, (waits or self._options).patience(length), server)

    # -- for a place --------------------------------------------------------------------------------

    def take(self, waiter: Waiter, preference: Preference) -> int | None:
        """A slot without a place in line, of one of the best servers, else of any that will do."""
        for server in preference.first:
            if (holder := self._table.take(waiter, (server,))) is not None:
                return holder.server
        holder = self._table.take(waiter, preference.among)
        return None if holder is None else holder.server

    async def turn(
        self,
        waiter: Waiter,
        patience: Seconds,
        preference: Preference,
        *,
        on_wait: Callable[[], None],
        prefer: Prefer,
    ) -> int:
        """Get a slot that ``take`` could not have, waiting for it in line; raises as ``Place.take`` does."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._turns[waiter.number] = turn
        try:
            self._join(waiter, turn, preference)
            if not turn.done():
                self._in_line[waiter.number] = waiter, prefer
                await self._waits.stand(waiter, turn, patience, on_wait=on_wait)
            return turn.result()
        except BaseException:
            # Also where it was cancelled in the moment in which it got its slot.
            self.leave(waiter)
            raise
        finally:
            self._in_line.pop(waiter.number, None)
            del self._turns[waiter.number]

    def _take_by_joining(self, waiter: Waiter, preference: Preference) -> int | None:
        """A slot that comes with stepping into the line; where none does, step out again at once."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._turns[waiter.number] = turn
        server: int | None = None
        try:
            self._join(waiter, turn, preference)
            server = turn.result() if turn.done() else None
        except (LimitReached, NowhereToGo):
            # Whoever can wait finds the same, and tells of it.
            pass
        finally:
            del self._turns[waiter.number]
            # Whatever went wrong: nobody waits for a slot that it would get.
            if server is None:
                self.leave(waiter)
        return server

    def leave(self, waiter: Waiter) -> None:
        """Give back what it holds, or its place in line; safe to call twice."""
        if granted := self._table.leave(waiter.number):
            self._tell(granted)

    def look(self) -> None:
        """Something may have changed elsewhere: another process has given a slot away, or has died."""
        self._tell(self._table.grant())

    def _join(self, waiter: Waiter, turn: asyncio.Future[int], preference: Preference) -> None:
        """Take a slot of one of the best servers, or step into the line for all that will do."""
        for server in preference.first:
            self._tell(self._table.join(only(waiter, (server,), len(self._slots))))
            if turn.done():
                return
            self._tell(self._table.leave(waiter.number))
        self._wait_among(waiter, preference.among)

    def _wait_among(self, waiter: Waiter, servers: Sequence[int]) -> None:
        if not servers:
            # In line for nobody's slot it would stand to the end of its patience.
            raise NowhereToGo
        self._tell(self._table.join(only(waiter, servers, len(self._slots))))

    def _resize(self) -> None:
        free = [max(0, slots - lost) for slots, lost in zip(self._slots, self._lost, strict=True)]
        # The share is of all together: of two servers of one worker each, a share of each would be all.
        self._table.resize(Capacity.of(free, self._upload_share, self._uploads_each))
        self.look()

    def _tell(self, granted: Iterable[Holder]) -> None:
        """Decided first, told after: a request that is told runs later, and finds its slot taken."""
        for holder in granted:
            turn = self._turns[holder.number]
            # One that was cancelled meanwhile gives its slot back when it gets to run.
            if not turn.done():
                turn.set_result(holder.server)
