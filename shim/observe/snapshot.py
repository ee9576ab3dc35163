"""What one worker has to say of itself, as a value that goes from process to process and adds up.

The admin listener answers for the whole shim: whichever worker is asked adds the others' snapshots to its
own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shim.observe.cloud import CloudView, views_together
from shim.observe.counters import Counters, Histogram
from shim.observe.history import History

SERVING = "serving"
"""The life of a worker that takes new requests; a shim is ready as long as one of its workers does."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One worker, or several together.

    Attributes:
        life: Whether it serves, leaves or drains.
        counters: What has happened.
        phases: Requests with a body under way, by where the body is.
        uploads: The same one by one, as ``/uploads`` shows them.
        held: Bytes that bodies hold.
        leased: Bytes that are promised to them: a declared length all at once.
        files: Bodies that have a file.
        inflight: Requests in a server, by upstream and server.
        states: Workers that have a server in a state, by upstream, server and state.
        drain_rates: Bytes per second in which a server takes bodies, by upstream and server.
        waiting: Requests that wait for a slot, by upstream.
        workers: How many have spoken.
        cloud: What they know of their cloud; None where there is none.
    """

    life: str = SERVING
    counters: Counters = field(default_factory=Counters)
    phases: Mapping[str, int] = field(default_factory=dict)
    uploads: tuple[Mapping[str, Any], ...] = ()
    held: int = 0
    leased: int = 0
    files: int = 0
    inflight: Mapping[tuple[str, str], int] = field(default_factory=dict)
    states: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    drain_rates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    workers: int = 1
    cloud: CloudView | None = None


def together(snapshots: Iterable[Snapshot]) -> Snapshot:
    """All of them as one; the oldest upload first, as each of them has it."""
    each = list(snapshots)
    lives = [one.life for one in each]
    return Snapshot(
        life=SERVING if SERVING in lives else lives[0],
        counters=add_up(one.counters for one in each),
        phases=_sums(one.phases for one in each),
        uploads=tuple(
            sorted((upload for one in each for upload in one.uploads), key=lambda upload: -upload["age"])
        ),
        held=sum(one.held for one in each),
        leased=sum(one.leased for one in each),
        files=sum(one.files for one in each),
        inflight=_sums(one.inflight for one in each),
        states=_sums(one.states for one in each),
        # None has the whole story of a server; the one that found it fastest had it to itself.
        drain_rates={
            server: max(one.drain_rates.get(server, 0.0) for one in each)
            for one in each
            for server in one.drain_rates
        },
        waiting=_sums(one.waiting for one in each),
        workers=sum(one.workers for one in each),
        cloud=views_together(one.cloud for one in each if one.cloud is not None),
    )


def add_up(several: Iterable[Counters]) -> Counters:
    """Counters that count what all of them have counted."""
    whole = Counters()
    for counters in several:
        whole.requests.update(counters.requests)
        whole.refusals.update(counters.refusals)
        whole.body_bytes.update(counters.body_bytes)
        whole.failures.update(counters.failures)
        whole.traces.update(counters.traces)
        for phase, histogram in counters.phases.items():
            whole.phases.setdefault(phase, Histogram(histogram.buckets)).include(histogram)
        whole.history.include(counters.history)
    return whole


def _sums(several: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    sums: Counter[Any] = Counter()
    for counts in several:
        sums.update(counts)
    return dict(sums)


# -- as bytes -------------------------------------------------------------------------------------


def encode_counters(counters: Counters) -> dict[str, Any]:
    """Counters as JSON has them."""
    return {
        "requests": [[*labels, count] for labels, count in counters.requests.items()],
        "refusals": counters.refusals,
        "body_bytes": counters.body_bytes,
        "phases": {
            phase: [histogram.counts, histogram.total] for phase, histogram in counters.phases.items()
        },
        "history": counters.history.encode(),
        "failures": [[*server, count] for server, count in counters.failures.items()],
        "traces": counters.traces,
    }


def decode_counters(told: Mapping[str, Any]) -> Counters:
    """Counters as ``encode_counters`` wrote them."""
    counters = Counters(
        requests=Counter(
            {(route, method, status): count for route, method, status, count in told["requests"]}
        ),
        refusals=Counter(told["refusals"]),
        body_bytes=Counter(told["body_bytes"]),
        history=History.decode(told["history"]),
        failures=Counter({(upstream, server): count for upstream, server, count in told["failures"]}),
        traces=Counter(told["traces"]),
    )
    for phase, (counts, total) in told["phases"].items():
        histogram = counters.phases[phase] = Histogram()
        histogram.counts, histogram.total = counts, total
    return counters


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as JSON."""
    told = {
        "life": snapshot.life,
        "counters": encode_counters(snapshot.counters),
        "phases": snapshot.phases,
        "uploads": snapshot.uploads,
        "held": snapshot.held,
        "leased": snapshot.leased,
        "files": snapshot.files,
        "inflight": [[*server, count] for server, count in snapshot.inflight.items()],
        "states": [[*server, count] for server, count in snapshot.states.items()],
        "drain_rates": [[*server, rate] for server, rate in snapshot.drain_rates.items()],
        "waiting": snapshot.waiting,
        "cloud": None if snapshot.cloud is None else asdict(snapshot.cloud),
    }
    return json.dumps(told).encode()


def decode_snapshot(data: bytes) -> Snapshot:
    """A snapshot as ``encode_snapshot`` wrote it.

    Raises:
        ValueError: It was cut.
    """
    told = json.loads(data)
    return Snapshot(
        life=told["life"],
        counters=decode_counters(told["counters"]),
        phases=told["phases"],
        uploads=tuple(told["uploads"]),
        held=told["held"],
        leased=told["leased"],
        files=told["files"],
        inflight={(upstream, server): count for upstream, server, count in told["inflight"]},
        states={(upstream, server, state): count for upstream, server, state, count in told["states"]},
        drain_rates={(upstream, server): rate for upstream, server, rate in told["drain_rates"]},
        waiting=told["waiting"],
        cloud=None if told["cloud"] is None else CloudView(**told["cloud"]),
    )
