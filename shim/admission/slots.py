"""Whose turn it is when a slot of an upstream is free: one decision over plain records, without a clock.

A server works on as many requests at once as it has workers. Who waits for one and who holds one are
records of integers, so that they may as well stand in a table that several processes share; ``choose``
looks at them and changes nothing.
"""

import enum
import functools
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

# So many turns in a row may pass over whoever has waited longest; then the turn is theirs. Large enough that
# the order below decides under any honest load, small enough that nobody waits for ever.
MOST_PASSED_OVER = 32
# The same projects ask again and again, and a digest costs more than a look-up.
PROJECTS_KEPT = 4096


class Kind(enum.IntEnum):
    """What a request asks of a worker; in the order in which they are served."""

    SMALL = 0
    UPLOAD = 1

    # Kinds are keys, and the enum's own is a call of Python.
    __hash__ = int.__hash__


# Each look at a member is a call of Python too (in 3.11): where each request passes, it is one of the module.
SMALL, UPLOAD = Kind

Share: TypeAlias = tuple[Kind, int]
"""What fairness counts by: a kind, and the key of a project."""


class Waiter(NamedTuple):
    """A request in line; a tuple, as ``Holder`` is, for each request is both.

    Where each request passes they are made by ``tuple.__new__``: their own takes twice as long.

    Attributes:
        number: In the order in which they came; it stays with the request in line and out of it.
        project: ``project_key`` of whose request it is.
        avoided: Servers that have refused it, a bit for each.
    """

    number: int
    kind: Kind
    project: int
    avoided: int = 0

    @property
    def share(self) -> Share:
        """Whose share of the slots it asks for."""
        return self.kind, self.project


class Holder(NamedTuple):
    """A request that has a slot of a server (its place in the upstream's list)."""

    number: int
    kind: Kind
    project: int
    server: int

    @property
    def share(self) -> Share:
        """Whose share of the slots it counts for."""
        return self.kind, self.project


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many requests there may be.

    Attributes:
        servers: In each server, ``math.inf`` where there is no limit.
        uploads: Of them uploads, in all servers together.
        uploads_each: And in each of them.
    """

    servers: tuple[float, ...]
    uploads: float
    uploads_each: float = math.inf

    @classmethod
    def of(cls, servers: Sequence[float], upload_share: float, uploads_each: float = math.inf) -> "Capacity":
        """What these slots mean for uploads."""
        return cls(tuple(servers), upload_limit(sum(servers), upload_share), uploads_each)


@dataclass(frozen=True, slots=True)
class Choice:
    """The next one, and the server whose slot it gets."""

    waiter: Waiter
    server: int


class Held:
    """What is held, counted: by server, by kind, and by project.

    Attributes:
        turns: For each project that waits or holds, the number of the turn in which it last got a slot.
    """

    def __init__(self, servers: int) -> None:
        self.servers = [0] * servers
        self.uploads = [0] * servers
        self.kinds = [0] * len(Kind)
        # No Counter: a look into one takes twice as long, and each request takes a handful.
        self.shares: dict[Share, int] = {}
        self.turns: dict[Share, int] = {}

    def add(self, holder: Holder) -> Share:
        """Count a slot that was taken; whose share it counts for."""
        _, kind, project, server = holder
        self.servers[server] += 1
        self.kinds[kind] += 1
        if kind is UPLOAD:
            self.uploads[server] += 1
        share = kind, project
        self.shares[share] = self.shares.get(share, 0) + 1
        return share

    def remove(self, holder: Holder) -> Share:
        """Count it no more; whose share it counted for."""
        _, kind, project, server = holder
        self.servers[server] -= 1
        self.kinds[kind] -= 1
        if kind is UPLOAD:
            self.uploads[server] -= 1
        share = kind, project
        # Projects are without number: a count of nothing must not stay behind.
        left = self.shares.pop(share) - 1
        if left:
            self.shares[share] = left
        return share


def choose(waiters: Iterable[Waiter], held: Held, capacity: Capacity, passed_over: int) -> Choice | None:
    """Who gets the next slot, or None where none of them can have one.

    1. Small requests go before uploads: they are over in moments, and uploads leave them a slot anyway.
    2. Of several projects the one that holds least, and then the one whose last turn is longest ago.
    3. Of one project's requests the one that came first.
    4. Nobody is passed over for ever: see ``MOST_PASSED_OVER``.

    Args:
        waiters: All of them, or at least the first of each project and kind that could have a slot.
        held: What the others hold.
        capacity: How much there is to be held.
        passed_over: For how many turns in a row the one that has waited longest was not chosen.
    """
    fitting = [waiter for waiter in waiters if may_enter(waiter, held, capacity)]
    if not fitting:
        return None
    if len(fitting) == 1:
        chosen = fitting[0]
    elif passed_over >= MOST_PASSED_OVER:
        chosen = longest_waiting(fitting)
    else:
        chosen = min(fitting, key=lambda waiter: _rank(waiter, held))
    server = free_server(chosen, held, capacity)
    assert server is not None
    return Choice(chosen, server)


def may_enter(waiter: Waiter, held: Held, capacity: Capacity) -> bool:
    """Whether there is a slot that this one could have."""
    return free_server(waiter, held, capacity) is not None


def longest_waiting(waiters: Iterable[Waiter]) -> Waiter:
    """The one that came first, of at least one."""
    return min(waiters, key=lambda waiter: waiter.number)


def _rank(waiter: Waiter, held: Held) -> tuple[int, int, int, int]:
    share = waiter.share
    # A project that is new has had no turn: it comes before all that have.
    return waiter.kind, held.shares.get(share, 0), held.turns.get(share, 0), waiter.number


def free_server(waiter: Waiter, held: Held, capacity: Capacity) -> int | None:
    """Of the servers with a slot for a request the one that does least; of equal ones the first."""
    is_upload = waiter.kind is UPLOAD
    if is_upload and held.kinds[UPLOAD] >= capacity.uploads:
        return None
    best: int | None = None
    for server, slots in enumerate(capacity.servers):
        taken = held.servers[server]
        if taken >= slots or waiter.avoided >> server & 1:
            continue
        if is_upload and held.uploads[server] >= capacity.uploads_each:
            continue
        if best is None or taken < held.servers[best]:
            best = server
    return best


def upload_limit(slots: float, share: float) -> float:
    """How many of ``slots`` uploads may hold: their share, at least one, never all of several."""
    if slots == math.inf:
        return math.inf
    return max(1, min(math.floor(slots * share), slots - 1))


@functools.lru_cache(PROJECTS_KEPT)
def project_key(name: str) -> int:
    """The project as an integer of 63 bits (a word with a sign), the same in every process."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
