"""The servers of an upstream: who they are, who is drained, and which of them a request may go to.

Each has a position that its slots are counted under, here and in the line for them; behind a name of DNS
servers come and go, and take the positions that are kept for it. Decisions without waiting, told the time.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shim.admission.preference import Preference
from shim.errors import NoUpstream
from shim.timing import Seconds
from shim.upstream.address import Protocol as UpstreamProtocol
from shim.upstream.address import UpstreamAddress
from shim.upstream.balance import Balancer
from shim.upstream.exchange import UpstreamServer
from shim.upstream.member import Member, NamedPlace
from shim.upstream.standing import Standing, StandingOptions

# Addresses behind one name; more than that are left out, and told of.
MOST_ADDRESSES = 16

# A drained server is back when its maintenance is over; nobody knows when.
RETRY_AFTER = 10

_ONLY_ONE = Preference((), (0,))
_NONE = Preference((), ())


class Slots(Protocol):
    """What the line for slots knows of the server at a position, over all processes that share it."""

    def used(self, server: int) -> int:
        """Requests in it."""
        ...

    def slots(self, server: int) -> float:
        """How many it takes at once."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a resolution has changed.

    Attributes:
        added: New servers.
        ended: Servers that have gone, nothing being under way there; to be closed.
        surplus: Addresses for which there was no position.
    """

    added: Sequence[Member] = ()
    ended: Sequence[Member] = ()
    surplus: Sequence[UpstreamAddress] = ()


@dataclass(eq=False)
class Roster:
    """The servers of one upstream.

    Attributes:
        standing: When they are ejected.
        names: Whose addresses are servers too.
        protocols: What is spoken with its servers, also with those that a name will lead to.
    """

    balancer: Balancer = field(default_factory=Balancer)
    standing: StandingOptions = field(default_factory=StandingOptions)
    names: list[NamedPlace] = field(default_factory=list)
    positions: int = 0

    def __post_init__(self) -> None:
        self._members: dict[int, Member] = {}
        self._in_order: list[Member] = []
        self._drained: frozenset[str] = frozenset()
        self.protocols: frozenset[UpstreamProtocol] = frozenset()
        self._sort()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._in_order)

    @property
    def members(self) -> list[Member]:
        """All servers there are, by position."""
        return list(self._in_order)

    def at(self, position: int) -> Member | None:
        """The server at a position, None where there is none (any more)."""
        return self._members.get(position)

    # -- who is there -----------------------------------------------------------------------------

    def add(self, server: UpstreamServer, weight: float = 1.0) -> Member:
        """Add a server that stays."""
        self.positions += 1
        return self._place(self.positions - 1, server, weight)

    def add_name(self, address: UpstreamAddress, weight: float = 1.0) -> None:
        """Keep positions for the servers behind a name."""
        positions = range(self.positions, self.positions + MOST_ADDRESSES)
        self.names.append(NamedPlace(address, weight, positions))
        self.positions += MOST_ADDRESSES
        self._sort()

    def resolve(
        self,
        name: NamedPlace,
        addresses: Sequence[UpstreamAddress],
        make: Callable[[UpstreamAddress], UpstreamServer],
    ) -> Change:
        """A name leads to these addresses now; others end when nothing is under way there any more."""
        for member in self._behind(name):
            member.is_leaving = member.server.address not in addresses
        ended = self._remove_ended(name)
        known = {member.server.address for member in self._behind(name)}
        added: list[Member] = []
        surplus: list[UpstreamAddress] = []
        for address in addresses:
            if address in known:
                continue
            position = self._free_position(name, address)
            if position is None:
                surplus.append(address)
            else:
                added.append(self._place(position, make(address), name.weight))
        return Change(added, ended, surplus)

    def drain(self, drained: frozenset[str]) -> None:
        """Exactly the servers of these names are taken out by the operator; one may come only later."""
        self._drained = drained
        for member in self:
            member.is_drained = member.name in drained

    def _place(self, position: int, server: UpstreamServer, weight: float) -> Member:
        member = Member(position, server, str(server.address), weight, Standing(self.standing))
        member.is_drained = member.name in self._drained
        self._members[position] = member
        self._sort()
        return member

    def _sort(self) -> None:
        # Once for each change: every request goes through them.
        self._in_order = [self._members[position] for position in sorted(self._members)]
        addresses = [member.server.address for member in self] + [name.address for name in self.names]
        self.protocols = frozenset(address.protocol for address in addresses)

    def _behind(self, name: NamedPlace) -> list[Member]:
        return [member for member in self if member.position in name.positions]

    def _remove_ended(self, name: NamedPlace) -> list[Member]:
        ended = [member for member in self._behind(name) if member.is_leaving and not member.server.inflight]
        for member in ended:
            del self._members[member.position]
        self._sort()
        return ended

    def _free_position(self, name: NamedPlace, address: UpstreamAddress) -> int | None:
        """By the address, so that processes that see the same addresses count them under the same number."""
        digest = hashlib.blake2b(str(address).encode(), digest_size=2).digest()
        start = int.from_bytes(digest, "big")
        for step in range(len(name.positions)):
            position = name.positions[(start + step) % len(name.positions)]
            if position not in self._members:
                return position
        return None

    # -- where a request goes ---------------------------------------------------------------------

    def preference(self, now: Seconds, key: str, avoided: int, slots: Slots) -> Preference:
        """Where a request may go that some servers have refused already (bits of ``avoided``).

        Servers that are ejected or down are the last resort, when all others have refused: trying one
        costs a moment, and what was thought of it may be wrong.
        """
        if self.positions == 1:
            # Nothing is to be chosen; most upstreams have one server, and this is asked for every request.
            return _ONLY_ONE if self._in_order and self._in_order[0].takes_new else _NONE
        untried = [member for member in self if member.takes_new and not avoided >> member.position & 1]
        fit = [member for member in untried if member.standing.is_fit(now)]
        candidates = [member.candidate(now, slots.used(member.position)) for member in fit or untried]
        positions = [candidate.position for candidate in self.balancer.order(candidates, key)]
        if self.balancer.sticks(key):
            return Preference(positions[:1], positions[:1])
        free = [position for position in positions if slots.used(position) < slots.slots(position)]
        return Preference(free, positions)

    def check(self) -> None:
        """Raise NoUpstream where there is no server that takes anything new."""
        for member in self._in_order:
            if member.takes_new:
                return
        raise NoUpstream(
            "No server takes requests for this service at the moment.",
            retry_after=RETRY_AFTER,
            for_operator="All servers of this upstream are drained, or its name leads to none.",
        )

    def has_untried(self, avoided: int) -> bool:
        """Whether there is a server that has not refused a request yet."""
        return any(member.takes_new and not avoided >> member.position & 1 for member in self)

    def note(self, member: Member, now: Seconds) -> None:
        """A request goes there."""
        if self.positions > 1:
            self.balancer.note(member.candidate(now))
