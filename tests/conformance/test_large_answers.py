"""Answers too large to go through the shim's own memory: in the fast way they move from socket to socket.

Whatever the way, each byte arrives, a cut stays visible, either side's pace is its own, and both connections
go on afterwards.
"""

import array
import time

import pytest

from tests.support import replies
from tests.support.client import get, head
from tests.support.rig import CRAWL, KEPT, SHORT, Rig, only
from tests.support.series import series
from tests.support.wire import eventually

KIB, MIB = 1 << 10, 1 << 20
# The way on which an answer passes through the kernel alone.
FAST = "uwsgi-unix-fast"
# No two places look alike, and it is no multiple of a page.
BODY = array.array("Q", range(5 * MIB // 8)).tobytes() + b"end"
LENGTH = f"Content-Length: {len(BODY)}"
HEAD = replies.answer_head(200, LENGTH)

# More than all buffers on the way hold.
MANY = [BODY] * 8
MANY_HEAD = replies.answer_head(200, f"Content-Length: {len(MANY) * len(BODY)}")


def in_two(first: bytes, second: bytes, end: str = "keep") -> replies.Reply:
    """The head arrives alone, or with so much of the body; the rest later."""

    def reply(exchange):
        exchange.read_body()
        exchange.send(first)
        time.sleep(0.02)
        exchange.send(second)
        replies.finish(exchange, end)

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(replies.raw(HEAD + BODY, end="keep"), id="at once"),
        pytest.param(in_two(HEAD, BODY), id="head first"),
        pytest.param(in_two(HEAD + BODY[:1], BODY[1:]), id="one byte first", marks=pytest.mark.more),
        pytest.param(in_two(HEAD + BODY[:-1], BODY[-1:]), id="one byte last"),
        pytest.param(in_two(HEAD, BODY, end="close"), id="closes without saying so"),
        pytest.param(
            replies.raw(replies.answer_head(200, LENGTH, "Connection: close"), BODY),
            id="says close",
            marks=pytest.mark.more,
        ),
    ],
)
def test_whole_and_the_next_request(rig: Rig, reply):
    """The next one is there before the answer; a third comes after it, on the same connection."""
    rig.stub.answer(reply, reply)
    with rig.client() as client:
        client.send(get("/one") + get("/two"))
        for _ in range(2):
            answer = client.answer()
            assert (answer.status, answer.framing, answer.complete) == (200, "length", True)
            assert answer.body == BODY
        client.send(get("/three"))
        assert client.answer().body == b"GET /three"
    assert [seen.target for seen in rig.stub.requests] == ["/one", "/two", "/three"]


@only("http-tcp", "http-unix")
def test_the_connection_upstream_is_used_again(rig_with):
    rig = rig_with(KEPT)
    kept = rig.keep_connection()
    rig.stub.answer(*[in_two(HEAD, BODY)] * 2)
    # On one connection: another one's request may come before the last one's server is put away.
    with rig.client() as client:
        for _ in range(2):
            client.send(get("/x"))
            assert client.answer().body == BODY
        client.send(get("/small"))
        assert client.answer().body == b"GET /small"
    assert {seen.connection for seen in rig.stub.requests} == {kept}


