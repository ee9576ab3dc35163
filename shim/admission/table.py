"""Who waits and who holds, of one upstream: the records that ``choose`` looks at, and their changes.

``SlotTable`` is what the line asks of them; ``LocalTable`` keeps them in this process. No step waits, so
none can be interrupted half way.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

from shim.admission.slots import (
    Capacity,
    Choice,
    Held,
    Holder,
    Kind,
    Share,
    Waiter,
    choose,
    longest_waiting,
    may_enter,
)


class SlotTable(Protocol):
    """The state of an upstream's slots."""

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

    def join(self, waiter: Waiter) -> None:
        """Put it in line, at the place of its number."""
        ...

    def leave(self, number: int) -> None:
        """Take a request out of the line, or its slot from it; without effect where it is nowhere."""
        ...

    def grant(self) -> Sequence[Holder]:
        """Give every free slot away that somebody can have; who got one."""
        ...

    def waiting(self, kind: Kind | None = None) -> int:
        """How many are in line."""
        ...

    def held(self, server: int) -> int:
        """How many hold a slot of a server."""
        ...

    def place(self, waiter: Waiter) -> int:
        """How many turns of its kind it takes until this one's, its own included."""
        ...


class LocalTable:
    """The slots of an upstream that one process uses."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._numbers = itertools.count(1)
        # One line for each project and kind, in the order of their numbers: a turn costs one look at each.
        self._lines: dict[Share, dict[int, Waiter]] = {}
        self._waiters: dict[int, Waiter] = {}
        self._holders: dict[int, Holder] = {}
        self._held = Held(len(capacity.servers))
        self._turn = 0
        self._passed_over = 0

    def __repr__(self) -> str:
        return f"<LocalTable: {len(self._holders)} held, {len(self._waiters)} waiting, of {self.capacity}>"

    def resize(self, capacity: Capacity) -> None:
        """Set how much there is; what is held beyond it stays held."""
        self.capacity = capacity

    def enter(self, kind: Kind, project: int) -> Waiter:
        """A new request, not yet in line."""
        return Waiter(next(self._numbers), kind, project)

    def join(self, waiter: Waiter) -> None:
        """Put it in line, at the place of its number."""
        assert waiter.number not in self._holders
        line = self._lines.setdefault(waiter.share, {})
        comes_back = bool(line) and waiter.number < next(reversed(line))
        line[waiter.number] = waiter
        if comes_back:
            # From a server that refused it: those behind it have come in line meanwhile.
            self._lines[waiter.share] = dict(sorted(line.items()))
        self._waiters[waiter.number] = waiter

    def leave(self, number: int) -> None:
        """Take a request out of the line, or its slot from it."""
        holder = self._holders.pop(number, None)
        if holder is not None:
            self._held.remove(holder)
            self._forget(holder.share)
        elif (waiter := self._waiters.pop(number, None)) is not None:
            self._step_out(waiter)

    def grant(self) -> list[Holder]:
        """Give every free slot away that somebody can have; who got one."""
        granted = []
        while self._waiters and (choice := self._choose()) is not None:
            waiter, self._turn = choice.waiter, self._turn + 1
            del self._waiters[waiter.number]
            holder = Holder(waiter.number, waiter.kind, waiter.project, choice.server)
            self._holders[holder.number] = holder
            self._held.add(holder)
            self._held.turns[holder.share] = self._turn
            self._step_out(waiter)
            granted.append(holder)
        return granted

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

    def _choose(self) -> Choice | None:
        candidates = list(self._candidates())
        choice = choose(candidates, self._held, self.capacity, self._passed_over)
        if choice is not None:
            is_first = choice.waiter is longest_waiting(candidates)
            self._passed_over = 0 if is_first else self._passed_over + 1
        return choice

    def _candidates(self) -> Iterator[Waiter]:
        """The first of each line that could have a slot."""
        for line in self._lines.values():
            for waiter in line.values():
                if may_enter(waiter, self._held, self.capacity):
                    yield waiter
                    break
                if not waiter.avoided:
                    # It would take any slot, so the rest of its line finds none either.
                    break

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
