"""Makes the parts once and puts them together; nothing here is global, and nobody else constructs them."""

import sys
from collections.abc import Sequence

from shim.admission.connections import ConnectionGate
from shim.admission.drain import Drain
from shim.admission.gate import UploadGate
from shim.admission.room import WaitingRoom
from shim.app.admin import Admin
from shim.app.application import ProxyApplication
from shim.app.audit import Audited
from shim.app.cloud_presence import CloudPresence, member_of
from shim.app.colleagues import Colleagues, SoleWorker
from shim.app.drains import DrainBoard
from shim.app.feed import Feed
from shim.app.groups import Group, make_group
from shim.app.guard import Guard
from shim.app.health import HealthWatch
from shim.app.looking import snapshot_maker
from shim.app.observing import Onlookers, look_on
from shim.app.options import ProxyOptions
from shim.app.parts import Membership, Parts
from shim.app.routing import route_table, service_of
from shim.app.short import ShortRequests
from shim.app.stopping import Canceller
from shim.app.view import View
from shim.ledger.counts import Ledger
from shim.observe.journal import Journal
from shim.poller import Poller
from shim.proxy.flow import Proxy
from shim.short_way import ShortWay
from shim.spool.budget import Budget
from shim.spool.disk import LocalDisk, measure_space
from shim.spool.encrypted import EncryptedDisk
from shim.spool.naming import sweep_names
from shim.spool.store import Store

# They only move pages from socket to socket: more of them than cores would wait for each other.
RELAY_THREADS = 2


def build(options: ProxyOptions, membership: Membership | None = None) -> Parts:
    """Make all parts; of a shim of one process, unless there are others that it belongs to.

    Raises:
        DiskError: The spool directory cannot be looked at.
        NoUpstream: An application that is to run in this process cannot be loaded.
    """
    membership = membership or Membership()
    ledger, lines = membership.ledger, membership.lines
    disk, store = _spool(options, ledger)
    poller, relays = _threads(options)
    drain = Drain()
    onlookers = look_on(options.access_log, options.traces, membership.number)
    journal = onlookers.journal
    service = service_of(options.service, options.glance)
    cloud = member_of(options.cloud, journal)
    behind = _groups(options, membership, poller, journal)
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
    board = DrainBoard(upstreams, membership.folder)
    colleagues = (
        SoleWorker(own, cancel)
        if membership.folder is None
        else Colleagues(own, membership.folder, membership.number, cancel, look=board.look)
    )
    presence = CloudPresence(colleagues, cloud, bell=None if lines is None else lines.bell)
    health = HealthWatch(drain, store, upstreams, probe_path=service.probe_path)
    view = View(store, health, colleagues, presence)
    feed = Feed(view.now)
    return Parts(
        application=ProxyApplication(
            proxy, journal, options.trusted, onlookers.notes, _short_way(options, proxy, onlookers)
        ),
        # Outside of the guard: what was refused for its token is told too.
        admin=Audited(Guard(Admin(view, feed, board).application(), options.admin_token)),
        drain=drain,
        disk=disk,
        gate=ConnectionGate(
            options.max_connections, options.max_connections_per_address, ledger, options.trusted
        ),
        colleagues=colleagues,
        feed=feed,
        presence=presence,
        cares=[group.care(health.ask) for group in behind],
        onlookers=onlookers,
        poller=poller,
        relays=relays,
    )


def _spool(options: ProxyOptions, ledger: Ledger) -> tuple[LocalDisk, Store]:
    """The disk, without what killed processes left there, and what is kept on it within its budget."""
    disk = (EncryptedDisk if options.encryption else LocalDisk)(options.directory, min_free=options.min_free)
    size = measure_space(options.directory).total
    budget = Budget(options.max_total.of(size), options.max_per_project.of(size), ledger)
    sweep_names(options.directory)
    return disk, Store(disk, budget, options.spool)


def _threads(options: ProxyOptions) -> tuple[Poller | None, Poller | None]:
    """Those that move bodies, and those that move answers."""
    # Both wait by epoll, which other systems do not have: there the plain way is the only one.
    if not options.fast or sys.platform != "linux":
        return None, None
    return Poller(), Poller(RELAY_THREADS, most=RELAY_THREADS, name="relay")


def _short_way(options: ProxyOptions, proxy: Proxy, onlookers: Onlookers) -> ShortWay | None:
    # Who takes notes of requests reads what is made for an application that is run.
    if not options.fast or sys.platform != "linux" or onlookers.notes is not None:
        return None
    return ShortRequests(proxy, options.trusted)


def _groups(
    options: ProxyOptions, membership: Membership, poller: Poller | None, journal: Journal
) -> Sequence[Group]:
    # One for all: limits.queue holds for all upstreams together.
    room = WaitingRoom(options.queue.most, membership.ledger)
    return [
        make_group(
            spec,
            timeouts=options.timeouts,
            directory=options.directory,
            poller=poller,
            queue=options.queue,
            room=room,
            lines=membership.lines,
            count_failure=journal.counters.add_failure,
        )
        for spec in options.upstreams
    ]
