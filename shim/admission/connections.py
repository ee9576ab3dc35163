"""How many client connections may be open at once, of all clients and of one address.

A connection over the limit is still answered, so that its client learns why: it is a guest, and takes
nobody's place. There are as many guests again; whoever comes after them is not even answered.
"""

from shim.errors import ProjectLimit, QueueFull
from shim.ledger.counts import Ledger, Limits, LocalLedger, Pool, Resource, Verdict
from shim.timing import UNLIMITED
from shim.wire.peer import TrustedProxies, client_group

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
        counts = ledger or LocalLedger()
        self._all = Pool(counts, Resource.CONNECTIONS, Limits(limit))
        self._clients = Pool(counts, Resource.CONNECTIONS, Limits(limit, share))
        # Of this process alone: it is its memory that they take.
        self._guests = Pool(LocalLedger(), Resource.CONNECTIONS, Limits(limit))
        self._trusted = trusted or TrustedProxies()

    @property
    def open(self) -> int:
        """Connections that this process counts now, guests not among them."""
        return self._all.taken + self._clients.taken

    def admit(self, address: str | None) -> "ConnectionPlace":
        """A place for a connection from ``address`` (None: it has none, as on a unix socket).

        Raises:
            ProjectLimit: The address has as many connections as it may.
            QueueFull: As many connections are open as are allowed.
        """
        # Peers without an address, and proxies that we trust, carry the requests of many: no share is theirs.
        limited = self._clients.limits.share != UNLIMITED and address is not None
        counted = limited and not self._trusted.trusts(address)
        pool, holder = (self._clients, client_group(address or "")) if counted else (self._all, "")
        verdict = pool.take(1, holder)
        if verdict is Verdict.SHARE:
            raise ProjectLimit("This address has too many connections open.", retry_after=RETRY_AFTER)
        if verdict is Verdict.TOTAL:
            raise QueueFull("Too many connections are open.", retry_after=RETRY_AFTER)
        return ConnectionPlace(pool, holder)

    def admit_guest(self) -> "ConnectionPlace | None":
        """A place for a connection that is only told why it is not served; None: not even that."""
        return ConnectionPlace(self._guests, "") if self._guests.take(1) is Verdict.FITS else None


class ConnectionPlace:
    """One connection's place, until it is given back."""

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool: Pool | None = pool
        self._holder = holder

    def give_back(self) -> None:
        """Stop counting; a second call changes nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(1, self._holder)