def test_bytes_after_the_end_go_with_their_connection(rig_with):
    rig = rig_with(KEPT)
    if rig.protocol == "http":
        rig.keep_connection()
    rig.stub.answer(in_two(HEAD, BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"))
    with rig.client() as client:
        client.send(get("/x") + get("/next"))
        assert client.answer().body == BODY
        assert client.answer().body == b"GET /next"
    assert rig.stub.requests[0].connection != rig.stub.requests[1].connection


@only("http-tcp", "uwsgi-unix")
@series("version", ["1.0", "1.1"])
def test_a_client_that_wants_no_more(rig: Rig, version):
    rig.stub.answer(in_two(HEAD, BODY))
    with rig.client() as client:
        client.send(head("GET", "/x", "Connection: close", version=version))
        assert client.answer().body == BODY
        assert client.wire.rest() == (b"", "fin")


@only("http-tcp", "uwsgi-unix")
def test_no_body_where_none_belongs(rig: Rig):
    """A length that speaks of another answer's body is not waited for."""
    rig.stub.answer(replies.raw(HEAD, end="keep"), replies.raw(replies.answer_head(304, LENGTH), end="keep"))
    with rig.client() as client:
        client.send(head("HEAD", "/x"))
        assert client.answer("HEAD").header("Content-Length") == str(len(BODY))
        client.send(get("/y"))
        assert client.answer().status == 304
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"


@only("http-tcp", "uwsgi-unix")
@series("version", ["1.0", "1.1"])
@series("end", ["close", "reset"])
@series("came", [1, 300 * KIB, 3 * MIB, len(BODY) - 1])
def test_a_cut_is_seen(rig: Rig, came, end, version):
    rig.stub.answer(in_two(HEAD, BODY[:came], end))
    start = rig.shim.log_size()
    with rig.client() as client:
        client.send(head("GET", "/x", version=version))
        answer = client.answer()
        assert (answer.status, answer.complete) == (200, False)
        # What our own buffer held when the server failed is not waited for.
        assert BODY[:came].startswith(answer.body)
        assert client.ending() != "open"
    eventually(lambda: "upstream_closed" in rig.shim.log_text(start), "the log says why")
    assert len(rig.stub.requests) == 1


@only("http-tcp", "uwsgi-unix")
def test_silence_is_a_cut(rig_with):
    rig = rig_with(SHORT)
    start = rig.shim.log_size()
    rig.stub.answer(in_two(HEAD, BODY[: 3 * MIB], "wait"))
    with rig.client() as client:
        client.send(get("/x"))
        answer = client.answer()
    assert (answer.body, answer.complete) == (BODY[: 3 * MIB], False)
    eventually(lambda: rig.stub.requests[0].ended, "the shim gives up the call")
    eventually(lambda: "response_timeout" in rig.shim.log_text(start), "the log says why")


@only("http-tcp", "uwsgi-unix")
def test_a_slow_client_is_not_a_silent_server(rig_with):
    """It pauses longer than the server may, with more on its way than all buffers hold."""
    rig = rig_with({"timeouts.response_idle": "1s"})
    times = 8
    rig.stub.answer(
        replies.raw(
            replies.answer_head(200, f"Content-Length: {times * len(BODY)}"), *[BODY] * times, end="keep"
        )
    )
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        time.sleep(1.5)
        for _ in range(times):
            assert client.wire.exactly(len(BODY)) == BODY
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"


@only("http-tcp", "uwsgi-unix")
def test_a_slow_client_frees_its_server(rig: Rig):
    """The server is done, and its slot free, although the client has read no more than the head."""
    rig.stub.answer(replies.raw(MANY_HEAD, *MANY, end="keep"))
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        eventually(lambda: rig.shim.metric("spool_files") == 1, "the rest is spooled")
        eventually(lambda: rig.shim.metric("upstream_inflight") == 0, "the server is free")
        for part in MANY:
            assert client.wire.exactly(len(part)) == part
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"


@only("http-tcp")
def test_what_an_answer_may_have_in_the_spool(rig_with):
    """Beyond it the server waits for the client, and nothing is lost."""
    rig = rig_with({"spool.max_response": "4MiB"})
    rig.stub.answer(replies.raw(MANY_HEAD, *MANY, end="keep"))
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        eventually(lambda: rig.shim.metric("spool_bytes") > 3 * MIB, "it is spooled")
        for part in MANY:
            assert rig.shim.metric("spool_bytes") <= 4 * MIB
            assert client.wire.exactly(len(part)) == part
        client.send(get("/next"))
        assert client.answer().body == b"GET /next"


@only("http-tcp", "uwsgi-unix")
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_cut_is_seen_by_a_slow_client(rig: Rig, end):
    start = rig.shim.log_size()
    rig.stub.answer(in_two(MANY_HEAD, b"".join(MANY)[:-1], end))
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        eventually(lambda: "upstream_closed" in rig.shim.log_text(start), "the log says why")
        assert len(client.wire.rest()[0]) < len(MANY) * len(BODY)
        assert client.ending() != "open"


@only("http-tcp", "uwsgi-unix")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_slow_client_that_leaves(rig: Rig, how):
    """While its server still sends, and the spool takes what comes."""
    rig.stub.answer(endless)
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        eventually(lambda: rig.shim.metric("spool_bytes") > MIB, "the rest is spooled")
        {"close": client.close, "reset": client.reset}[how]()
        eventually(lambda: not rig.stub._sockets, "the call is given up")


@only("http-tcp", "uwsgi-unix")
def test_a_client_that_takes_nothing_is_cut_off(rig_with):
    rig = rig_with(SHORT)
    start = rig.shim.log_size()
    rig.stub.answer(endless)
    with rig.client() as client:
        client.send(get("/x"))
        eventually(lambda: "client_too_slow" in rig.shim.log_text(start), "it is given up")
        eventually(lambda: not rig.stub._sockets, "the server is left in peace")


@only("http-tcp", "uwsgi-unix")
def test_a_client_that_drips_is_cut_off(rig_with):
    """Never silent, but slower than a client may be."""
    rig = rig_with(CRAWL)
    start = rig.shim.log_size()
    rig.stub.answer(endless)
    with rig.client() as client:
        client.send(get("/x"))
        client.head()

        def is_over():
            client.wire.exactly(100)
            return "took its answer slower than" in rig.shim.log_text(start)

        eventually(is_over, "it is given up")
        eventually(lambda: not rig.stub._sockets, "the server is left in peace")
    assert "client_too_slow" in rig.shim.log_text(start)


@only("http-tcp", "uwsgi-unix")
@series("how", ["close", "reset", "half-close"])
def test_a_client_that_leaves(rig: Rig, how):
    start = rig.shim.log_size()
    rig.stub.answer(endless)
    with rig.client() as client:
        client.send(get("/x"))
        client.head()
        assert client.wire.exactly(3 * MIB)
        {"close": client.close, "reset": client.reset, "half-close": client.finish}[how]()
        eventually(lambda: not rig.stub._sockets, "the call is given up")
    eventually(lambda: "client_gone" in rig.shim.log_text(start), "the log says so")


def endless(exchange):
    """More than anybody will take."""
    exchange.read_body()
    exchange.send(replies.answer_head(200, f"Content-Length: {1 << 40}"))
    while True:
        exchange.send(BODY)


@only("http-tcp", "uwsgi-unix")
def test_it_is_counted(rig: Rig):
    start = rig.shim.log_size()
    rig.stub.answer(in_two(HEAD, BODY))
    assert rig.ask(get("/counted")).body == BODY

    def sent():
        lines = [line for line in rig.shim.log_lines(start) if line.get("path") == "/counted"]
        return lines and lines[0]["sent"] == len(BODY)

    eventually(sent, "the log has its size")
