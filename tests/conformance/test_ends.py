"""How requests end before their time (cases 8, 9, 12): clients leave, stall or crawl; the shim itself ends.

The upstream never sees a request that did not end properly, and nothing is held afterwards.
"""

import contextlib
import signal
import time

import pytest

from tests.support import replies
from tests.support.client import chunk, chunked, get, head, put, put_chunked
from tests.support.rig import CRAWL, SHORT, Rig, each_once, only
from tests.support.series import series
from tests.support.wire import eventually

KIB, MIB = 1 << 10, 1 << 20
# They wait, most of them.
FAST = "http-tcp-plain"

TOTAL = {"timeouts.body_total": "500ms"}

CODED = head("PUT", "/x", "Transfer-Encoding: chunked")
DECLARED = head("PUT", "/x", "Content-Length: 1000000")
DATA = chunk(bytes(300 * KIB))

CUT = [
    pytest.param(CODED, id="after the head"),
    pytest.param(CODED + b"6", id="in the size"),
    pytest.param(CODED + b"6\r\n", id="after the size"),
    pytest.param(CODED + b"6\r\nfoo", id="in the data"),
    pytest.param(CODED + b"6\r\nfoobar", id="after the data"),
    pytest.param(CODED + chunk(b"foobar"), id="after a chunk"),
    pytest.param(CODED + chunk(b"foobar") + b"0\r\n", id="before the last line"),
    pytest.param(CODED + chunk(b"foobar") + b"0\r\n\r", id="before the last LF"),
    pytest.param(CODED + chunk(b"foobar") + b"0\r\nX-Sum: 1\r\n", id="in the trailers"),
    pytest.param(CODED + DATA, id="on disk"),
    pytest.param(DECLARED, id="length, after the head"),
    pytest.param(DECLARED + bytes(10), id="length, in memory"),
    pytest.param(DECLARED + bytes(999_999), id="length, one byte short"),
    pytest.param(CODED[:-2], id="in the head"),
    pytest.param(CODED[:10], id="in the request line"),
]


# -- the client leaves --------------------------------------------------------------------------------


@each_once
@series("how", ["close", "reset", "finish"])
@series("sent", CUT)
def test_client_gone_before_the_end_of_its_request(rig: Rig, sent, how):
    with rig.client() as client:
        client.send(sent)
        getattr(client, how)()
        if how == "finish":
            assert client.wire.rest()[0][:13] in (b"", b"HTTP/1.1 400 ")
    rig.shim.await_rest()
    rig.assert_untouched()


def test_client_gone_from_a_spooled_body(rig: Rig):
    with rig.client() as client:
        client.send(CODED, DATA)
        eventually(rig.shim.spool_files, "a spool file")
        eventually(lambda: rig.shim.metric("spool_bytes") == 300 * KIB, "the bytes are counted")
        assert rig.shim.metric("uploads", phase="receiving") == 1
        assert rig.shim.metric("uploads") == 1
        client.reset()
    rig.shim.await_rest()
    rig.assert_untouched()


@only("http-tcp", "uwsgi-unix")
@series("how", ["close", "reset"])
@series(
    "request_",
    [
        pytest.param(put_chunked("/x", chunked(b"foobar")), id="chunked"),
        pytest.param(put_chunked("/x", chunked(bytes(MIB))), id="chunked, on disk"),
        pytest.param(put("/x", b"foobar"), id="length"),
        pytest.param(get("/x"), id="GET"),
    ],
)
def test_client_gone_after_its_request_cancels_the_call(rig: Rig, request_, how):
    rig.stub.answer(replies.silence())
    with rig.client() as client:
        client.send(request_)
        seen = rig.stub.wait_requests()[0]
        getattr(client, how)()
        eventually(lambda: seen.ended, "the upstream call ends")
        assert seen.ended in ("fin", "reset")
    rig.shim.await_rest()
    assert len(rig.stub.requests) == 1, rig.stub.story()


