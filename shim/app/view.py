"""What the live views show, as one value: the status page, ``glance-shim top`` and ``/status.json`` share it.

The numbers are those of all workers; servers are as the worker found them that was asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from shim import __version__
from shim.app.cloud_presence import CloudPresence
from shim.app.colleagues import SoleWorker
from shim.app.explanations import EXPLANATIONS
from shim.app.health import HealthWatch, Readiness, ServerHealth
from shim.app.metrics import render_metrics
from shim.app.notices import Facts, judge
from shim.app.servers import describe_server
from shim.errors import DiskError
from shim.observe.counters import Counters
from shim.observe.history import STEP, History
from shim.observe.snapshot import Snapshot
from shim.spool.space import Space
from shim.spool.store import Store
from shim.timing import UNLIMITED, Clock, Seconds, monotonic

# A quarter of an hour in a line; a minute of them is "lately".
LINE = 90
LATELY = 6

Status: TypeAlias = dict[str, Any]


class View:
    """Asks all parts how they are."""

    def __init__(
        self,
        store: Store,
        health: HealthWatch,
        colleagues: SoleWorker,
        presence: CloudPresence | None = None,
        *,
        clock: Clock = monotonic,
    ) -> None:
        self._store = store
        self._health = health
        self._colleagues = colleagues
        self._presence = presence or CloudPresence(colleagues)
        self._clock = clock

    async def readiness(self) -> tuple[Readiness, str]:
        """Whether the shim as a whole is ready, and what a ready one adds where limits.shared is away.

        That is no reason not to be ready: one server that is away would take all shims out at once. All
        workers are asked once for both: load balancers wait no longer than for one that hangs.
        """
        whole = await self._colleagues.whole()
        return await self._health.readiness(whole.life), _cloud_fault(whole)

    async def metrics(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        whole = await self._colleagues.whole()
        ready = (await self._health.readiness(whole.life)).ready
        servers = await self._servers(whole)
        return render_metrics(whole, self._store.limit, await self._space(), servers, ready=ready)

    async def uploads(self) -> list[Any]:
        """The requests with a body that are under way, the oldest first."""
        return list((await self._colleagues.whole()).uploads)

    async def all_uploads(self) -> Sequence[Mapping[str, Any]]:
        """Those of all shims of the cloud; raises CloudAway where they cannot be had."""
        return await self._presence.uploads()

    async def servers(self) -> list[dict[str, Any]]:
        """All servers, one by one."""
        whole = await self._colleagues.whole()
        return [describe_server(server, whole) for server in await self._servers(whole)]

    async def announce(self) -> int:
        """Have all workers look at what has changed; how many did not answer."""
        return await self._colleagues.announce()

    async def cancel(self, key: str, who: str) -> bool:
        """End an upload, in whatever worker it is; whether it was still there. Raises WorkerSilent."""
        return await self._colleagues.cancel(key, who)

    async def now(self) -> Status:
        """Everything, in values that JSON knows."""
        space = await self._space()
        whole = await self._colleagues.whole()
        readiness = await self._health.readiness(whole.life)
        servers = await self._servers(whole)
        now = self._clock()
        lately = whole.counters.history.refusals(now, LATELY)
        state, notices = judge(Facts(whole, readiness, servers, self._store.limit, space, lately))
        return {
            "version": __version__,
            "life": whole.life,
            "workers": whole.workers,
            "ready": readiness.ready,
            "faults": list(readiness.faults),
            "state": state,
            "notices": [asdict(notice) for notice in notices],
            "at": now,
            "received": _received(whole),
            "spool": self._spool(whole, space),
            "requests": whole.counters.requests.total(),
            "refusals": dict(whole.counters.refusals),
            "refused": _refused(whole.counters, now),
            "history": _history(whole.counters.history, now),
            "servers": [describe_server(server, whole) for server in servers],
            "waiting": dict(whole.waiting),
            "phases": dict(whole.phases),
            "cloud": None if whole.cloud is None else asdict(whole.cloud),
            "uploads": list(whole.uploads),
        }

    def _spool(self, whole: Snapshot, space: Space | None) -> dict[str, Any]:
        return {
            "held": whole.held,
            "leased": whole.leased,
            "limit": _finite(self._store.limit),
            "files": whole.files,
            "disk_free": space.free if space else None,
            "disk_total": space.total if space else None,
            "reserve": space.reserve if space else None,
        }

    async def _servers(self, whole: Snapshot) -> list[ServerHealth]:
        """The servers as this worker found them, with what all workers have in them."""
        return [
            replace(server, inflight=whole.inflight.get((server.upstream, str(server.address)), 0))
            for server in await self._health.servers()
        ]

    async def _space(self) -> Space | None:
        """None where the disk does not answer: that is when these pages are needed most."""
        try:
            return await self._store.space()
        except DiskError:
            return None


def _cloud_fault(whole: Snapshot) -> str:
    cloud = whole.cloud
    return "" if cloud is None or cloud.is_there else f"limits.shared is away: {cloud.reason}"


def _refused(counters: Counters, now: Seconds) -> list[dict[str, Any]]:
    """Refusals by code: those of the last hour first, then what was refused before."""
    hours = dict.fromkeys(counters.refusals, 0) | counters.history.refusals(now)
    return [
        {"code": code, "hour": count, "total": counters.refusals[code], "advice": _advice(code)}
        for code, count in sorted(hours.items(), key=lambda entry: -entry[1])
    ]


def _advice(code: str) -> str:
    """What to do about a refusal, as plain text; nothing of a code from an older version of the shim."""
    explanation = EXPLANATIONS.get(code)
    return "" if explanation is None else explanation.do.replace("`", "")


def _history(history: History, now: Seconds) -> dict[str, Any]:
    return {
        "step": STEP,
        "rate": history.rates(now, LINE),
        "uploads": history.uploads(now, LINE),
        "refused": history.refused(now, LINE),
    }


def _received(whole: Snapshot) -> int:
    """Body bytes since the start; a reader that asks twice knows the rate."""
    under_way: int = sum(upload["bytes"] for upload in whole.uploads)
    return under_way + whole.counters.body_bytes.total()


def _finite(number: float) -> float | None:
    # JSON has no infinity.
    return None if number == UNLIMITED else number
