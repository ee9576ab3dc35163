"""Makes the parts once and puts them together; nothing here is global, and nobody else constructs them."""

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shim.admission.connections import ConnectionGate
from shim.admission.drain import Drain
from shim.admission.gate import UploadGate
from shim.admission.limits import BodyPace
from shim.admission.room import QueueOptions, WaitingRoom
from shim.admission.shared import Lines
from shim.app.admin import Admin
from shim.app.application import ProxyApplication
from shim.app.audit import Audited
from shim.app.colleagues import Alone, Colleagues
from shim.app.drains import DrainBoard
from shim.app.everywhere import Everywhere, member_of
from shim.app.feed import Feed
from shim.app.groups import UpstreamSpec, make_group
from shim.app.guard import Guard
from shim.app.health import HealthWatch
from shim.app.looking import snapshot_maker
from shim.app.observing import AccessLog, Onlookers, look_on
from shim.app.stopping import Canceller
from shim.app.tracing import TraceOptions
from shim.app.view import View
from shim.asgi import Application
from shim.cloud.joining import CloudOptions
from shim.ledger.counts import Ledger, LocalLedger
from shim.poller import Poller
from shim.proxy.flow import Proxy
from shim.routes.route import BodyMode, Route
from shim.routes.table import RouteTable
from shim.service.generic import GenericService, Service
from shim.service.glance import GlanceOptions, GlanceService
from shim.spool.budget import Budget
from shim.spool.disk import Amount, LocalDisk, measure_space
from shim.spool.encrypted import EncryptedDisk
from shim.spool.naming import sweep_names
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED, Seconds
from shim.upstream.care import Care
from shim.upstream.message import UpstreamTimeouts
from shim.wire.forwarding import TrustedProxies

# They only move pages from socket to socket: more of them than cores would wait for each other.
RELAY_THREADS = 2


@dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What the parts are made from; the sum of their own options.

    Attributes:
        max_total: What all bodies together may hold.
        max_per_project: What those of one project may.
        min_free: What stays free on the spool's file system.
        encryption: Whether files are encrypted; needs the extra of that name.
        routes: The operator's; empty: those of the service.
        body: Mode of what no route speaks of.
        service: ``glance`` or ``none``.
        glance: What ``glance`` does for its requests.
        admin_token: What the admin pages ask for; None: nothing.
        cloud: The shims that share limits with this one; None: it is alone.
        traces: Where traces go; needs the extra of that name. None: there are none.
        fast: Whether threads move bodies between sockets and files, where the system has epoll.
    """

    directory: Path
    upstreams: Sequence[UpstreamSpec]
    max_total: Amount = field(default_factory=lambda: Amount(UNLIMITED))
    max_per_project: Amount = field(default_factory=lambda: Amount(UNLIMITED))
    min_free: Amount = field(default_factory=Amount)
    encryption: bool = False
    spool: SpoolOptions = field(default_factory=SpoolOptions)
    max_uploads: float = 1000
    queue: QueueOptions = field(default_factory=QueueOptions)
    max_uploads_per_project: float = UNLIMITED
    max_connections: float = 10_000
    max_connections_per_address: float = UNLIMITED
    pace: BodyPace = field(default_factory=BodyPace)
    cut_through_stall: Seconds = 30.0
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    routes: Sequence[Route] = ()
    body: BodyMode = BodyMode.AUTO
    service: str = "glance"
    glance: GlanceOptions = field(default_factory=GlanceOptions)
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    admin_token: str | None = None
    cloud: CloudOptions | None = None
    access_log: AccessLog = True
    traces: TraceOptions | None = None
    fast: bool = True

    @property
    def limits_holders(self) -> bool:
        """Whether a single project or address has a limit of its own, so that they are told apart."""
        counts = (self.max_uploads_per_project, self.max_connections_per_address)
        return self.max_per_project != Amount(UNLIMITED) or any(count != UNLIMITED for count in counts)


@dataclass(frozen=True, slots=True)
class Membership:
    """What a worker shares with the others of its shim.

    Attributes:
        ledger: Counts what all of them hold.
        folder: Where they ask each other.
        number: Which of them this one is.
        lines: Where they wait for the slots of upstreams; None: each has lines of its own.
    """

    ledger: Ledger
    folder: Path
    number: int
    lines: Lines | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server runs: two applications, the drain that it drives, and what is to be closed at the end.

    Attributes:
        gate: Counts client connections.
        colleagues: This worker among the others.
        everywhere: The same among all shims of its cloud.
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
    colleagues: Alone
    feed: Feed
    everywhere: Everywhere
    onlookers: Onlookers
    cares: Sequence[Care] = ()
    poller: Poller | None = None
    relays: Poller | None = None

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """What runs beside the requests: others are answered, and servers looked after."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.everywhere.present())
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


