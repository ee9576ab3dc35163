"""What one worker has to tell of itself now: its snapshot, from the parts that it runs."""

from collections.abc import Callable, Mapping

from shim.admission.drain import Drain
from shim.cloud.member import Member
from shim.observe.journal import Journal, Record
from shim.observe.snapshot import Snapshot
from shim.spool.store import Store
from shim.upstream.group import Upstream

SnapshotMaker = Callable[[], Snapshot]


def snapshot_maker(
    drain: Drain,
    store: Store,
    journal: Journal,
    upstreams: Mapping[str, Upstream],
    cloud: Member | None = None,
) -> SnapshotMaker:
    """What gives this worker's snapshot of now."""

    def snapshot() -> Snapshot:
        journal.note()
        return Snapshot(
            life=drain.life.value,
            counters=journal.counters,
            phases=journal.uploads(),
            uploads=live_uploads(journal),
            held=store.held,
            leased=store.leased,
            files=store.files,
            inflight={
                (name, str(server.address)): server.inflight
                for name, upstream in upstreams.items()
                for server in upstream.servers
            },
            states={
                (name, member.name, member.state(upstream.clock())): 1
                for name, upstream in upstreams.items()
                for member in upstream.roster
            },
            drain_rates={
                (name, str(server.address)): server.drain_rate
                for name, upstream in upstreams.items()
                for server in upstream.servers
                if server.drain_rate is not None
            },
            waiting={name: upstream.queue.waiting for name, upstream in upstreams.items()},
            cloud=None if cloud is None else cloud.view(),
        )

    return snapshot


def live_uploads(journal: Journal) -> tuple[dict[str, object], ...]:
    """This worker's requests with a body, oldest first, as ``/uploads`` shows them."""
    return tuple(_describe(record, journal) for record in journal.live() if record.has_body)


def _describe(record: Record, journal: Journal) -> dict[str, object]:
    age = journal.age(record)
    return {
        "key": f"{journal.number}-{record.serial}",
        "id": record.id,
        "method": record.method,
        "path": record.path,
        "project": record.project,
        "image": record.image,
        "server": record.server,
        "bytes": record.received,
        "length": record.length,
        "rate": record.received / age if age else 0.0,
        "phase": record.phase,
        "age": age,
    }
