"""Limits (cases 10 and 11, and every 429 and 503).

What is refused is refused at the earliest moment, in a way that a client which is still sending can
read, and without harm to anybody else.
"""

import threading

import pytest

from tests.support import replies
from tests.support.client import chunk, chunked, get, head, put, put_chunked
from tests.support.rig import EACH_ONCE, TIGHT, only
from tests.support.wire import eventually

CASES = EACH_ONCE
KIB, MIB = 1 << 10, 1 << 20

CODED = head("PUT", "/x", "Transfer-Encoding: chunked")


# -- one body -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4 * MIB + 1, 1 << 40, 10**15 - 1])
def test_declared_too_large_is_refused_at_once(rig_with, length):
    rig = rig_with(TIGHT)
    rig.assert_refused(head("PUT", "/x", f"Content-Length: {length}"), "body_too_large", hidden=False)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_largest_body_passes(rig_with, framing):
    rig = rig_with(TIGHT)
    body = bytes(4 * MIB)
    request = put("/x", body) if framing == "length" else put_chunked("/x", chunked(body, 65_521))
    assert rig.ask(request).status == 200
    assert rig.stub.only().received == 4 * MIB


@pytest.mark.parametrize("size", [1, 65_536, 5 * MIB])
def test_chunked_too_large_is_refused_at_the_crossing(rig_with, size):
    """The client sends on, three times what is allowed, and only then reads."""
    rig = rig_with(TIGHT)
    with rig.client() as client:
        if size == 1:
            client.send(CODED, chunk(bytes(4 * MIB)), chunk(b"x"))
        else:
            client.send(CODED, *[chunk(bytes(size))] * (12 * MIB // size), b"0\r\n\r\n", get("/hidden"))
        rig.assert_problem(client.answer(), "body_too_large")
        assert client.wire.rest() == (b"", "fin")
        assert rig.shim.spool_files() == []
        client.send(*[chunk(bytes(size))] * 10)  # still taken, though nobody wants it
    rig.assert_untouched()


def test_crossing_is_noticed_before_the_chunk_has_come(rig_with):
    rig_with(TIGHT).assert_refused(
        CODED + b"%x\r\n" % (4 * MIB + 1) + bytes(4 * MIB + 1), "body_too_large", hidden=False
    )


@only("http-tcp")
def test_lingering_ends(rig_with):
    """A client that never stops sending after its refusal is cut off, after timeouts.linger."""
    rig = rig_with({**TIGHT, "timeouts.linger": "300ms"})
    with rig.client() as client:
        client.send(head("PUT", "/x", f"Content-Length: {1 << 40}"))
        rig.assert_problem(client.answer(), "body_too_large")
        assert client.ending() == "fin"
        eventually(lambda: not client.offer(bytes(65_536)), "the shim stops reading")


# -- all bodies together ------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_two_bodies_over_the_total(rig_with, framing):
    rig = rig_with(TIGHT)
    body = bytes(range(256)) * (4 * MIB // 256)
    whole = put("/first", body) if framing == "length" else put_chunked("/first", chunked(body, 65_536))
    begun = len(whole) - 1000
    with rig.client() as first:
        first.send(whole[:begun])
        eventually(lambda: rig.shim.metric("spool_bytes") > 4 * MIB - 70_000, "the first body is there")
        assert rig.shim.metric("spool_files") == len(rig.shim.spool_files()) == 1
        with rig.client() as second:
            second.offer(
                put("/second", body) if framing == "length" else put_chunked("/second", chunked(body, 65_536))
            )
            rig.assert_problem(second.answer(), "spool_full")
            assert second.wire.rest() == (b"", "fin")
        assert rig.stub.touched == 0
        first.send(whole[begun:])
        assert first.answer().status == 200
    seen = rig.stub.only()
    assert (seen.target, seen.length, seen.received) == ("/first", str(len(body)), len(body))
    rig.shim.await_rest()
    rig.stub.forget()
    assert rig.ask(put_chunked("/third", chunked(body, MIB))).status == 200
    assert rig.stub.only().received == len(body)


def test_small_bodies_pass_beside_a_large_one(rig_with):
    rig = rig_with(TIGHT)
    with rig.client() as first:
        first.send(CODED, chunk(bytes(3 * MIB)))
        eventually(lambda: rig.shim.metric("spool_bytes") == 3 * MIB, "the first body is there")
        assert rig.ask(put_chunked("/second", chunked(bytes(MIB)))).status == 200
        first.send(b"0\r\n\r\n")
        assert first.answer().status == 200
    assert sorted(seen.received for seen in rig.stub.requests) == [MIB, 3 * MIB]


def test_limit_is_in_the_metrics(rig_with):
    assert rig_with(TIGHT).shim.metric("spool_limit_bytes") == 6 * MIB


@only("http-tcp")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(head("PUT", "/x", f"Content-Length: {3 * MIB}", "Expect: 100-continue"), id="declared"),
        pytest.param(put_chunked("/x", chunked(bytes(3 * MIB), 65_536)), id="chunked"),
    ],
)
def test_body_that_could_never_fit(rig_with, request_):
    rig_with({"spool.max_total": "2MiB"}).assert_refused(request_, "body_too_large", hidden=False)


# -- the disk -----------------------------------------------------------------------------------------------

RESERVE = {"spool.min_free": "99%", "spool.memory_limit": "16KiB"}


@only("http-tcp")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(head("PUT", "/x", f"Content-Length: {MIB}", "Expect: 100-continue"), id="declared"),
        pytest.param(put_chunked("/x", chunked(bytes(MIB), 65_536)), id="chunked"),
    ],
)
def test_free_space_below_the_reserve(rig_with, request_):
    rig = rig_with(RESERVE, ready=503)
    rig.assert_refused(request_, "disk_full", hidden=False)
    assert rig.shim.spool_files() == []
    # Of the first pieces as many as stay in memory, where they come in such.
    assert rig.shim.metric("body_bytes_total", mode="spool") <= 16 * KIB


