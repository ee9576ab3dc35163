"""A server as its upstream has it: its position, its weight, and whether it gets anything new.

Members are kept and chosen among by the ``Roster``; what was seen of one is its ``Standing``.
"""

from dataclasses import dataclass

from shim.timing import Seconds
from shim.upstream.address import UpstreamAddress
from shim.upstream.balance import Candidate
from shim.upstream.exchange import UpstreamServer
from shim.upstream.standing import Standing

DRAINING = "draining"
"""The state of a server that gets nothing new, however it stands."""


@dataclass(eq=False)
class Member:
    """A server of an upstream.

    Attributes:
        position: Its slots are counted under this number.
        name: Its address, as people and metrics know it.
        weight: How much of the work it is to get, beside the others.
        is_drained: An operator has taken it out.
        is_leaving: Its name does not lead to it any more.
    """

    position: int
    server: UpstreamServer
    name: str
    weight: float
    standing: Standing
    is_drained: bool = False
    is_leaving: bool = False

    @property
    def takes_new(self) -> bool:
        """Whether any new request may go there, however it stands."""
        return not (self.is_drained or self.is_leaving)

    def state(self, now: Seconds) -> str:
        """How it stands, or that it is to end."""
        return self.standing.state(now).value if self.takes_new else DRAINING

    def candidate(self, now: Seconds, inflight: int = 0) -> Candidate:
        """What the balance has to know of it."""
        return Candidate(self.position, self.name, inflight, self.weight, self.standing.share(now))


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A URL whose host is a name that is resolved, and the positions that are kept for its addresses."""

    address: UpstreamAddress
    weight: float
    positions: range
