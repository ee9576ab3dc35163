"""What onlookers see of several workers: traces in a collector, access lines, and metrics that add up."""

import contextlib
import re
import threading

import pytest

from tests.support.client import chunked, put_chunked
from tests.support.collector import Collector, attributes_of
from tests.support.replies import held, normal
from tests.support.wire import eventually

KIB = 1 << 10
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
COUNT = 12
PHASES = {"receive", "queue", "connect", "send", "wait", "respond"}
LINE = re.compile(
    r'127\.0\.0\.1 - - \[[^]]+\] "PUT /traced/\d+\?q=se-cret HTTP/1\.1" 200 2 "-" "a \\"quoted\\" agent"'
)


def one_slot(stub, _folder, _others):
    """One request at once for each worker, so that others wait in line."""
    return {"upstreams.images.servers": [stub.url], "upstreams.images.max_inflight": 1}, ()


@pytest.mark.more
@pytest.mark.parametrize("case", ["http-tcp-fast"])
def test_traces_lines_and_metrics_of_several_workers(rig_with):
    with Collector() as collector, contextlib.ExitStack() as stack:
        settings = {"server.workers": 2, "log.access": "combined"}
        settings |= {"traces.enabled": True, "traces.endpoint": collector.url}
        rig = rig_with(settings, plan=one_slot, fresh=True)
        gate = threading.Event()
        rig.stub.answer(*[held(gate, normal()) for _ in range(COUNT)])
        fields = [
            f"traceparent: 00-{TRACE}-{CALLER}-01",
            'User-Agent: a "quoted" agent',
            "X-Auth-Token: se-cret",
        ]
        clients = [stack.enter_context(rig.client()) for _ in range(COUNT)]
        for number, client in enumerate(clients):
            client.send(put_chunked(f"/traced/{number}?q=se-cret", chunked(bytes(KIB)), *fields))
        waiting = eventually(
            lambda: (
                found
                if (found := rig.shim.metric("queue_length"))
                and found + rig.shim.metric("upstream_inflight") == COUNT
                else None
            ),
            "all but those in the server wait in line",
        )
        gate.set()
        for client in clients:
            assert client.answer().status == 200
        # The sum over both workers, whichever is asked.
        eventually(lambda: rig.shim.metric("traces_total", outcome="exported") == COUNT, "all are exported")
        assert rig.shim.metric("requests_total", status="200") == COUNT
        assert rig.shim.metric("traces_total") == COUNT
        assert rig.shim.metric("body_bytes_total", mode="spool") == COUNT * KIB
        times = {phase: rig.shim.metric("phase_seconds_count", phase=phase) for phase in PHASES}
        assert times["receive"] == times["send"] == times["respond"] == COUNT
        assert times["queue"] == waiting
        assert times["wait"] >= COUNT - waiting
        assert times["connect"] >= 1
        assert_spans(rig, [*collector.spans()])
        lines = [line for line in rig.shim.log_text().splitlines() if LINE.fullmatch(line)]
        assert len(lines) == COUNT


def assert_spans(rig, spans):
    """A span for each request, in its client's trace, under which its server was asked; no secret in any."""
    own = {span.span_id: attributes_of(span) for _, span in spans if span.kind == span.SPAN_KIND_SERVER}
    assert {told["url.path"] for told in own.values()} == {f"/traced/{number}" for number in range(COUNT)}
    assert {span.trace_id.hex() for _, span in spans} == {TRACE}
    assert {span.name for _, span in spans} - {"PUT default"} == PHASES
    assert {span.parent_span_id for _, span in spans if span.span_id not in own} == set(own)
    assert {sender["process.pid"] for sender, _ in spans} <= set(rig.shim.family())
    assert all(b"se-cret" not in span.SerializeToString() for _, span in spans)
    asked = [seen.joined("traceparent") for seen in rig.stub.requests]
    assert sorted(asked) == sorted(f"00-{TRACE}-{span_id.hex()}-01" for span_id in own)
