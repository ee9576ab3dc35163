"""The metrics as Prometheus reads them: names and labels as promised, numbers of the parts, few labels."""

import math
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shim import __version__
from shim.admission.drain import Drain
from shim.app import metrics
from shim.app.health import ServerHealth
from shim.app.looking import snapshot_maker
from shim.observe.cloud import CloudView
from shim.observe.counters import PHASE_BUCKETS, Counters
from shim.observe.journal import Journal, Phase
from shim.spool.budget import Budget
from shim.spool.space import Space
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.health import Health, Sign
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import run

PROMISED = {
    # name: its labels
    "glance_shim_requests_total": {"route", "method", "status"},
    "glance_shim_refusals_total": {"code"},
    "glance_shim_uploads": {"phase"},
    "glance_shim_spool_bytes": set(),
    "glance_shim_spool_limit_bytes": set(),
    "glance_shim_spool_files": set(),
    "glance_shim_disk_free_bytes": set(),
    "glance_shim_body_bytes_total": {"mode"},
    "glance_shim_phase_seconds_bucket": {"phase", "le"},
    "glance_shim_phase_seconds_sum": {"phase"},
    "glance_shim_phase_seconds_count": {"phase"},
    "glance_shim_traces_total": {"outcome"},
    "glance_shim_upstream_inflight": {"upstream", "server"},
    "glance_shim_upstream_slots": {"upstream", "server"},
    "glance_shim_upstream_up": {"upstream", "server"},
    "glance_shim_queue_length": {"upstream"},
    "glance_shim_build_info": {"version"},
    "glance_shim_workers": set(),
    "glance_shim_ready": set(),
}
SPACE = Space(total=1000, free=600)
ODD_SERVER = parse_upstream('uwsgi+unix:///run/"a\\b".sock')

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def render_metrics(
    journal: Journal,
    store: Store,
    space: Space | None,
    servers: list[ServerHealth],
    queues: dict[str, int] | None = None,
) -> bytes:
    """The metrics of a shim of one worker."""
    whole = replace(snapshot_maker(Drain(), store, journal, {})(), waiting=queues or {})
    return metrics.render_metrics(whole, store.limit, space, servers, ready=True)


def store(limit: float = 4096) -> Store:
    return Store(FakeDisk(), Budget(limit), SpoolOptions(memory_limit=8))


def told_journal() -> Journal:
    """A journal that has something to say of everything."""
    journal = Journal(Counters(), clock=lambda: 0.0, access=False)
    with journal.record(id="req-1", method="PUT", path="/", client="a") as record:
        record.route, record.mode, record.status, record.received = "image-upload", "auto", 413, 11
        record.code = "body_too_large"
    for phase in Phase:
        journal.counters.add_phases({phase: 0.25})
    journal.counters.traces["exported"] = 1
    return journal


def servers(*, up: bool = True) -> list[ServerHealth]:
    return [ServerHealth("up", ODD_SERVER, 3, Health(Sign.ANSWERS if up else Sign.DOWN, "told"))]


