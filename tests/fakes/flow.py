"""The whole way of a request over fakes: a scripted client, a disk in memory, scripted servers, leaping time.

``Flow`` is what a test runs requests through; afterwards it says whether anything is still held.
"""

import asyncio

from shim.admission.drain import Drain
from shim.admission.gate import UploadGate
from shim.admission.limits import BodyPace
from shim.app.application import ProxyApplication
from shim.errors import ShimError
from shim.observe.counters import Counters
from shim.observe.journal import Journal
from shim.proxy.flow import Proxy
from shim.routes.route import BodyMode, Route
from shim.routes.table import RouteTable
from shim.service.generic import PlainHandling
from shim.service.glance import GlanceService
from shim.spool.budget import Budget
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from shim.wire.peer import TrustedProxies
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import loop_time
from tests.fakes.stream import FakeNetwork

MEMORY = 100
FIRST_SERVERS = {
    "http": parse_upstream("http://one:9292"),
    "uwsgi": parse_upstream("uwsgi://one:3031"),
}
SECOND_SERVERS = {
    "http": parse_upstream("http://two:9292"),
    "uwsgi": parse_upstream("uwsgi://two:3031"),
}


class UnaskedGlance(GlanceService):
    """Glance's routes, for requests that are handled like any other's."""

    def handle(self, message, upstream):
        """Nothing is asked and nothing added."""
        return PlainHandling()


class Flow:
    """The application and everything below it.

    Args:
        outcomes: What connecting to a server gives, in order.
        protocol: Of the servers.
        servers: How many there are.
        slots: Requests that each of them takes at once.
        glance: What the Glance room does; by default it asks nothing: each request is one connection.
        body: The mode of uploads.
        server: The only server, of one's own.
        drain: How fast the servers are known to take bodies, in bytes per second.
    """

    def __init__(
        self,
        *outcomes,
        protocol="http",
        servers=1,
        slots=UNLIMITED,
        budget=UNLIMITED,
        max_body=UNLIMITED,
        uploads=1000,
        retry=0.0,
        mount="",
        pace=None,
        routes=None,
        glance=None,
        body=BodyMode.AUTO,
        server=None,
        drain=None,
        **disk,
    ):
        self.network = FakeNetwork(*outcomes)
        self.disk = FakeDisk(**disk)
        self.budget = Budget(budget)
        self.store = Store(self.disk, self.budget, SpoolOptions(memory_limit=MEMORY, max_body=max_body))
        self.gate = UploadGate(uploads)
        self.drain = Drain()
        self.journal = Journal(Counters(), clock=loop_time)
        self.service = UnaskedGlance() if glance is None else GlanceService(glance, clock=loop_time)
        # A relay looks about itself many times a second, and time leaps from look to look.
        timeouts = UpstreamTimeouts(send=60, response=300, response_idle=3)
        addresses = [FIRST_SERVERS[protocol], SECOND_SERVERS[protocol]][:servers]
        upstream = Upstream(
            "images",
            [server]
            if server
            else [
                Server(address, timeouts, connect=self.network.connect, clock=loop_time)
                for address in addresses
            ],
            mount=mount,
            connect_retry=retry,
            clock=loop_time,
        )
        for one in upstream.servers:
            one.drain_meter.value = drain
        self.upstream = upstream
        for position in range(servers):
            upstream.queue.limit(position, slots)
        self.proxy = proxy = Proxy(
            routes=routes
            or RouteTable(self.service.default_routes("images", body), fallback=Route("default", "images")),
            service=self.service,
            upstreams={"images": upstream},
            drain=self.drain,
            gate=self.gate,
            store=self.store,
            journal=self.journal,
            pace=pace or BodyPace(idle=60, total=UNLIMITED, min_rate=0),
            # Bodies are some hundred bytes here.
            least_paced=MEMORY,
            clock=loop_time,
        )
        self.application = ProxyApplication(proxy, self.journal, TrustedProxies())

    @property
    def refusals(self):
        """The codes told so far."""
        return dict(self.journal.counters.refusals)

    @property
    def requests(self):
        """The requests that are over, by route, method and status."""
        return dict(self.journal.counters.requests)

    @property
    def sent(self):
        """What each connection was sent, up to now."""
        return [stream.sent for stream in self.network.streams]

    async def serve(self, client, scope):
        """Run one request as a server does; whether its answer came to an end (False: the server cuts)."""
        try:
            await self.application(scope, client.receive, client.send)
        except ShimError:
            return False
        assert client.is_answered
        return True

    def start(self, client, scope):
        """Begin one request."""
        return asyncio.ensure_future(self.serve(client, scope))

    async def check_nothing_is_held(self):
        """No byte, no file, no lease, no place, no connection."""
        await self.upstream.close()
        assert self.store.held == 0
        assert self.store.files == 0
        assert self.budget.leased == 0
        assert self.disk.open_files == 0
        assert self.gate.under_way == 0
        assert self.journal.live() == []
        assert self.upstream.queue.waiting == 0
        assert [self.upstream.queue.used(server) for server in range(len(self.upstream.servers))] == [
            0
        ] * len(self.upstream.servers)
        assert [server.inflight for server in self.upstream.servers] == [0] * len(self.upstream.servers)
        assert all(stream.closed for stream in self.network.streams)


def put(*script, headers=(), length=None, target=b"/v2/images/1/file", **options):
    """An upload: its client and scope; chunked without a ``length``."""
    framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    return FakeClient(*script), scope_of("PUT", target, (framing, *headers), **options)


def get(target=b"/v2/images", headers=(), **options):
    """A request without a body: its client and scope."""
    return FakeClient(), scope_of("GET", target, tuple(headers), **options)
