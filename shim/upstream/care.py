"""Looks after the servers of an upstream while requests come and go: probes them, and resolves their names.

Beside the requests, so that none of them has to wait for it. Each worker process looks for itself: what one
of them reaches another may not.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from shim.errors import UpstreamRefused
from shim.timing import UNLIMITED, Seconds, cancel_and_wait
from shim.upstream.address import UpstreamAddress
from shim.upstream.balance import Balance
from shim.upstream.exchange import UpstreamServer
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.member import NamedPlace
from shim.upstream.names import look_up
from shim.upstream.standing import StandingOptions

log = logging.getLogger("shim.upstream")

# Before the first answer of DNS nothing can be served: it is asked again sooner.
FIRST_LOOKS: Seconds = 1.0


@dataclass(frozen=True, slots=True)
class GroupOptions:
    """How the servers of an upstream share its work (``upstreams.NAME.*``).

    Attributes:
        weights: Of the servers, in their order; empty: all alike.
        standing: When one is left out, and how it comes back.
        probe: Seconds between probes of each (``UNLIMITED``: none).
        resolve: Seconds between looks at what names lead to (``UNLIMITED``: a name is one server).
    """

    balance: Balance = Balance.LEAST_INFLIGHT
    weights: Sequence[float] = ()
    standing: StandingOptions = field(default_factory=StandingOptions)
    probe: Seconds = UNLIMITED
    resolve: Seconds = UNLIMITED


class Care:
    """Looks after one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        options: GroupOptions,
        *,
        ask: Callable[[UpstreamServer], Awaitable[Health]],
        make: Callable[[UpstreamAddress], UpstreamServer],
        look_up: Callable[[UpstreamAddress], Awaitable[list[UpstreamAddress]]] = look_up,
    ) -> None:
        """Take whom to look after, and how.

        Args:
            upstream: The group.
            options: How often.
            ask: Probes a server; never fails.
            make: A server at an address that is new.
            look_up: Says where a name leads to; raises UpstreamRefused.
        """
        self._upstream = upstream
        self._options = options
        self._ask = ask
        self._make = make
        self._look_up = look_up
        self._is_failing: set[UpstreamAddress] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after it for the time of the block."""
        tasks = [asyncio.ensure_future(work) for work in self._work()]
        try:
            yield
        finally:
            for task in tasks:
                await cancel_and_wait(task)

    async def probe(self) -> None:
        """Probe every server once."""
        members = self._upstream.roster.members
        found = await asyncio.gather(*(self._ask(member.server) for member in members))
        for member, health in zip(members, found, strict=True):
            if health.sign is not Sign.UNTRIED:
                self._upstream.note_probe(member, health)

    async def resolve(self) -> None:
        """Look once at what every name leads to."""
        names = self._upstream.roster.names
        for name, addresses in zip(names, await asyncio.gather(*map(self._addresses, names)), strict=True):
            if addresses is not None:
                await self._apply(name, addresses)
        if self._upstream.roster.members:
            self._upstream.resolved.set()

    def _work(self) -> list[Awaitable[None]]:
        work: list[Awaitable[None]] = []
        if self._options.probe != UNLIMITED:
            work.append(self._probe_on())
        if self._upstream.roster.names:
            work.append(self._resolve_on())
        return work

    async def _probe_on(self) -> None:
        while True:
            await asyncio.sleep(self._options.probe)
            await self._try(self.probe)

    async def _resolve_on(self) -> None:
        while True:
            await self._try(self.resolve)
            is_known = self._upstream.resolved.is_set()
            await asyncio.sleep(self._options.resolve if is_known else FIRST_LOOKS)

    async def _try(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look once; whatever goes wrong with it, the next look is due all the same."""
        try:
            await look()
        except Exception:
            log.exception("upstream %s: a look at its servers failed; going on", self._upstream.name)

    async def _addresses(self, name: NamedPlace) -> list[UpstreamAddress] | None:
        """Where a name leads to; None where that cannot be learnt: then what was known holds, and is told."""
        try:
            addresses = await self._look_up(name.address)
        except UpstreamRefused as fault:
            if name.address not in self._is_failing:
                log.warning("upstream %s: %s; going on as before", self._upstream.name, fault.for_operator)
            self._is_failing.add(name.address)
            return None
        self._is_failing.discard(name.address)
        return addresses

    async def _apply(self, name: NamedPlace, addresses: Sequence[UpstreamAddress]) -> None:
        change = self._upstream.settle(name, addresses, self._make)
        for member in change.added:
            log.info("upstream %s: %s leads to %s now", self._upstream.name, name.address, member.name)
        for member in change.ended:
            log.info("upstream %s: %s has gone", self._upstream.name, member.name)
            await member.server.close()
        if change.surplus:
            text = "upstream %s: %s has more addresses than are used: %s left out"
            log.warning(text, self._upstream.name, name.address, len(change.surplus))
