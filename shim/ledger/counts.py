"""Whether one more fits: decisions over counts, without files or locks, and who keeps the counts.

Budget, gates and the like ask a ``Pool``; behind it stands a ``Ledger``: a dictionary for one process, a
table in shared memory for several (``table.py``). What several machines share is asked of ``shim.cloud``.
"""

import enum
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from shim.timing import UNLIMITED


class Resource(enum.IntEnum):
    """What is counted; the numbers are columns of the shared table."""

    BYTES = 0
    UPLOADS = 1
    CONNECTIONS = 2
    PLACES = 3


class Verdict(enum.Enum):
    """Whether something fits, and else which of its two limits it meets."""

    FITS = "fits"
    TOTAL = "total"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much all holders together, and how much one of them, may hold of a resource."""

    total: float = UNLIMITED
    share: float = UNLIMITED


@dataclass(frozen=True, slots=True)
class Held:
    """What all processes hold together: everybody, and the one holder that is asked about."""

    total: int
    share: int = 0


def decide(held: Held, amount: int, limits: Limits) -> Verdict:
    """Whether ``amount`` more fits beside what is held.

    The share is judged first: a holder that is refused for what it holds itself should be told so.
    """
    if held.share + amount > limits.share:
        return Verdict.SHARE
    if held.total + amount > limits.total:
        return Verdict.TOTAL
    return Verdict.FITS


class Ledger(Protocol):
    """Keeps the counts of all who take part; never waits for anybody to give something back."""

    def take(self, resource: Resource, holder: str | None, amount: int, limits: Limits) -> Verdict:
        """Take ``amount`` where it fits, else nothing; one step that nobody can come between.

        Args:
            resource: What to take of.
            holder: Whose share it counts for; None where nobody's is limited.
            amount: How much, 0 or more.
            limits: What holds for this taker, now.

        Raises:
            LimitReached: The counts cannot be had, so that nothing is granted.
        """
        ...

    def give_back(self, resource: Resource, holder: str | None, amount: int) -> None:
        """Give back what was taken with the same holder; never fails."""
        ...


class Pool:
    """One resource of a ledger under its limits, as one process sees it."""

    def __init__(self, ledger: Ledger, resource: Resource, limits: Limits) -> None:
        self._ledger = ledger
        self._resource = resource
        self.limits = limits
        self.taken = 0
        """What this process holds."""

    def __repr__(self) -> str:
        return f"<Pool {self._resource.name}: {self.taken} taken here, {self.limits}>"

    def take(self, amount: int, holder: str = "") -> Verdict:
        """Take ``amount`` for ``holder`` where it fits; see ``Ledger.take``."""
        verdict = self._ledger.take(self._resource, self._counted(holder), amount, self.limits)
        if verdict is Verdict.FITS:
            self.taken += amount
        return verdict

    def give_back(self, amount: int, holder: str = "") -> None:
        """End what ``take`` began."""
        self.taken -= amount
        self._ledger.give_back(self._resource, self._counted(holder), amount)

    def _counted(self, holder: str) -> str | None:
        # Who has no share to exceed needs no entry: clients are many, and tables finite.
        return None if self.limits.share == UNLIMITED else holder


class LocalLedger:
    """The counts of one process alone."""

    def __init__(self) -> None:
        self._totals: Counter[Resource] = Counter()
        self._shares: Counter[tuple[Resource, str]] = Counter()

    def take(self, resource: Resource, holder: str | None, amount: int, limits: Limits) -> Verdict:
        """See ``Ledger``."""
        share = 0 if holder is None else self._shares[resource, holder]
        verdict = decide(Held(self._totals[resource], share), amount, limits)
        if verdict is Verdict.FITS:
            self._add(resource, holder, amount)
        return verdict

    def give_back(self, resource: Resource, holder: str | None, amount: int) -> None:
        """See ``Ledger``."""
        self._add(resource, holder, -amount)

    def _add(self, resource: Resource, holder: str | None, amount: int) -> None:
        self._totals[resource] += amount
        if holder is None:
            return
        self._shares[resource, holder] += amount
        if not self._shares[resource, holder]:
            # Holders come and go for ever; only those that hold something are remembered.
            del self._shares[resource, holder]
