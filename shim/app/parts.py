"""A worker's parts as its server sees them: what is run, what is closed at the end, and where it belongs.

``build`` makes them, and the command that serves hands them to the server: neither knows the other.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shim.admission.connections import ConnectionGate
from shim.admission.drain import Drain
from shim.admission.shared import Lines
from shim.app.cloud_presence import CloudPresence
from shim.app.colleagues import SoleWorker
from shim.app.feed import Feed
from shim.app.observing import Onlookers
from shim.asgi import Application
from shim.ledger.counts import Ledger, LocalLedger
from shim.poller import Poller
from shim.spool.disk import LocalDisk
from shim.upstream.care import Care


@dataclass(frozen=True, slots=True)
class Membership:
    """What a worker shares with the others of its shim; by default there are none.

    Attributes:
        ledger: Counts what all of them hold.
        folder: Where they ask each other; None: there is nobody to ask.
        number: Which of them this one is.
        lines: Where they wait for the slots of upstreams; None: each has lines of its own.
    """

    ledger: Ledger = field(default_factory=LocalLedger)
    folder: Path | None = None
    number: int = 0
    lines: Lines | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server runs: two applications, the drain that it drives, and what is to be closed at the end.

    Attributes:
        gate: Counts client connections.
        colleagues: This worker among the others.
        presence: The same among all shims of its cloud.
        feed: The live views' events, which have no end of their own.
        cares: Who looks after the servers of each upstream.
        poller: The threads of the fast way for bodies; None where all go the plain way.
        relays: Those for answers, which never touch a disk, and so never wait for one that stalls.
    """

    application: Application
    admin: Application
    drain: Drain
    disk: LocalDisk
    gate: ConnectionGate
    colleagues: SoleWorker
    feed: Feed
    presence: CloudPresence
    onlookers: Onlookers
    cares: Sequence[Care] = ()
    poller: Poller | None = None
    relays: Poller | None = None

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """What runs beside the requests: others are answered, and servers looked after."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.presence.present())
            for care in self.cares:
                await stack.enter_async_context(care.running())
            yield

    def load(self) -> tuple[int, int]:
        """Uploads under way, and the bytes that they hold."""
        own = self.colleagues.own()
        return len(own.uploads), own.held

    def close(self) -> None:
        """End all threads; no request may be under way."""
        for poller in (self.poller, self.relays):
            if poller is not None:
                poller.close()
        self.disk.close()
        self.onlookers.close()
