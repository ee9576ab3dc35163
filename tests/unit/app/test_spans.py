"""Spans on their way to a collector: OTLP as it decodes it, under OpenTelemetry's own variables."""

import json
import logging

import pytest

from shim.app.build import build
from shim.app.groups import UpstreamSpec
from shim.app.options import ProxyOptions
from shim.app.spans import SpanExport
from shim.app.tracing import Ended, TraceOptions
from shim.observe.journal import Record
from shim.observe.trace import SAMPLED, Trace, TraceContext
from shim.upstream.address import parse_upstream
from shim.upstream.message import UpstreamTimeouts
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.loops import run
from tests.support.collector import Collector, attributes_of


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """OpenTelemetry's variables as a test sets them, and proxies that nobody may follow."""
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "HEADERS", "TRACES_HEADERS", "TRACES_TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    yield
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


@pytest.fixture
def collector():
    with Collector() as one:
        yield one


def ended():
    record = Record("req-1", "GET", "/v2/images", "192.0.2.1", 10.0, route="api", status=200)
    record.trace = Trace(TraceContext("ab" * 16, "cd" * 8, SAMPLED, b"vendor=1"), "ef" * 8)
    record.trace.note("wait", 10.5, 11.0)
    return Ended(record, 12.0)


def test_what_a_collector_gets(collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=se-cret")
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    export = SpanExport(TraceOptions(collector.url), clock=lambda: 100.0)
    assert export([ended()])
    export.end()
    assert (collector.paths, collector.fields[0]["x-key"]) == (["/v1/traces"], "se-cret")
    (sender, own), (_, phase) = collector.spans()
    assert (sender["service.name"], own.name, phase.name) == ("glance-shim", "GET api", "wait")
    assert (own.trace_id.hex(), own.span_id.hex(), own.parent_span_id.hex()) == (
        "ab" * 16,
        "cd" * 8,
        "ef" * 8,
    )
    assert own.trace_state == "vendor=1"
    assert (phase.trace_id, phase.parent_span_id) == (own.trace_id, own.span_id)
    assert own.kind == own.SPAN_KIND_SERVER
    assert attributes_of(own)["http.response.status_code"] == 200
    # It was 100 by the records' clock when the wall clock was read.
    began = 1_699_999_910_000_000_000
    assert [
        (span.start_time_unix_nano - began, span.end_time_unix_nano - began) for span in (own, phase)
    ] == [
        (0, 2_000_000_000),
        (500_000_000, 1_000_000_000),
    ]


def test_what_a_client_writes_makes_no_line(collector, caplog):
    export = SpanExport(TraceOptions(collector.url))
    one = ended()
    # Well-formed by level 2 of W3C's specification, which the library does not know yet.
    one.record.trace.context = one.record.trace.context._replace(state=b"0a=1")
    assert export([one])
    export.end()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("endpoint", "variables", "path"),
    [
        ("{url}/", {}, "/v1/traces"),
        ("{url}/of/mine", {}, "/of/mine"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "{url}"}, "/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{url}/mine"}, "/mine"),
        ("{url}", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, "/v1/traces"),
    ],
)
def test_where_they_go(collector, monkeypatch, endpoint, variables, path):
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(url=collector.url))
    export = SpanExport(TraceOptions(endpoint and endpoint.format(url=collector.url)))
    assert export([ended()])
    export.end()
    assert collector.paths == [path]


@pytest.mark.parametrize(
    ("option", "variables", "name"),
    [
        (None, {}, "glance-shim"),
        (None, {"OTEL_SERVICE_NAME": "images"}, "images"),
        (None, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=images,deployment.environment.name=lab"}, "images"),
        ("front", {"OTEL_SERVICE_NAME": "images"}, "front"),
    ],
)
def test_what_the_shim_is_called(collector, monkeypatch, option, variables, name):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    export = SpanExport(TraceOptions(collector.url, service_name=option))
    assert export([ended()])
    export.end()
    sender, _ = next(collector.spans())
    assert sender["service.name"] == name
    assert ("deployment.environment.name" in sender) is ("OTEL_RESOURCE_ATTRIBUTES" in variables)


def test_a_collector_that_refuses_is_told_of_once(collector, caplog):
    collector.status = 400
    export = SpanExport(TraceOptions(collector.url))
    for _ in range(3):
        assert not export([ended()])
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    collector.status = 200
    assert export([ended()])
    collector.status = 400
    assert not export([ended()])
    assert len(caplog.records) == 2
    export.end()


def test_the_end_of_a_worker_sends_what_is_left(collector, tmp_path):
    upstream = UpstreamSpec("images", (parse_upstream(f"uwsgi+unix://{tmp_path}/none.sock"),))
    parts = build(
        ProxyOptions(
            tmp_path,
            [upstream],
            timeouts=UpstreamTimeouts(connect_retry=0),
            access_log=False,
            traces=TraceOptions(collector.url),
        )
    )
    client = FakeClient()
    run(parts.application(scope_of("GET", b"/v2/images"), client.receive, client.send))
    parts.close()
    own = next(span for _, span in collector.spans() if span.kind == span.SPAN_KIND_SERVER)
    assert client.status == 502
    assert own.status.code == own.status.STATUS_CODE_ERROR
    assert attributes_of(own)["glance_shim.request_id"] == json.loads(client.body)["request_id"]
    assert parts.colleagues.own().counters.traces == {"exported": 1, "failed": 0, "dropped": 0}
