"""The numbers as Prometheus metrics, read from the parts when somebody scrapes.

Names and labels are fixed (others build dashboards on them); this module is the only one that knows
prometheus-client.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from shim import __version__
from shim.app.health import ServerHealth
from shim.observe.counters import Histogram
from shim.observe.journal import Journal
from shim.spool.disk import Space
from shim.spool.store import Store


def render_metrics(
    journal: Journal,
    store: Store,
    space: Space | None,
    servers: Sequence[ServerHealth],
    queues: Mapping[str, int] | None = None,
) -> bytes:
    """All metrics in Prometheus' text format; ``queues`` says how many wait, by upstream."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(
        _Snapshot([*_counters(journal), *_spool(store, space), *_upstreams(servers), _queues(queues or {})])
    )
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _counters(journal: Journal) -> Iterable[Metric]:
    counters = journal.counters
    requests = CounterMetricFamily(
        "glance_shim_requests", "Requests answered.", labels=("route", "method", "status")
    )
    for (route, method, status), count in counters.requests.items():
        requests.add_metric([route, method, str(status)], count)
    yield requests
    yield _labelled("glance_shim_refusals", "Requests that the shim itself ended.", "code", counters.refusals)
    yield _labelled("glance_shim_body_bytes", "Request body bytes received.", "mode", counters.body_bytes)
    uploads = GaugeMetricFamily(
        "glance_shim_uploads", "Requests with a body, by where the body is.", labels=["phase"]
    )
    for phase, count in journal.uploads().items():
        uploads.add_metric([phase], count)
    yield uploads
    phases = HistogramMetricFamily(
        "glance_shim_phase_seconds", "Seconds that requests spent in a phase.", labels=["phase"]
    )
    for name, histogram in counters.phases.items():
        phases.add_metric([name], _buckets(histogram), histogram.total)
    yield phases
    info = GaugeMetricFamily("glance_shim_build_info", "The running version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info


def _spool(store: Store, space: Space | None) -> Iterable[Metric]:
    yield _gauge("glance_shim_spool_bytes", "Bytes that bodies hold, in memory and on disk.", store.held)
    yield _gauge("glance_shim_spool_limit_bytes", "Bytes that all bodies together may hold.", store.limit)
    yield _gauge("glance_shim_spool_files", "Bodies that have a file.", store.files)
    if space is not None:
        yield _gauge("glance_shim_disk_free_bytes", "Free bytes on the spool's file system.", space.free)


def _upstreams(servers: Sequence[ServerHealth]) -> Iterable[Metric]:
    labels = ("upstream", "server")
    inflight = GaugeMetricFamily("glance_shim_upstream_inflight", "Requests in a server.", labels=labels)
    slots = GaugeMetricFamily(
        "glance_shim_upstream_slots", "Requests that a server takes at once.", labels=labels
    )
    up = GaugeMetricFamily("glance_shim_upstream_up", "Whether a server takes requests.", labels=labels)
    for server in servers:
        values = [server.upstream, str(server.address)]
        inflight.add_metric(values, server.inflight)
        slots.add_metric(values, server.slots)
        up.add_metric(values, server.health.up)
    yield inflight
    yield slots
    yield up


def _queues(queues: Mapping[str, int]) -> Metric:
    length = GaugeMetricFamily(
        "glance_shim_queue_length", "Requests waiting for a slot of a server.", labels=["upstream"]
    )
    for upstream, waiting in queues.items():
        length.add_metric([upstream], waiting)
    return length


def _labelled(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound, as Prometheus wants them."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, histogram.buckets), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