@series("how", ["close", "reset"])
def test_client_gone_during_the_answer_cancels_the_call(rig: Rig, how):
    begun = replies.answer_head(200, "Content-Length: 1000000") + b"begun"
    rig.stub.answer(replies.raw(begun, end="wait"))
    with rig.client() as client:
        client.send(get("/x"))
        assert client.head()[0] == 200
        assert client.wire.exactly(5) == b"begun"
        getattr(client, how)()
        seen = rig.stub.wait_requests()[0]
        eventually(lambda: seen.ended, "the upstream call ends")
        assert seen.ended in ("fin", "reset")


@only("http-tcp")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_place_is_free_again_when_an_uploading_client_leaves(rig_with, how):
    rig = rig_with({"limits.max_uploads": 1})
    with rig.client() as client:
        client.send(CODED, DATA)
        # Counted from 64 KiB on.
        eventually(lambda: rig.shim.metric("spool_bytes") > 64 * KIB, "the upload is counted")
        rig.assert_problem(rig.ask(head("PUT", "/y", "Content-Length: 100000")), "uploads_full")
        getattr(client, how)()
    rig.shim.await_rest()
    assert rig.stub.touched == 0
    assert rig.ask(put_chunked("/y", chunked(bytes(MIB)))).status == 200


def one_slot(stub, folder, others):
    return {"upstreams.main.servers": [stub.url], "upstreams.main.max_inflight": 1}, [
        {"path": "/**", "upstream": "main"}
    ]


@only("http-tcp", "uwsgi-unix")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_slot_is_free_again_when_a_waiting_client_leaves(rig_with, how):
    rig = rig_with(plan=one_slot)
    rig.stub.answer(replies.silence())
    with rig.client() as client:
        client.send(put_chunked("/x", chunked(bytes(MIB))))
        rig.stub.wait_requests()
        getattr(client, how)()
    assert rig.ask(put_chunked("/y", chunked(bytes(MIB)))).status == 200
    assert [seen.target for seen in rig.stub.requests] == ["/x", "/y"]


# -- the client is slow -------------------------------------------------------------------------------


@only("http-tcp", "uwsgi-unix")
def test_stall_in_the_body(rig_with):
    rig = rig_with(SHORT)
    stalls = [
        CODED,
        CODED + b"6",
        CODED + b"6\r\nfoo",
        CODED + chunk(b"foobar") + b"0\r\n",
        CODED + DATA,
        DECLARED,
        DECLARED + bytes(10),
        DECLARED + bytes(300 * KIB),
    ]
    for answer in rig.ask_together(stalls):
        rig.assert_problem(answer, "body_idle_timeout")
    rig.assert_untouched()


@only("http-tcp", "uwsgi-unix")
def test_head_that_stops(rig_with):
    rig = rig_with(SHORT)
    for answer in rig.ask_together([b"G", b"GET /x HTTP/1.1\r\n", CODED[:-1]]):
        rig.assert_problem(answer, "header_timeout")
    rig.assert_untouched()


def assert_drips_end(rig: Rig, drips: list[tuple[bytes, bytes]], code: str) -> None:
    """Clients that begin and then send a piece every 20 ms all get the refusal, though never idle."""
    with contextlib.ExitStack() as stack:
        going = {}
        for start, piece in drips:
            client = stack.enter_context(rig.client())
            client.send(start)
            going[client] = piece
        for _ in range(500):
            for client in [client for client in going if not client.silent()]:
                del going[client]
                rig.assert_problem(client.answer(), code)
                assert client.wire.rest() == (b"", "fin")
            for client, piece in going.items():
                client.offer(piece)
            if not going:
                break
            time.sleep(0.02)
        assert not going, "500 pieces were taken and nobody complained"
    rig.assert_untouched()


@only("http-tcp", "uwsgi-unix")
def test_slow_head(rig_with):
    assert_drips_end(
        rig_with(SHORT), [(b"GET /x HTTP/1.1\r\nHost: a\r\nX: ", b"y"), (b"", b"G")], "header_timeout"
    )


@only("http-tcp", "uwsgi-unix")
def test_slow_second_head_on_a_connection(rig_with):
    rig = rig_with(SHORT)
    with rig.client() as client:
        client.send(get("/first"))
        assert client.answer().status == 200
        client.send(b"GET /second HTTP/1.1\r\n")
        rig.assert_problem(client.answer(), "header_timeout")
        assert client.wire.rest() == (b"", "fin")
    assert rig.stub.only().target == "/first"


