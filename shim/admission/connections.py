"""How many client connections may be open at once, of all clients and of one address.

A connection over the limit is still answered, so that its client learns why: it is a guest, and there are as
many of these again, of one address too. Whoever comes after them is not even answered.
"""

from shim.errors import ProjectLimit, QueueFull
from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED
from shim.wire.forwarding import TrustedProxies, client_group

RETRY_AFTER = 5


class ConnectionGate:
    """Counts connections against ``limits.max_connections`` and ``limits.max_connections_per_address``."""

    def __init__(
        self,
        limit: float = UNLIMITED,
        share: float = UNLIMITED,
        ledger: Ledger | None = None,
        trusted: TrustedProxies | None = None,
    ) -> None:
        """Take the limits, who counts (by default we alone), and the proxies that stand for many clients."""
        self._served = _Places(ledger or LocalLedger(), limit, share)
        # Of this process alone: it is its memory that they take.
        self._guests = _Places(LocalLedger(), limit, share)
        self._has_shares = share != UNLIMITED
        self._trusted = trusted or TrustedProxies()

    @property
    def open(self) -> int:
        """Connections that this process counts now, guests not among them."""
        return self._served.taken

    def admit(self, address: str | None) -> "Place":
        """A place for a connection from ``address`` (None: it has none, as on a unix socket).

        Raises:
            ProjectLimit: The address has as many connections as it may.
            QueueFull: As many connections are open as are allowed.
        """
        place = self._served.take(self._holder(address))
        if place is Verdict.SHARE:
            raise ProjectLimit("This address has too many connections open.", retry_after=RETRY_AFTER)
        if not isinstance(place, Place):
            raise QueueFull("Too many connections are open.", retry_after=RETRY_AFTER)
        return place

    def admit_guest(self, address: str | None) -> "Place | None":
        """A place for a connection that is only told why it is not served; None: not even that."""
        place = self._guests.take(self._holder(address))
        return place if isinstance(place, Place) else None

    def _holder(self, address: str | None) -> str:
        """Whose share a connection counts for; ``""``: nobody's."""
        # Peers without an address, and proxies that we trust, carry the requests of many: no share is theirs.
        if not self._has_shares or address is None or self._trusted.trusts(address):
            return ""
        return client_group(address)


class _Places:
    """Places of one kind, with a share for each holder that has a name."""

    def __init__(self, ledger: Ledger, limit: float, share: float) -> None:
        self._all = Pool(ledger, Resource.CONNECTIONS, Limits(limit))
        self._shared = Pool(ledger, Resource.CONNECTIONS, Limits(limit, share))

    @property
    def taken(self) -> int:
        return self._all.taken + self._shared.taken

    def take(self, holder: str) -> "Place | Verdict":
        """A place, or why there is none."""
        pool = self._shared if holder else self._all
        verdict = pool.take(1, holder)
        return Place(pool, holder) if verdict is Verdict.FITS else verdict


class Place:
    """One connection's place, until it is given back."""

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool: Pool | None = pool
        self._holder = holder

    def give_back(self) -> None:
        """Stop counting; a second call changes nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(1, self._holder)
