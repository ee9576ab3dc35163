"""Traces of requests that go the whole way: a span for each, one for each of its phases, and what goes up."""

import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shim.app.notes import Notes
from shim.app.spans import SpanExport
from shim.app.tracing import Ended, TraceOptions
from shim.errors import UpstreamRefused
from tests.fakes.flow import get, put
from tests.fakes.loops import let_others_run, loop_time
from tests.fakes.stream import EOF, Asked, FakeStream, Pause, Whole, answer, split_request
from tests.support.series import series

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
IMAGE = "71c675ab-d94f-49cd-a114-e12490b328d9"
PARENT = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())
SECRETS = ((b"x-auth-token", b"se-cret"), (b"authorization", b"se-cret"), (b"user-agent", b"glanceclient"))
NO_CONTENT = answer(204, b"", b"X-Openstack-Request-Id: req-of-glance", framing=b"")
PHASES = ["receive", "queue", "connect", "send", "wait", "respond"]


class Traced:
    """A flow whose requests are traced into memory."""

    def __init__(self, flow, share=1.0):
        self.exporter = InMemorySpanExporter()
        self._export = SpanExport(TraceOptions(), self.exporter, clock=loop_time)
        flow.application._notes = Notes(share)
        flow.journal._trace_end = self._end

    def _end(self, record, ended):
        if record.trace is not None and record.trace.context.is_sampled:
            assert self._export([Ended(record, ended)])

    @property
    def spans(self):
        """The request's span, and those of its phases."""
        own, *phases = self.exporter.get_finished_spans()
        return own, phases


def fields_of(sent):
    """The trace's fields as an HTTP/1.1 server gets them."""
    lines = split_request(sent)[0].lower().split(b"\r\n")
    pairs = (line.partition(b": ") for line in lines)
    return {name: value for name, _, value in pairs if name.startswith(b"trace")}


def test_an_upload_in_a_clients_trace(run_flow, caplog):
    caplog.set_level(logging.INFO, "shim.access")

    async def scene(flow):
        slow = flow.start(*get())
        await let_others_run(30)
        traced = Traced(flow)
        state = (b"tracestate", b"vendor=1")
        client, scope = put(
            b"foo",
            2.0,
            b"bar",
            headers=(PARENT, state, *SECRETS),
            target=f"/v2/images/{IMAGE}/file?s=se-cret".encode(),
        )
        assert await flow.serve(client, scope)
        assert await slow
        own, phases = traced.spans
        # Who it is, whose, and what the upstream is told.
        assert (f"{own.context.trace_id:032x}", f"{own.parent.span_id:016x}") == (TRACE, CALLER)
        assert own.parent.is_remote
        assert fields_of(flow.sent[1]) == {
            b"traceparent": f"00-{TRACE}-{own.context.span_id:016x}-01".encode(),
            b"tracestate": b"vendor=1",
        }
        # When: one phase after the other, within the request's time.
        assert [span.name for span in phases] == PHASES
        assert all(span.parent == own.context for span in phases)
        moments = [own.start_time]
        for span in phases:
            assert span.context.trace_id == own.context.trace_id
            moments += [span.start_time, span.end_time]
        assert moments == sorted(moments)
        assert moments[-1] <= own.end_time
        assert phases[0].end_time - phases[0].start_time == pytest.approx(2e9, rel=1e-3)
        # What.
        assert (own.name, own.kind, own.status.status_code) == (
            "PUT image-upload",
            SpanKind.SERVER,
            StatusCode.UNSET,
        )
        line = next(line for line in caplog.records if line.fields["method"] == "PUT")
        assert own.attributes == {
            "http.request.method": "PUT",
            "url.path": f"/v2/images/{IMAGE}/file",
            "url.scheme": "http",
            "network.protocol.version": "1.1",
            "server.address": "192.0.2.1",
            "server.port": 9292,
            "client.address": "192.0.2.7",
            "user_agent.original": "glanceclient",
            "http.response.status_code": 204,
            "http.request.body.size": 6,
            "http.response.body.size": 0,
            "glance_shim.request_id": line.fields["request_id"],
            "glance_shim.upstream_request_id": "req-of-glance",
            "glance_shim.route": "image-upload",
            "glance_shim.upstream": "images",
            "glance_shim.project": "192.0.2.7",
            "glance_shim.image": IMAGE,
            "glance_shim.body_mode": "auto",
        }
        assert "se-cret" not in "".join(span.to_json() for span in (own, *phases))
        assert line.fields["trace_id"] == TRACE
        assert line.fields["span_id"] == f"{own.context.span_id:016x}"
        assert line.fields["upstream_request_id"] == "req-of-glance"

    holds_the_slot = FakeStream(Asked(), Pause(9), answer(), EOF)
    run_flow(scene, holds_the_slot, FakeStream(Whole(), Pause(1), NO_CONTENT, EOF), slots=1)


