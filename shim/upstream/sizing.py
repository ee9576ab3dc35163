"""How many requests an upstream takes at once: set by the operator, told by the server, or not known.

Makes the line for its slots from that; and says, for ``check``, what the figures mean for small requests
beside uploads.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from shim.admission.preference import MOST_SERVERS
from shim.admission.queue import SlotQueue
from shim.admission.room import QueueOptions, WaitingRoom
from shim.admission.shared import Lines
from shim.admission.slots import Capacity, upload_limit
from shim.admission.table import SlotTable
from shim.errors import UpstreamFault
from shim.findings import Finding, Level
from shim.timing import UNLIMITED
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.application import THREADS, ApplicationServer
from shim.upstream.exchange import UpstreamServer
from shim.upstream.size_watch import SizeWatch
from shim.upstream.stats import StatsAddress, read_slots


@dataclass(frozen=True, slots=True)
class Sizing:
    """What is set about the size of an upstream's servers.

    Attributes:
        max_inflight: Requests in each of them at once, ``UNLIMITED`` for no limit; None: to be found out.
        stats: uWSGI's stats server, which says it.
        upload_share: Part of all slots that uploads may hold.
        max_uploads: How many uploads each server may have.
    """

    max_inflight: float | None = None
    stats: StatsAddress | None = None
    upload_share: float = 0.75
    max_uploads: float = UNLIMITED

    @property
    def threads(self) -> int:
        """How many threads an application in this process gets: there has to be a number."""
        if self.max_inflight is None or self.max_inflight == UNLIMITED:
            return THREADS
        return int(self.max_inflight)

    @property
    def is_limited(self) -> bool:
        """Whether there may be a limit, now or later."""
        if self.max_uploads != UNLIMITED:
            return True
        return self.asks is not None or self.max_inflight not in (None, UNLIMITED)

    @property
    def asks(self) -> StatsAddress | None:
        """Who is asked, where the operator gave no number."""
        return self.stats if self.max_inflight is None else None


def sized_queue(
    servers: Sequence[UpstreamServer | None],
    sizing: Sizing,
    options: QueueOptions,
    room: WaitingRoom,
    *,
    name: str = "",
    addresses: Sequence[UpstreamAddress] = (),
    lines: Lines | None = None,
) -> SlotQueue:
    """The line for the slots of these servers, as far as known; in ``lines`` with other processes.

    Args:
        servers: None is a place that is kept for a server that a name may lead to: it has no slots yet.
        sizing: What is set about their size.
        options: How many may wait, and for how long.
        room: Shared by the lines of all upstreams.
        name: The upstream's, as all processes know it.
        addresses: Its servers as they are configured, which all processes agree in.
        lines: Those of this process among others; None: it is alone.
    """
    table = None if lines is None else shared_line(name, addresses, sizing, lines, places=len(servers))
    queue = SlotQueue(
        len(servers),
        upload_share=sizing.upload_share,
        uploads_each=sizing.max_uploads,
        options=options,
        room=room,
        table=table,
    )
    if lines is not None:
        lines.bell.on_ring(queue.look)
    for number, server in enumerate(servers):
        if server is None:
            queue.limit(number, 0)
        elif isinstance(server, ApplicationServer):
            queue.limit(number, server.threads)
            server.tell_lost(functools.partial(queue.lose, number))
        elif sizing.max_inflight is not None:
            queue.limit(number, sizing.max_inflight)
    return queue


def shared_line(
    name: str,
    servers: Sequence[UpstreamAddress],
    sizing: Sizing,
    lines: Lines,
    *,
    places: int | None = None,
) -> SlotTable | None:
    """The line for an upstream's slots that it has in common with other processes; None where it has none.

    Args:
        name: The upstream's.
        servers: As they are configured.
        sizing: What is set about their size.
        lines: Those of this process.
        places: How many there may be, with those that their names may lead to; None: no more.

    Raises:
        LimitReached: The table that it would be in is not to be had.
    """
    places = len(servers) if places is None else places
    # An application runs in this process: its threads are nobody else's. And without a limit nobody waits.
    is_shared = sizing.is_limited and all(address.application is None for address in servers)
    if not is_shared or places > MOST_SERVERS:
        return None
    # Slots belong to servers, by their place in the list: with another list it is another line.
    key = "\0".join([name, *map(str, servers)])
    capacity = Capacity.of([UNLIMITED] * places, sizing.upload_share, sizing.max_uploads)
    return lines.table(key, capacity, is_told_later=sizing.asks is not None)


def size_watch(
    upstream: str, servers: Sequence[UpstreamServer | None], sizing: Sizing, queue: SlotQueue
) -> SizeWatch | None:
    """Who finds out the rest while requests go there; None where there is nobody to ask."""
    asked = [number for number, server in enumerate(servers) if not isinstance(server, ApplicationServer)]
    if sizing.asks is None or not asked:
        return None

    def tell(size: int) -> None:
        for number in asked:
            # A kept place without slots has no server now.
            if servers[number] is not None or queue.slots(number):
                queue.limit(number, size)

    return SizeWatch(upstream, functools.partial(read_slots, sizing.asks), tell)


# -- for check --------------------------------------------------------------------------------------


async def inspect_size(servers: Sequence[UpstreamAddress], sizing: Sizing) -> list[Finding]:
    """What is to be said of an upstream's size; nothing is raised for its faults."""
    if all(address.protocol is Protocol.WSGI for address in servers):
        return _of_size(sizing.threads * len(servers), sizing.upload_share)
    size = sizing.max_inflight
    if size is None:
        if sizing.stats is None:
            return [Finding(Level.WARNING, _UNKNOWN)]
        try:
            size = await read_slots(sizing.stats)
        except UpstreamFault as fault:
            text = f"stats server {sizing.stats}: {fault.for_operator} {_UNTIL_THEN}"
            return [Finding(Level.WARNING, text)]
    return _of_size(size * len(servers), sizing.upload_share)


_UNKNOWN = (
    "max_inflight is not known: without it requests wait in the server's own line, where a small one stands "
    "behind all uploads. Set it to the number of workers times threads, or name uWSGI's stats server in stats"
)
_UNTIL_THEN = "Until it answers nobody waits for a slot, and small requests stand behind uploads"


def _of_size(slots: float, share: float) -> list[Finding]:
    uploads = upload_limit(slots, share)
    if slots == UNLIMITED:
        return [Finding(Level.FINE, "takes any number of requests at once (max_inflight)")]
    found = [Finding(Level.FINE, f"takes {slots:g} requests at once, {uploads:g} of them uploads")]
    if slots == 1:
        text = "takes one request at once: while an upload is in it, everything else waits"
        found.append(Finding(Level.WARNING, text))
    elif slots * share < 1:
        text = f"upload_share = {share:g} of {slots:g} is less than one slot: uploads get one all the same"
        found.append(Finding(Level.WARNING, text))
    elif math.floor(slots * share) > uploads:
        text = f"upload_share = {share:g} of {slots:g} leaves no slot to small requests: one is kept for them"
        found.append(Finding(Level.WARNING, text))
    return found
