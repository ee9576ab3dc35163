"""Makes the upstreams: their servers, the line for their slots, and who looks after them.

``build`` puts them together with everything else; nobody else constructs them.
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from shim.admission.room import QueueOptions, WaitingRoom
from shim.admission.shared import Lines
from shim.poller import Poller
from shim.timing import UNLIMITED
from shim.upstream.address import UpstreamAddress
from shim.upstream.application import ApplicationServer
from shim.upstream.balance import Balancer
from shim.upstream.care import Care, GroupOptions
from shim.upstream.exchange import UpstreamServer
from shim.upstream.group import Upstream
from shim.upstream.health import Health
from shim.upstream.loading import freeze_heap, load_application
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.network import connect
from shim.upstream.pool import Server
from shim.upstream.roster import Roster
from shim.upstream.sizing import Sizing, size_watch, sized_queue

MakeServer = Callable[[UpstreamAddress], UpstreamServer]


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """One upstream: its servers in their order, the path it lives under, its size, how they share work."""

    name: str
    servers: tuple[UpstreamAddress, ...]
    mount: str = ""
    sizing: Sizing = field(default_factory=Sizing)
    group: GroupOptions = field(default_factory=GroupOptions)


@dataclass(frozen=True, slots=True)
class Group:
    """An upstream, and what is needed to look after it."""

    upstream: Upstream
    options: GroupOptions
    make: MakeServer

    def care(self, ask: Callable[[UpstreamServer], Awaitable[Health]]) -> Care:
        """Who looks after it, where ``ask`` probes a server."""
        return Care(self.upstream, self.options, ask=ask, make=self.make)


def make_group(
    spec: UpstreamSpec,
    *,
    timeouts: UpstreamTimeouts,
    directory: Path,
    poller: Poller | None,
    queue: QueueOptions,
    room: WaitingRoom,
    lines: Lines | None,
    count_failure: Callable[[str, str], None],
) -> Group:
    """One upstream.

    Args:
        spec: What the operator says of it.
        timeouts: How long its servers may take.
        directory: The spool, where they may open bodies that are handed off.
        poller: The threads that send files; None: the loop does.
        queue: How many may wait for its slots, and for how long.
        room: Shared by the lines of all upstreams.
        lines: Where it waits together with other processes; None: it is alone.
        count_failure: Told of each attempt that a server failed.

    Raises:
        NoUpstream: An application that is to run in this process cannot be loaded.
        LimitReached: The table of the shared line is not to be had.
    """
    make = functools.partial(
        _server, timeouts=timeouts, directory=directory, poller=poller, threads=spec.sizing.threads
    )
    roster = _roster(spec, make)
    fixed = {member.position: member.server for member in roster}
    # Positions that are kept for a name's addresses have no server yet.
    places = [fixed.get(position) for position in range(roster.positions)]
    line = sized_queue(places, spec.sizing, queue, room, name=spec.name, addresses=spec.servers, lines=lines)
    limit = spec.sizing.max_inflight
    upstream = Upstream(
        spec.name,
        mount=spec.mount,
        connect_retry=timeouts.connect_retry,
        roster=roster,
        queue=line,
        watch=size_watch(spec.name, places, spec.sizing, line),
        slots=UNLIMITED if limit is None else limit,
        count_failure=count_failure,
    )
    return Group(upstream, spec.group, make)


def _roster(spec: UpstreamSpec, make: MakeServer) -> Roster:
    """The servers of an upstream; those behind names that are to be resolved come later."""
    group = spec.group
    roster = Roster(Balancer(group.balance), group.standing)
    weights = group.weights or [1.0] * len(spec.servers)
    for address, weight in zip(spec.servers, weights, strict=True):
        if address.is_named and group.resolve != UNLIMITED:
            roster.add_name(address, weight)
        else:
            roster.add(make(address), weight)
    return roster


def _server(
    address: UpstreamAddress,
    *,
    timeouts: UpstreamTimeouts,
    directory: Path,
    poller: Poller | None,
    threads: int,
) -> UpstreamServer:
    if address.application is None:
        opened = functools.partial(connect, poller=poller)
        return Server(address, timeouts, connect=opened, directory=directory)
    application = load_application(address.application)
    freeze_heap()
    return ApplicationServer(address, application, timeouts, threads=threads)