@only("http-tcp")
def test_drip_below_the_rate(rig_with):
    drips = [(CODED, chunk(b"x")), (DECLARED, b"x"), (CODED + DATA, chunk(b"x"))]
    assert_drips_end(rig_with(CRAWL), drips, "body_too_slow")


@only("http-tcp")
def test_body_over_its_total_time(rig_with):
    assert_drips_end(
        rig_with(TOTAL), [(CODED, chunk(bytes(KIB))), (DECLARED, bytes(KIB))], "body_total_timeout"
    )


@each_once
def test_slow_but_never_idle_is_fine(rig_with):
    # Twenty pauses are longer than it, and none nearly so long, on a busy machine too.
    rig = rig_with({"timeouts.body_idle": "1s"})
    with rig.client() as client:
        client.send(CODED)
        for _ in range(25):
            client.send(chunk(b"x"))
            time.sleep(0.05)
        client.send(b"0\r\n\r\n")
        assert client.answer().status == 200
    assert rig.stub.only().body == b"x" * 25


# -- the shim ends ------------------------------------------------------------------------------------


@only("http-tcp")
def test_kill_leaves_no_file(rig_with):
    rig = rig_with(fresh=True)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(rig.client()).send(CODED, DATA)
        eventually(lambda: len(rig.shim.spool_files()) == 10, "ten bodies on disk")
        rig.shim.kill()
    assert not [path for path in rig.shim.spool.rglob("*") if not path.is_dir()]
    assert rig.stub.touched == 0
    rig.shim.start()
    assert rig.shim.metric("spool_bytes") == 0
    rig.assert_untouched()


def ready_status(rig: Rig) -> int:
    return rig.shim.admin("/readyz").status


@only("http-tcp")
def test_term_lets_uploads_end(rig_with, gate):
    rig = rig_with({"timeouts.drain": "20s"}, fresh=True)
    rig.stub.on("/waits", replies.held(gate, replies.normal(200, b"after all")))
    with rig.client() as uploading, rig.client() as waiting:
        waiting.send(get("/waits"))
        rig.stub.wait_requests()
        uploading.send(CODED, DATA)
        eventually(lambda: rig.shim.metric("uploads") == 1, "the upload is counted")
        assert ready_status(rig) == 200
        rig.shim.signal(signal.SIGTERM)
        eventually(lambda: ready_status(rig) == 503, "/readyz says that it drains")
        uploading.send(DATA, b"0\r\n\r\n")
        assert uploading.answer().status == 200
        gate.set()
        assert waiting.answer().body == b"after all"
        assert uploading.ending() == waiting.ending() == "fin"
    assert rig.shim.wait() == 0
    assert rig.stub.requests[-1].received == 600 * KIB
    assert not rig.shim.spool_files()


@only("http-tcp")
def test_term_ends_within_drain(rig_with):
    rig = rig_with({"timeouts.drain": "300ms"}, fresh=True)
    with rig.client() as client:
        client.send(CODED, DATA)
        eventually(lambda: rig.shim.metric("uploads") == 1, "the upload is counted")
        rig.shim.signal(signal.SIGTERM)
        assert rig.shim.wait() == 0
        assert client.ending() in ("fin", "reset")
    assert not rig.shim.spool_files()
    assert rig.stub.touched == 0


@only("http-tcp")
def test_not_ready_but_serving_before_the_drain(rig_with):
    rig = rig_with({"timeouts.drain_delay": "30s"}, fresh=True)
    rig.shim.signal(signal.SIGTERM)
    eventually(lambda: ready_status(rig) == 503, "/readyz says that it drains")
    assert rig.ask(put_chunked("/x", chunked(b"foobar"))).status == 200
    assert rig.stub.only().body == b"foobar"
    rig.shim.kill()


@only("http-tcp")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_with_0(rig_with, number):
    rig = rig_with(fresh=True)
    with rig.client() as idle, rig.client() as used:
        used.send(get("/x"))
        assert used.answer().status == 200
        rig.shim.signal(number)
        assert rig.shim.wait() == 0
        assert used.ending() == "fin"
        assert idle.ending() in ("fin", "reset")