@only("http-tcp")
def test_without_space_everything_else_goes_on(rig_with):
    rig = rig_with(RESERVE, ready=503)
    assert rig.ask(get("/x")).body == b"GET /x"
    assert rig.shim.metric("disk_free_bytes") > 0
    assert rig.shim.admin("/healthz").status == 200


# -- numbers of requests ------------------------------------------------------------------------------------


def one_slot(stub, folder, others):
    return {"upstreams.main.servers": [stub.url], "upstreams.main.max_inflight": 1}, [
        {"path": "/**", "upstream": "main"}
    ]


@only("http-tcp")
def test_too_many_uploads(rig_with):
    rig = rig_with({"limits.max_uploads": 1})
    with rig.client() as first:
        first.send(CODED, chunk(bytes(100 * KIB)))
        # It counts from the byte on that makes it an upload, not from its beginning.
        eventually(lambda: [upload["bytes"] for upload in rig.shim.uploads()] == [100 * KIB], "it is counted")
        with rig.client() as second:
            second.send(head("PUT", "/y", f"Content-Length: {MIB}", "Expect: 100-continue"))
            answer = second.answer()
            rig.assert_problem(answer, "uploads_full")
            assert answer.interim == ()
        with rig.client() as third:
            third.offer(put_chunked("/y", chunked(bytes(MIB))))
            rig.assert_problem(third.answer(), "uploads_full")
        assert rig.ask(put_chunked("/small", chunked(bytes(64 * KIB)))).status == 200
        assert rig.ask(get("/x")).status == 200
        first.send(b"0\r\n\r\n")
        assert first.answer().status == 200
    rig.shim.await_rest()
    assert rig.ask(put_chunked("/y", chunked(bytes(MIB)))).status == 200


@only("http-tcp")
def test_too_many_uploads_of_one_project(rig_with):
    rig = rig_with({"limits.max_uploads_per_project": 1})
    with rig.client() as first:
        first.send(CODED, chunk(bytes(100 * KIB)))
        eventually(lambda: rig.shim.metric("spool_bytes") == 100 * KIB, "the first upload is counted")
        with rig.client() as second:
            second.send(
                head("PUT", "/y", f"Content-Length: {MIB}", "X-Project-Id: other", "X-Forwarded-For: 6.6.6.6")
            )
            answer = second.answer()
            rig.assert_problem(answer, "project_limit")
        first.send(b"0\r\n\r\n")
        assert first.answer().status == 200
    rig.shim.await_rest()
    assert rig.ask(put_chunked("/y", chunked(bytes(MIB)))).status == 200


@only("http-tcp")
def test_queue_is_bounded(rig_with, gate):
    """One in the upstream, one in the queue: of two more exactly one is refused, and at once."""
    rig = rig_with({"limits.queue": 1}, plan=one_slot)
    rig.stub.on("/first", replies.held(gate, replies.normal(200, b"first")))
    with rig.client() as first, rig.client() as second, rig.client() as third:
        first.send(get("/first"))
        rig.stub.wait_requests()
        second.send(get("/second"))
        third.send(get("/third"))
        refused = eventually(
            lambda: [client for client in (second, third) if not client.silent()], "one of two is refused"
        )
        rig.assert_problem(refused[0].answer(), "queue_full")
        assert len(rig.stub.requests) == 1
        gate.set()
        assert first.answer().body == b"first"
        queued = third if refused[0] is second else second
        assert queued.answer().status == 200
    assert len(rig.stub.requests) == 2


@only("http-tcp")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(get("/x"), id="GET"),
        pytest.param(put_chunked("/x", chunked(bytes(MIB))), id="PUT"),
    ],
)
def test_waiting_for_a_slot_ends(rig_with, gate, request_):
    rig = rig_with({"timeouts.queue": "300ms", "timeouts.queue_body": "300ms"}, plan=one_slot)
    rig.stub.on("/first", replies.held(gate, replies.normal(200, b"first")))
    with rig.client() as first:
        first.send(get("/first"))
        rig.stub.wait_requests()
        rig.assert_problem(rig.ask(request_), "queue_timeout")
        assert len(rig.stub.requests) == 1
        gate.set()
        assert first.answer().body == b"first"


@only("http-tcp", "uwsgi-unix")
def test_inflight_is_never_more_than_allowed(rig_with):
    rig = rig_with(plan=one_slot)
    inside, most = [0], [0]
    lock = threading.Lock()

    def counted(exchange):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        exchange.read_body()
        with lock:
            inside[0] -= 1
        exchange.send(replies.answer_head(200, "Content-Length: 0"))

    rig.stub.answer(*[counted] * 12)
    clients = [rig.client() for _ in range(12)]
    try:
        for number, client in enumerate(clients):
            client.send(put_chunked(f"/{number}", chunked(bytes(100 * KIB))))
        assert [client.answer().status for client in clients] == [200] * 12
    finally:
        for client in clients:
            client.close()
    assert most == [1]


# -- connections and slots come back ---------------------------------------------------------------------


def test_many_refusals_hold_nothing(rig_with):
    rig = rig_with(TIGHT)
    clients = [rig.client() for _ in range(20)]
    try:
        for client in clients:
            client.offer(CODED, *[chunk(bytes(MIB))] * 2)
        for client in clients:
            client.reset()
    finally:
        for client in clients:
            client.close()
    rig.shim.await_rest()
    assert rig.ask(put("/after", bytes(4 * MIB))).status == 200
