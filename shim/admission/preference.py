"""Which servers a request would go to: told by whoever knows the servers, obeyed by the line for their slots.

The line itself knows numbers only; health, weights and the like stay with those who decide by them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shim.admission.slots import Waiter

# Of one upstream: those that a request avoids are the bits of a word in the shared table, with a sign.
MOST_SERVERS = 62


@dataclass(frozen=True, slots=True)
class Preference:
    """Servers by their places in the upstream's list.

    Attributes:
        first: The best first: a slot of one of these is taken without a wait.
        among: Where none of them has one, the request waits for a slot of any of these.
    """

    first: Sequence[int]
    among: Sequence[int]


class NowhereToGo(Exception):
    """No server is left that a request could wait for; whoever asked for the slot catches it."""


Prefer: TypeAlias = Callable[[int], Preference]
"""What a request prefers now, that servers have refused already (a bit for each)."""


def anywhere(servers: int) -> Prefer:
    """Any of so many servers will do."""
    return lambda _avoided: Preference((), range(servers))


def only(waiter: Waiter, servers: Sequence[int], count: int) -> Waiter:
    """The same waiter for slots of these servers alone, of ``count`` that there are."""
    if len(servers) == count:
        return waiter
    others = sum(1 << server for server in range(count) if server not in servers)
    return waiter._replace(avoided=waiter.avoided | others)
