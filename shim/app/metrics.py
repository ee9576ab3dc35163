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
from shim.app.answers import STATUSES
from shim.app.health import ServerHealth
from shim.observe.cloud import CloudView
from shim.observe.counters import Histogram
from shim.observe.journal import Phase
from shim.observe.snapshot import Snapshot
from shim.spool.space import Space


def render_metrics(
    whole: Snapshot, limit: float, space: Space | None, servers: Sequence[ServerHealth], *, ready: bool
) -> bytes:
    """All metrics in Prometheus' text format.

    Args:
        whole: What all workers count.
        limit: Bytes that all bodies together may hold.
        space: What the spool's file system has, or None where it does not say.
        servers: With what all workers have in them.
        ready: What ``/readyz`` says.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(families(whole, limit, space, servers, ready=ready)))
    return generate_latest(registry)


def families(
    whole: Snapshot, limit: float, space: Space | None, servers: Sequence[ServerHealth], *, ready: bool
) -> list[Metric]:
    """The same as values: all that is exported, also what has no number yet."""
    told = [*_counters(whole), *_spool(whole, limit, space), *_upstreams(servers), _queues(whole.waiting)]
    told += _standings(whole)
    told += _cloud(whole.cloud)
    return [*told, _gauge("glance_shim_ready", "Whether /readyz says yes.", ready)]


class _Told(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _counters(whole: Snapshot) -> Iterable[Metric]:
    counters = whole.counters
    requests = CounterMetricFamily(
        "glance_shim_requests", "Requests answered.", labels=("route", "method", "status")
    )
    for (route, method, status), count in counters.requests.items():
        requests.add_metric([route, method, str(status)], count)
    yield requests
    # Each code and phase from the start: of a series that begins with its first event no rate tells that one.
    refusals = dict.fromkeys(STATUSES, 0) | counters.refusals
    yield _labelled("glance_shim_refusals", "Requests that the shim itself ended.", "code", refusals)
    yield _labelled("glance_shim_body_bytes", "Request body bytes received.", "mode", counters.body_bytes)
    uploads = GaugeMetricFamily(
        "glance_shim_uploads", "Requests with a body, by where the body is.", labels=["phase"]
    )
    for phase, count in whole.phases.items():
        uploads.add_metric([phase], count)
    yield uploads
    phases = HistogramMetricFamily(
        "glance_shim_phase_seconds", "Seconds that requests spent in a phase.", labels=["phase"]
    )
    histograms = {phase.value: Histogram() for phase in Phase} | counters.phases
    for name, histogram in histograms.items():
        phases.add_metric([name], _buckets(histogram), histogram.total)
    yield phases
    yield _labelled(
        "glance_shim_traces", "Requests of recorded traces, with traces on.", "outcome", counters.traces
    )
    info = GaugeMetricFamily("glance_shim_build_info", "The running version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    yield _gauge("glance_shim_workers", "Worker processes that answer.", whole.workers)


def _spool(whole: Snapshot, limit: float, space: Space | None) -> Iterable[Metric]:
    yield _gauge("glance_shim_spool_bytes", "Bytes that bodies hold, in memory and on disk.", whole.held)
    yield _gauge("glance_shim_spool_limit_bytes", "Bytes that all bodies together may hold.", limit)
    yield _gauge("glance_shim_spool_files", "Bodies that have a file.", whole.files)
    if space is not None:
        yield _gauge("glance_shim_disk_free_bytes", "Free bytes on the spool's file system.", space.free)


def _upstreams(servers: Sequence[ServerHealth]) -> Iterable[Metric]:
    labels = ("upstream", "server")
    inflight = GaugeMetricFamily("glance_shim_upstream_inflight", "Requests in a server.", labels=labels)
    slots = GaugeMetricFamily(
        "glance_shim_upstream_slots", "Requests that a server takes at once.", labels=labels
    )
    up = GaugeMetricFamily("glance_shim_upstream_up", "Whether a server answers its probe.", labels=labels)
    for server in servers:
        values = [server.upstream, str(server.address)]
        inflight.add_metric(values, server.inflight)
        slots.add_metric(values, server.slots)
        up.add_metric(values, server.health.up)
    yield inflight
    yield slots
    yield up


def _standings(whole: Snapshot) -> Iterable[Metric]:
    # A number of workers and no verdict: each judges for itself by what it met (decision 17).
    labels = ("upstream", "server")
    states = GaugeMetricFamily(
        "glance_shim_upstream_state", "Workers that have a server in a state.", labels=(*labels, "state")
    )
    for standing, workers in whole.states.items():
        states.add_metric(standing, workers)
    yield states
    failures = CounterMetricFamily(
        "glance_shim_upstream_failures", "Attempts that a server failed.", labels=labels
    )
    for server, count in whole.counters.failures.items():
        failures.add_metric(server, count)
    yield failures
    rates = GaugeMetricFamily(
        "glance_shim_upstream_drain_rate_bytes",
        "Bytes per second in which a server takes large bodies.",
        labels=labels,
    )
    for server, rate in whole.drain_rates.items():
        rates.add_metric(server, rate)
    yield rates


def _queues(queues: Mapping[str, int]) -> Metric:
    length = GaugeMetricFamily(
        "glance_shim_queue_length", "Requests waiting for a slot of a server.", labels=["upstream"]
    )
    for upstream, waiting in queues.items():
        length.add_metric([upstream], waiting)
    return length


def _cloud(cloud: CloudView | None) -> Iterable[Metric]:
    if cloud is not None:
        yield _gauge("glance_shim_cloud_up", "Whether limits.shared answers all workers.", cloud.is_there)
        yield _gauge("glance_shim_cloud_uploads", "Uploads of all shims, as last told.", cloud.uploads)
        yield _gauge("glance_shim_cloud_members", "Workers of all shims, as last told.", cloud.members)


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