def build(options: ProxyOptions, membership: Membership | None = None) -> Parts:
    """Make all parts; of a shim of one process, unless there are others that it belongs to.

    Raises:
        DiskError: The spool directory cannot be looked at.
        NoUpstream: An application that is to run in this process cannot be loaded.
    """
    disk = (EncryptedDisk if options.encryption else LocalDisk)(options.directory, min_free=options.min_free)
    ledger = LocalLedger() if membership is None else membership.ledger
    size = measure_space(options.directory).total
    budget = Budget(options.max_total.of(size), options.max_per_project.of(size), ledger)
    store = Store(disk, budget, options.spool)
    is_fast = options.fast and sys.platform == "linux"
    poller = Poller() if is_fast else None
    relays = Poller(RELAY_THREADS, most=RELAY_THREADS, name="relay") if is_fast else None
    drain = Drain()
    onlookers = look_on(options.access_log, options.traces, 0 if membership is None else membership.number)
    journal = onlookers.journal
    service = service_of(options.service, options.glance)
    sweep_names(options.directory)
    cloud = member_of(options.cloud, journal)
    room = WaitingRoom(options.queue.most, ledger)
    lines = None if membership is None else membership.lines
    behind = [
        make_group(
            spec,
            timeouts=options.timeouts,
            directory=options.directory,
            poller=poller,
            queue=options.queue,
            room=room,
            lines=lines,
            count_failure=journal.counters.add_failure,
        )
        for spec in options.upstreams
    ]
    upstreams = {group.upstream.name: group.upstream for group in behind}
    proxy = Proxy(
        routes=route_table(options, service),
        service=service,
        upstreams=upstreams,
        drain=drain,
        gate=UploadGate(options.max_uploads, options.max_uploads_per_project, ledger, cloud),
        store=store,
        journal=journal,
        pace=options.pace,
        stall=options.cut_through_stall,
    )
    own, cancel = snapshot_maker(drain, store, journal, upstreams, cloud), Canceller(journal).cancel
    board = DrainBoard(upstreams, None if membership is None else membership.folder)
    colleagues = (
        Alone(own, cancel)
        if membership is None
        else Colleagues(own, membership.folder, membership.number, cancel, look=board.look)
    )
    everywhere = Everywhere(colleagues, cloud, bell=None if lines is None else lines.bell)
    health = HealthWatch(drain, store, upstreams, probe_path=service.probe_path)
    view = View(store, health, colleagues, everywhere)
    feed = Feed(view.now)
    return Parts(
        application=ProxyApplication(proxy, journal, options.trusted, onlookers.notes),
        admin=Audited(Guard(Admin(view, feed, board).application(), options.admin_token)),
        drain=drain,
        disk=disk,
        gate=ConnectionGate(
            options.max_connections, options.max_connections_per_address, ledger, options.trusted
        ),
        colleagues=colleagues,
        feed=feed,
        everywhere=everywhere,
        cares=[group.care(health.ask) for group in behind],
        onlookers=onlookers,
        poller=poller,
        relays=relays,
    )


def service_of(name: str, glance: GlanceOptions | None = None) -> Service:
    """What is known of the service behind: ``glance`` or ``none``."""
    return GlanceService(glance) if name == "glance" else GenericService()


def route_table(options: ProxyOptions, service: Service) -> RouteTable:
    """The operator's routes, or the service's; with one upstream all else leads there too."""
    if len(options.upstreams) != 1:
        return RouteTable(options.routes)
    only = options.upstreams[0].name
    routes = options.routes or service.default_routes(only, options.body)
    return RouteTable(routes, fallback=Route("default", only, body=options.body))
