"""Who waits and who holds, of one upstream: the records that ``choose`` looks at, and their changes.

``SlotTable`` is what the line asks of them; ``LocalTable`` keeps them in this process. No step waits, so
none can be interrupted half way.
"""

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from shim.admission.preference import only
from shim.admission.slots import (
    Capacity,
    Choice,
    Held,
    Holder,
    Kind,
    Share,
    Waiter,
    choose,
    free_server,
    longest_waiting,
    may_enter,
)

# Faster than the records' own (see ``Waiter``).
_new_record = tuple.__new__


class SlotTable(Protocol):
    """The state of an upstream's slots.

    Attributes:
        is_shared: Whether other processes use them too, so that ``take`` never knows whether there is one.
    """

    is_shared: bool

    @property
    def capacity(self) -> Capacity:
        """How much there is to be held."""
        ...

    def resize(self, capacity: Capacity) -> None:
        """Set it anew; what is held beyond it stays held."""
        ...

    def enter(self, kind: Kind, project: int) -> Waiter:
        """A new request, not yet in line."""
        ...

    def join(self, waiter: Waiter) -> Sequence[Holder]:
        """Put it in line, at the place of its number; gives those that got a slot by it.

        Raises:
            LimitReached: There is no place left for it, or the table is not to be had.
        """
        ...

    def take(self, waiter: Waiter, servers: Sequence[int]) -> Holder | None:
        """A slot of one of these servers, at once, for a request that is not in line.

        None where it has to stand in line, if only because other processes are to be asked.
        """
        ...

    def leave(self, number: int) -> Sequence[Holder]:
        """Take a request out of the line, or its slot from it; gives as ``join`` does. Never fails."""
        ...

    def grant(self) -> Sequence[Holder]:
        """Give away every free slot that can be used; gives those of this process that got one."""
        ...

    def waiting(self, kind: Kind | None = None) -> int:
        """How many of this process are in line."""
        ...

    def held(self, server: int) -> int:
        """How many hold a slot of a server."""
        ...

    def place(self, waiter: Waiter) -> float:
        """How many of this process's turns of its kind it takes until this one's, its own included."""
        ...