def read(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_the_names_and_labels_of_spec():
    samples = read(render_metrics(told_journal(), store(), SPACE, servers(), {"up": 0}))
    found: dict[str, set[str]] = {}
    for name, labels in samples:
        found.setdefault(name, {label for label, _ in labels})
        assert found[name] == {label for label, _ in labels}
    assert found == PROMISED


def test_every_family_is_described():
    text = render_metrics(told_journal(), store(), SPACE, servers()).decode()
    types = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert all(family.documentation for family in text_string_to_metric_families(text))
    assert types["glance_shim_requests"] == types["glance_shim_refusals"] == "counter"
    assert types["glance_shim_body_bytes"] == "counter"
    assert types["glance_shim_phase_seconds"] == "histogram"
    assert types["glance_shim_uploads"] == types["glance_shim_spool_bytes"] == "gauge"


def test_a_shim_that_has_done_nothing():
    samples = read(render_metrics(Journal(Counters()), store(), SPACE, []))
    phases = {dict(labels)["phase"] for name, labels in samples if name == "glance_shim_uploads"}
    assert phases == {"receiving", "waiting", "forwarding"}
    for phase in ("receive", "queue", "connect", "send", "wait", "respond"):
        assert value(samples, "glance_shim_phase_seconds_count", phase=phase) == 0
    assert value(samples, "glance_shim_spool_bytes") == 0
    assert value(samples, "glance_shim_build_info", version=__version__) == 1


def test_the_numbers_of_the_journal():
    samples = read(render_metrics(told_journal(), store(), SPACE, []))
    assert value(samples, "glance_shim_requests_total", route="image-upload", method="PUT", status="413") == 1
    assert value(samples, "glance_shim_refusals_total", code="body_too_large") == 1
    assert value(samples, "glance_shim_body_bytes_total", mode="auto") == 11


def test_uploads_under_way():
    journal = Journal(Counters(), access=False)
    with journal.record(id="req-1", method="PUT", path="/", client="a") as record:
        record.has_body = True
        journal.enter(record, Phase.RECEIVE)
        samples = read(render_metrics(journal, store(), SPACE, []))
    assert value(samples, "glance_shim_uploads", phase="receiving") == 1
    assert value(samples, "glance_shim_uploads", phase="waiting") == 0


def test_what_the_spool_holds_not_what_it_promised():
    async def story() -> bytes:
        spool = store()
        async with spool.body(1000) as small, spool.body(2000) as large:
            await small.append(b"12345678")
            await large.append(b"123456789")
            return render_metrics(Journal(Counters()), spool, SPACE, [])

    samples = read(run(story()))
    assert value(samples, "glance_shim_spool_bytes") == 17
    assert value(samples, "glance_shim_spool_files") == 1
    assert value(samples, "glance_shim_spool_limit_bytes") == 4096
    assert value(samples, "glance_shim_disk_free_bytes") == 600


def test_no_limit_is_infinity():
    samples = read(render_metrics(Journal(Counters()), store(UNLIMITED), SPACE, []))
    assert value(samples, "glance_shim_spool_limit_bytes") == math.inf


@pytest.mark.parametrize("up", [True, False])
def test_servers_whatever_they_are_called(up):
    samples = read(render_metrics(Journal(Counters()), store(), SPACE, servers(up=up)))
    labels = {"upstream": "up", "server": str(ODD_SERVER)}
    assert value(samples, "glance_shim_upstream_up", **labels) == up
    assert value(samples, "glance_shim_upstream_inflight", **labels) == 3


@pytest.mark.parametrize("slots", [8, UNLIMITED])
def test_slots_and_the_line_for_them(slots):
    told = [replace(server, slots=slots) for server in servers()]
    samples = read(render_metrics(Journal(Counters()), store(), SPACE, told, {"up": 17, "other": 0}))
    assert value(samples, "glance_shim_upstream_slots", upstream="up", server=str(ODD_SERVER)) == slots
    assert value(samples, "glance_shim_queue_length", upstream="up") == 17
    assert value(samples, "glance_shim_queue_length", upstream="other") == 0


def test_how_servers_stand():
    counters = Counters()
    counters.add_failure("up", "http://one:80")
    whole = replace(
        snapshot_maker(Drain(), store(), Journal(counters), {})(),
        states={("up", "http://one:80", "down"): 2},
        drain_rates={("up", "http://one:80"): 5e6},
    )
    samples = read(metrics.render_metrics(whole, UNLIMITED, SPACE, [], ready=True))
    one = {"upstream": "up", "server": "http://one:80"}
    assert value(samples, "glance_shim_upstream_state", **one, state="down") == 2
    assert value(samples, "glance_shim_upstream_failures_total", **one) == 1
    assert value(samples, "glance_shim_upstream_drain_rate_bytes", **one) == 5e6


def test_histograms_are_cumulative():
    journal = Journal(Counters())
    for seconds in (0.0005, 0.001, 0.25, 0.3, 5000.0):
        journal.counters.add_phases({"send": seconds})
    samples = read(render_metrics(journal, store(), SPACE, []))
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in samples.items()
        if name == "glance_shim_phase_seconds_bucket" and ("phase", "send") in labels
    }
    assert [float(bound) for bound in buckets] == [*PHASE_BUCKETS, math.inf]
    assert [*buckets.values()] == [2, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 5]
    assert value(samples, "glance_shim_phase_seconds_count", phase="send") == 5
    assert value(samples, "glance_shim_phase_seconds_sum", phase="send") == pytest.approx(5000.5515)


def test_a_client_cannot_make_up_labels():
    journal = Journal(Counters(), access=False)
    for number in range(100):
        with journal.record(id="req-1", method=f"X{number}", path=f"/{number}", client=str(number)) as record:
            record.route, record.status = "default", 405
    samples = read(render_metrics(journal, store(), SPACE, []))
    requests = {labels: count for (name, labels), count in samples.items() if name.endswith("requests_total")}
    labels = {"route": "default", "method": "other", "status": "405"}
    assert requests == {frozenset(labels.items()): 100}


def test_a_cloud():
    whole = replace(
        snapshot_maker(Drain(), store(), Journal(Counters()), {})(), cloud=CloudView(True, "", 7, 3)
    )
    samples = read(metrics.render_metrics(whole, UNLIMITED, SPACE, [], ready=True))
    told = [value(samples, f"glance_shim_cloud_{name}") for name in ("up", "uploads", "members")]
    assert told == [1, 7, 3]
