"""Readiness: the spool takes bodies, a server is up, and the shim is not leaving."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shim.admission.drain import Drain, Life
from shim.errors import ShimError
from shim.spool.store import Store
from shim.timing import UNLIMITED, Clock, Seconds, monotonic
from shim.upstream.address import UpstreamAddress
from shim.upstream.application import ApplicationServer
from shim.upstream.exchange import UpstreamServer
from shim.upstream.group import Upstream
from shim.upstream.health import Health
from shim.upstream.member import DRAINING
from shim.upstream.probe import ApplicationProbe, probe

# Probes are made when somebody asks, at most so often: an idle shim leaves its servers alone.
PROBE_AGE: Seconds = 2.0


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """One server's state, as last probed.

    Attributes:
        inflight: Requests that it has not done with.
        slots: How many it takes at once, ``UNLIMITED`` where no limit is known.
        weight: How much of the work it is to get, beside the others.
        state: What this worker takes it for: up, returning, ejected, down or draining.
        is_drained: It drains because an operator has taken it out.
    """

    upstream: str
    address: UpstreamAddress
    inflight: int
    health: Health
    slots: float = UNLIMITED
    weight: float = 1.0
    state: str = "up"
    is_drained: bool = False

    @property
    def takes_requests(self) -> bool:
        """Whether requests can be served there."""
        return self.health.up and self.state != DRAINING

    @property
    def is_leaving(self) -> bool:
        """Whether it drains because its name does not lead to it any more."""
        return self.state == DRAINING and not self.is_drained


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether load balancers should send requests here, and every reason against it.

    Attributes:
        spool: The reason that lies in the spool, where there is one.
    """

    ready: bool
    faults: Sequence[str]
    spool: str = ""


class HealthWatch:
    """Asks the parts how they are."""

    def __init__(
        self,
        drain: Drain,
        store: Store,
        upstreams: Mapping[str, Upstream],
        *,
        probe_path: bytes | None,
        clock: Clock = monotonic,
    ) -> None:
        self._drain = drain
        self._store = store
        self._upstreams = upstreams
        self._probe_path = probe_path
        self._clock = clock
        self._probed: dict[UpstreamAddress, Health] = {}
        self._probed_at: Seconds | None = None
        self._probing = asyncio.Lock()
        self._applications: dict[UpstreamAddress, ApplicationProbe] = {}

    async def readiness(self, life: str | None = None) -> Readiness:
        """Whether the shim is ready, with the reasons where it is not.

        ``life`` is that of the shim as a whole, where it has more processes than this one.
        """
        life = life or self._drain.life.value
        faults = [] if life == Life.SERVING.value else [f"the shim is {life}"]
        spool = ""
        try:
            await self._store.probe()
        except ShimError as error:
            spool = error.for_operator
            faults.append(spool)
        servers = await self.servers()
        # One is enough to serve with; what is the matter with the others the status page tells.
        if not any(server.takes_requests for server in servers):
            faults += [
                f"upstream {server.upstream}: {server.address}: {_against(server)}" for server in servers
            ]
            faults += [
                f"upstream {name}: no server is known yet: its name was not resolved"
                for name, upstream in self._upstreams.items()
                if not upstream.servers
            ]
        return Readiness(not faults, faults, spool)

    async def servers(self) -> list[ServerHealth]:
        """All servers with their state; probed now, or moments ago."""
        # One at a time: whoever asks meanwhile gets what the first one found, and no server is asked twice.
        async with self._probing:
            is_old = self._probed_at is None or self._clock() - self._probed_at >= PROBE_AGE
            # Behind a name servers come at any time.
            if is_old or any(server.address not in self._probed for server in self._servers()):
                await self._probe_all()
        return [
            ServerHealth(
                name,
                member.server.address,
                member.server.inflight,
                self._probed[member.server.address],
                upstream.queue.slots(member.position),
                member.weight,
                member.state(upstream.clock()),
                member.is_drained,
            )
            for name, upstream in self._upstreams.items()
            for member in upstream.roster
            if member.server.address in self._probed
        ]

    async def ask(self, server: UpstreamServer) -> Health:
        """Probe one server now; never fails. Whoever asks, it is the newest that is known of it."""
        health = self._probed[server.address] = await self._probe(server)
        return health

    def _servers(self) -> Iterator[UpstreamServer]:
        for upstream in self._upstreams.values():
            yield from upstream.servers

    async def _probe_all(self) -> None:
        servers = {server.address: server for server in self._servers()}
        await asyncio.gather(*map(self.ask, servers.values()))
        # Those behind a name come and go.
        self._probed = {address: self._probed[address] for address in servers}
        self._probed_at = self._clock()

    async def _probe(self, server: UpstreamServer) -> Health:
        address = server.address
        if not isinstance(server, ApplicationServer):
            return await probe(address, self._probe_path)
        if address not in self._applications:
            self._applications[address] = ApplicationProbe(address, server.application)
        return await self._applications[address].ask(self._probe_path)


def _against(server: ServerHealth) -> str:
    return "is drained" if server.state == DRAINING else server.health.reason