class LocalTable:
    """The slots of an upstream that one process uses.

    Attributes:
        turn: Turns given so far.
        passed_over: Of them in a row those in which the one that has waited longest was not chosen.
    """

    is_shared = False

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._numbers = itertools.count(1)
        # One line for each project and kind, in the order of their numbers: a turn costs one look at each.
        self._lines: dict[Share, dict[int, Waiter]] = {}
        self._waiters: dict[int, Waiter] = {}
        self._holders: dict[int, Holder] = {}
        self._held = Held(len(capacity.servers))
        self.turn = 0
        self.passed_over = 0

    def __repr__(self) -> str:
        return f"<LocalTable: {len(self._holders)} held, {len(self._waiters)} waiting, of {self.capacity}>"

    def resize(self, capacity: Capacity) -> None:
        """Set how much there is; what is held beyond it stays held."""
        self.capacity = capacity

    def enter(self, kind: Kind, project: int) -> Waiter:
        """A new request, not yet in line."""
        return _new_record(Waiter, (next(self._numbers), kind, project, 0))

    def join(self, waiter: Waiter) -> list[Holder]:
        """Put it in line, at the place of its number; gives those that got a slot by it."""
        self.add(waiter)
        return self.grant()

    def take(self, waiter: Waiter, servers: Sequence[int]) -> Holder | None:
        """What ``join`` would come to where nobody waits, without the steps into the line and out of it."""
        if self._waiters:
            return None
        server = free_server(only(waiter, servers, len(self.capacity.servers)), self._held, self.capacity)
        if server is None:
            return None
        number, kind, project, _ = waiter
        holder = _new_record(Holder, (number, kind, project, server))
        self._holders[number] = holder
        self.passed_over = 0
        self.turn += 1
        # As ``hold`` and ``note_turn`` do with one that waits nowhere, in the latest turn there was.
        self._held.turns[self._held.add(holder)] = self.turn
        return holder

    def leave(self, number: int) -> list[Holder]:
        """Take a request out of the line, or its slot from it; gives as ``join`` does."""
        self.remove(number)
        return self.grant() if self._waiters else []

    def add(self, waiter: Waiter) -> None:
        """Put a request in line."""
        assert waiter.number not in self._holders
        line = self._lines.setdefault(waiter.share, {})
        comes_back = bool(line) and waiter.number < next(reversed(line))
        line[waiter.number] = waiter
        if comes_back:
            # From a server that refused it: those behind it have come in line meanwhile.
            self._lines[waiter.share] = dict(sorted(line.items()))
        self._waiters[waiter.number] = waiter

    def hold(self, holder: Holder, turn: int) -> None:
        """A request has got a slot, in the turn of this number; it may have been in line before that."""
        waiter = self._waiters.pop(holder.number, None)
        self._holders[holder.number] = holder
        self.note_turn(self._held.add(holder), turn)
        if waiter is not None:
            self._step_out(waiter)

    def note_turn(self, share: Share, turn: int) -> None:
        """A project that waits or holds has had this turn."""
        self._held.turns[share] = max(turn, self._held.turns.get(share, 0))

    def remove(self, number: int) -> None:
        """Forget a request, wherever it is; without effect where it is nowhere."""
        holder = self._holders.pop(number, None)
        if holder is not None:
            self._forget(self._held.remove(holder))
        elif (waiter := self._waiters.pop(number, None)) is not None:
            self._step_out(waiter)

    def grant(self) -> list[Holder]:
        """Give away every free slot that can be used; gives those that got one."""
        granted = []
        while (holder := self.grant_next()) is not None:
            granted.append(holder)
        return granted

    def grant_next(self, among: Container[int] | None = None) -> Holder | None:
        """Give one slot away; gives the one that got it, None where there is none to use it.

        Args:
            among: The numbers of those that may get it; None: anybody.
        """
        if not self._waiters or (choice := self._choose(among)) is None:
            return None
        waiter, self.turn = choice.waiter, self.turn + 1
        holder = Holder(waiter.number, waiter.kind, waiter.project, choice.server)
        self.hold(holder, self.turn)
        return holder

    def first(self, share: Share) -> Waiter | None:
        """The first in line of a project and kind."""
        return next(iter(self._lines.get(share, {}).values()), None)

    def waiting(self, kind: Kind | None = None) -> int:
        """How many are in line."""
        if kind is None:
            return len(self._waiters)
        return sum(len(line) for share, line in self._lines.items() if share[0] is kind)

    def held(self, server: int) -> int:
        """How many hold a slot of a server."""
        return self._held.servers[server]

    def place(self, waiter: Waiter) -> int:
        """Its place, as projects take turns: before its own turn n every other project has n turns."""
        own = self._lines.get(waiter.share, {})
        before = sum(number < waiter.number for number in own)
        lines = [line for share, line in self._lines.items() if share[0] is waiter.kind and line is not own]
        return before + 1 + sum(min(before + 1, len(line)) for line in lines)

    def _choose(self, among: Container[int] | None) -> Choice | None:
        candidates = list(self._candidates(among))
        choice = choose(candidates, self._held, self.capacity, self.passed_over)
        if choice is not None:
            is_first = choice.waiter is longest_waiting(candidates)
            self.passed_over = 0 if is_first else self.passed_over + 1
        return choice

    def _candidates(self, among: Container[int] | None) -> Iterator[Waiter]:
        """The first of each line that could have a slot."""
        for line in self._lines.values():
            # What one of a line was refused no other gets that avoids the same servers: with a line of
            # thousands and the lock of a shared table held, asking each of them would be felt by all.
            refused: set[int] = set()
            for waiter in line.values():
                if waiter.avoided in refused or (among is not None and waiter.number not in among):
                    continue
                if may_enter(waiter, self._held, self.capacity):
                    yield waiter
                    break
                if not waiter.avoided:
                    # It would take any slot, so the rest of its line finds none either.
                    break
                refused.add(waiter.avoided)

    def _step_out(self, waiter: Waiter) -> None:
        line = self._lines[waiter.share]
        del line[waiter.number]
        if not line:
            del self._lines[waiter.share]
        self._forget(waiter.share)

    def _forget(self, share: Share) -> None:
        """A project that neither waits nor holds is new when it comes again."""
        if share not in self._lines and share not in self._held.shares:
            self._held.turns.pop(share, None)
