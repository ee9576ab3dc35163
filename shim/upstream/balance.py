"""Which server of an upstream a request goes to: an order over plain values, without a clock or a socket.

Health decides beforehand who is a candidate at all, and slots decide afterwards whether there is room; here
is only which of them is the best, the second best and so on.
"""

import enum
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass


class Balance(enum.StrEnum):
    """How requests are spread over the servers of an upstream."""

    LEAST_INFLIGHT = "least-inflight"
    ROUND_ROBIN = "round-robin"
    FIRST_AVAILABLE = "first-available"
    STICKY = "sticky"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that a request may go to.

    Attributes:
        position: Its place in the upstream's list.
        name: Its address; the same in every process and on every machine.
        inflight: Requests that it works on.
        weight: How much of the work it is to get, beside the others.
        share: The part of that which it is trusted with at the moment: less than 1 while it comes back.
    """

    position: int
    name: str
    inflight: int = 0
    weight: float = 1.0
    share: float = 1.0

    @property
    def strength(self) -> float:
        """What its load is measured by."""
        return self.weight * self.share


class Balancer:
    """Orders the candidates for each request; it remembers whose turn it was last, and nothing else."""

    def __init__(self, balance: Balance = Balance.LEAST_INFLIGHT) -> None:
        self.balance = balance
        self._turns = _Turns()

    def order(self, candidates: Sequence[Candidate], key: str) -> list[Candidate]:
        """The candidates, the best first; asking changes nothing.

        Args:
            candidates: In the order of the list.
            key: What the request is about (an image's id), ``""`` where that is nothing.
        """
        if self.sticks(key):
            return sorted(candidates, key=lambda one: (-_affinity(one, key), one.position))
        if self.balance is Balance.FIRST_AVAILABLE:
            return sorted(candidates, key=lambda one: one.position)
        if self.balance is Balance.ROUND_ROBIN:
            return sorted(candidates, key=self._turns.rank)
        return sorted(candidates, key=lambda one: ((one.inflight + 1) / one.strength, *self._turns.rank(one)))

    def sticks(self, key: str) -> bool:
        """Whether a request waits for the best candidate rather than go to the next one that has room."""
        return self.balance is Balance.STICKY and bool(key)

    def note(self, chosen: Candidate) -> None:
        """A request went there."""
        self._turns.note(chosen)


class _Turns:
    """Whose turn it is, by weight (stride scheduling): each turn moves a server back by 1 over its strength.

    Strengths may differ from turn to turn, and who was away does not get all the turns it has missed.
    """

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._now = 0.0

    def rank(self, candidate: Candidate) -> tuple[float, int]:
        """When its turn is due; of equal ones the first in the list."""
        return max(self._due.get(candidate.name, 0.0), self._now), candidate.position

    def note(self, chosen: Candidate) -> None:
        self._now, _ = self.rank(chosen)
        # Names come and go with DNS: a server that is due by now needs no entry, as one never seen has none.
        self._due = {name: due for name, due in self._due.items() if due > self._now}
        self._due[chosen.name] = self._now + 1 / chosen.strength


def _affinity(candidate: Candidate, key: str) -> float:
    """How much a server belongs to a key: weighted rendezvous hashing (highest random weight).

    When a server goes, its keys alone move, each to its next best; when it is back they return. The share
    does not count: stage and import of an image have to meet also while its server comes back.
    """
    digest = hashlib.blake2b(f"{key}\n{candidate.name}".encode(), digest_size=8).digest()
    # In (0, 1): neither end, for the logarithm. More than 52 bits would be rounded, and could be.
    uniform = ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52
    return -candidate.weight / math.log(uniform)