def test_a_malformed_context_begins_a_new_trace(run_flow):
    async def scene(flow):
        traced = Traced(flow)
        malformed = (b"traceparent", PARENT[1] + b"-more")
        assert await flow.serve(*get(headers=(malformed, (b"tracestate", b"vendor=1"))))
        own, _ = traced.spans
        assert own.parent is None
        assert f"{own.context.trace_id:032x}" != TRACE
        trace, span = own.context.trace_id, own.context.span_id
        assert fields_of(flow.sent[0]) == {b"traceparent": f"00-{trace:032x}-{span:016x}-03".encode()}

    run_flow(scene, FakeStream(answer(), EOF))


def test_what_the_client_does_not_record_is_passed_on_and_not_exported(run_flow):
    async def scene(flow):
        traced = Traced(flow)
        assert await flow.serve(*get(headers=((PARENT[0], PARENT[1][:-1] + b"0"),)))
        assert traced.exporter.get_finished_spans() == ()
        (value,) = fields_of(flow.sent[0]).values()
        assert value.startswith(f"00-{TRACE}-".encode())
        assert value.endswith(b"-00")
        assert CALLER.encode() not in value

    run_flow(scene, FakeStream(answer(), EOF))


@pytest.mark.parametrize("protocol", ["http", "uwsgi"])
def test_without_traces_a_context_passes_as_it_came(run_flow, caplog, protocol):
    caplog.set_level(logging.INFO, "shim.access")
    malformed = b"whatever the client writes"

    async def scene(flow):
        headers = ((b"connection", b"traceparent"), (b"traceparent", malformed), (b"tracestate", b"=,="))
        assert await flow.serve(*get(headers=headers))
        (sent,) = flow.sent
        assert malformed in sent
        assert b"=,=" in sent
        assert "trace_id" not in caplog.records[0].fields

    run_flow(scene, FakeStream(answer(), EOF), protocol=protocol)


def test_each_attempt_has_its_spans(run_flow):
    async def scene(flow):
        traced = Traced(flow)
        assert await flow.serve(*get())
        own, phases = traced.spans
        names = [span.name for span in phases]
        assert names.count("connect") == 2
        assert own.attributes["glance_shim.server"] == str(flow.network.attempts[-1][0])
        assert names[-2:] == ["send", "respond"]
        assert own.status.status_code is StatusCode.UNSET

    run_flow(scene, UpstreamRefused("refused"), FakeStream(answer(), EOF), servers=2)


@series(
    ("outcome", "status", "error", "is_ours"),
    [
        pytest.param(UpstreamRefused("away"), 502, "upstream_refused", True, id="no server"),
        pytest.param(FakeStream(answer(503), EOF), 503, "503", True, id="Glance's own"),
        pytest.param(FakeStream(answer(404), EOF), 404, None, False, id="not there"),
        pytest.param(
            FakeStream(answer(200, b"sh", b"Content-Length: 9", framing=b""), EOF),
            200,
            "upstream_closed",
            True,
            id="cut",
        ),
    ],
)
def test_what_is_an_error(run_flow, outcome, status, error, is_ours):
    async def scene(flow):
        traced = Traced(flow)
        await flow.serve(*get())
        own, _ = traced.spans
        assert own.attributes["http.response.status_code"] == status
        assert own.attributes.get("error.type") == error
        assert (own.status.status_code is StatusCode.ERROR) is is_ours

    run_flow(scene, outcome)


def test_a_method_of_the_clients_own_names_no_span(run_flow):
    async def scene(flow):
        traced = Traced(flow)
        client, scope = get()
        await flow.serve(client, {**scope, "method": "BREW"})
        own, _ = traced.spans
        assert own.name.startswith("_OTHER")
        assert own.attributes["http.request.method"] == "_OTHER"
        assert own.attributes["http.request.method_original"] == "BREW"

    run_flow(scene, FakeStream(answer(), EOF))
