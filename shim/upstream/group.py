"""An upstream: one or more servers; a request waits for a free slot, and is tried until one takes it.

It holds its slot from before the connection until its answer is read to the end: a worker is busy that
long. Only what provably delivered nothing is tried again here: a refused or unanswered connection. Whether
a request that may have been delivered can be sent anew is for the service room to say.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from shim.admission.preference import Preference
from shim.admission.queue import SlotQueue
from shim.errors import NoDescriptor, UpstreamFault, UpstreamRefused
from shim.timing import UNLIMITED, Clock, Seconds, deadline, monotonic
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.answer import Interim
from shim.upstream.connection import EnterPhase
from shim.upstream.exchange import Response, UpstreamServer
from shim.upstream.health import Health
from shim.upstream.member import Member, NamedPlace
from shim.upstream.message import UpstreamRequest
from shim.upstream.passage import Passage
from shim.upstream.pending import PendingRequest
from shim.upstream.roster import Change, Roster
from shim.upstream.size_watch import SizeWatch

log = logging.getLogger("shim.upstream")


class Upstream:
    """A named group of servers.

    Attributes:
        watch: Finds out how many slots the servers have; None where none can be asked.
        resolved: Set when the names among its servers have been looked up for the first time.
    """

    def __init__(
        self,
        name: str,
        servers: Sequence[UpstreamServer] = (),
        *,
        mount: str = "",
        connect_retry: Seconds = 10.0,
        roster: Roster | None = None,
        queue: SlotQueue | None = None,
        watch: SizeWatch | None = None,
        slots: float = UNLIMITED,
        count_failure: Callable[[str, str], None] = lambda _upstream, _server: None,
        clock: Clock = monotonic,
    ) -> None:
        """Take the servers in the order in which they are tried, where all do the same.

        Args:
            name: Its name in the configuration.
            servers: At least one, where there is no ``roster``.
            mount: SCRIPT_NAME of the application.
            connect_retry: How long refused connections are tried again, in seconds.
            roster: The servers, where more is to be said of them than which they are.
            queue: The slots of the servers; by default there is no limit to them.
            watch: Finds out how many there are, where a server can be asked.
            slots: How many requests each server that a name leads to takes at once, as far as is known.
            count_failure: Told of each failure: this upstream's name, and the server's.
            clock: Tells the time.
        """
        self.name = name
        self.roster = roster or Roster()
        for server in servers:
            self.roster.add(server)
        self.mount = mount
        self.queue = queue or SlotQueue(self.roster.positions, clock=clock)
        self.clock = clock
        self._slots = slots
        self.watch = watch
        self._connect_retry = connect_retry
        self._count_failure = count_failure
        self.resolved = asyncio.Event()
        if not self.roster.names:
            self.resolved.set()

    def __repr__(self) -> str:
        return f"<Upstream {self.name}: {', '.join(map(repr, self.servers))}>"

    @property
    def servers(self) -> tuple[UpstreamServer, ...]:
        """The servers there are now."""
        return tuple(member.server for member in self.roster)

    @property
    def takes_growing(self) -> bool:
        """Whether its servers begin with a body that still comes in; an application gets a whole file."""
        return Protocol.WSGI not in self.roster.protocols

    @property
    def takes_chunked(self) -> bool:
        """Whether its servers take a body whose length is not known."""
        return self.roster.protocols <= {Protocol.HTTP}

    @property
    def drain_rate(self) -> float | None:
        """How fast its servers take bodies in, in bytes per second: the fastest, for it may be the one."""
        return max((rate for server in self.servers if (rate := server.drain_rate) is not None), default=None)

    def exchange(
        self,
        request: UpstreamRequest,
        *,
        interim: Interim,
        enter: EnterPhase,
        on_server: Callable[[str], None] = lambda _server: None,
        pending: PendingRequest | None = None,
    ) -> contextlib.AbstractAsyncContextManager[Response]:
        """Send a request to a server that has a slot for it, and give its answer.

        Args:
            request: What to send.
            interim: Gets interim answers.
            enter: Told of each phase that it enters.
            on_server: Told of each server that it is given to, where there are several.
            pending: Where ``send_now`` has sent it already.

        Raises:
            QueueFull, QueueTimeout: No slot came free; nothing was delivered.
            UpstreamRefused, ConnectTimeout: No server took a connection while it was tried.
            UpstreamFault: The server that took it failed.
        """
        return Passage(self, request, interim=interim, enter=enter, on_server=on_server, pending=pending)

    def send_now(self, request: UpstreamRequest) -> PendingRequest | None:
        """Send a small request where neither a slot nor a connection has to be waited for, else None.

        Nothing was delivered then, nor where it raises ShimError.
        """
        if not self._is_settled:
            return None
        now = self.clock()
        preference = self.roster.preference(now, request.about, 0, self.queue)
        place = self.queue.place_now(request.project, request.length, request.waits, preference)
        if place is None:
            return None
        member = self.roster.at(place.server)
        sent = None
        try:
            sent = None if member is None else member.server.send_now(request)
        finally:
            if sent is None:
                place.give_back()
        if member is None or sent is None:
            return None
        self.roster.note(member, now)
        return PendingRequest(self, request, place, member, sent)

    @property
    def _is_settled(self) -> bool:
        """Whether it is known who the servers are, and how much they take at once."""
        return self.resolved.is_set() and (self.watch is None or self.watch.is_fresh)

    def take_out(self, drained: frozenset[str]) -> None:
        """Exactly these servers get no more requests, until they are called back; those in them go on."""
        self.roster.drain(drained)
        self.queue.reconsider()

    def settle(
        self,
        name: NamedPlace,
        addresses: Sequence[UpstreamAddress],
        make: Callable[[UpstreamAddress], UpstreamServer],
    ) -> Change:
        """A name leads to these addresses now; what has gone gets no more requests."""
        change = self.roster.resolve(name, addresses, make)
        for member in change.ended:
            self.queue.limit(member.position, 0)
        known = None if self.watch is None else self.watch.size
        for member in change.added:
            self.queue.limit(member.position, self._slots if known is None else known)
        self.queue.reconsider()
        return change

    def note_probe(self, member: Member, health: Health) -> None:
        """Record a probe's result; not called where it says nothing of the server (``Sign.UNTRIED``)."""
        before = member.standing.is_fit(self.clock())
        member.standing.probe(self.clock(), health.sign)
        after = member.standing.is_fit(self.clock())
        if before != after:
            text = "upstream %s: %s is %s: %s"
            log.log(
                logging.INFO if after else logging.WARNING,
                *(text, self.name, member.name, member.standing.state(self.clock()), health.reason),
            )
            self.queue.reconsider()

    def check_head(self, request: UpstreamRequest, length: int | None) -> None:
        """Raise HeadTooLarge where the head fits no server; asked before a byte of the body is taken."""
        for protocol in self.roster.protocols:
            request.check_head(protocol, length)

    async def close(self) -> None:
        """Close all idle connections."""
        for server in self.servers:
            await server.close()

    # -- for a passage ------------------------------------------------------------------------------

    def retry_for(self, request: UpstreamRequest) -> Seconds:
        """How long connections for a request are tried anew."""
        return self._connect_retry if request.timeouts is None else request.timeouts.connect_retry

    async def wait_for_names(self) -> None:
        """Wait until the names were resolved once; afterwards the last answer of DNS holds.

        Raises:
            UpstreamRefused: They were not within ``connect_retry``.
        """
        if self.resolved.is_set():
            return
        text = f"upstream {self.name}: its name was not resolved within {self._connect_retry:g} s."
        expired = UpstreamRefused("The upstream server could not be found.", for_operator=text)
        async with deadline(self._connect_retry, lambda: expired):
            await self.resolved.wait()

    def prefer(self, about: str, avoided: int) -> Preference:
        """Which servers a request about something would go to, that some have refused already."""
        return self.roster.preference(self.clock(), about, avoided, self.queue)

    def note_fault(self, member: Member, fault: UpstreamFault) -> None:
        """A request has failed in a server, and that speaks against it."""
        if isinstance(fault, NoDescriptor):
            # We could not even try: to eject servers for that would turn a full process into an outage.
            return
        self._count_failure(self.name, member.name)
        if seconds := member.standing.fail(self.clock()):
            text = "upstream %s: %s failed again and is left out for %g s: %s"
            log.warning(text, self.name, member.name, seconds, fault.for_operator)
            self.queue.reconsider()
            # Who waits in line by then may go there again.
            asyncio.get_running_loop().call_later(seconds, self.queue.reconsider)
