"""Connections that serve more than one request (case 21): the client's, and those to the upstream.

The latter may be stale. Nobody sees a reset that is not its own, and no request with a body risks a
used connection.
"""

import pytest

from tests.support import replies
from tests.support.client import LAST, chunked, get, head, put, put_chunked
from tests.support.rig import KEPT, SHORT, Rig, only
from tests.support.series import series
from tests.support.wire import eventually

MIB = 1 << 20
HTTP = only("http-tcp", "http-unix")

# -- the client's connection ----------------------------------------------------------------------------


def test_one_connection_serves_many_requests(rig: Rig):
    requests = [
        get("/0"),
        put_chunked("/1", chunked(b"foobar")),
        put("/2", b"foobar"),
        head("POST", "/3"),
        put_chunked("/4", LAST),
        put_chunked("/5", chunked(bytes(MIB), 65_521)),
        head("DELETE", "/6"),
        put("/7", bytes(MIB)),
        head("HEAD", "/8"),
        get("/9"),
    ]
    with rig.client() as client:
        for number, request in enumerate(requests):
            client.send(request)
            method = request.split(b" ", 1)[0].decode()
            answer = client.answer(method)
            assert answer.status == 200
            assert answer.body == (b"" if method == "HEAD" else f"{method} /{number}".encode())
    assert [seen.target for seen in rig.stub.requests] == [f"/{number}" for number in range(len(requests))]
    assert all(seen.complete for seen in rig.stub.requests)


@series(
    ("request_", "end"),
    [
        pytest.param(get("/x"), "open", id="1.1"),
        pytest.param(get("/x", "Connection: close"), "fin", id="1.1 close"),
        pytest.param(get("/x", "connection: CLOSE"), "fin", id="1.1 CLOSE"),
        pytest.param(get("/x", "Connection: X-Y, close"), "fin", id="1.1 close in a list"),
        pytest.param(head("GET", "/x", version="1.0"), "fin", id="1.0"),
        pytest.param(put_chunked("/x", chunked(b"foobar"), "Connection: close"), "fin", id="chunked close"),
        pytest.param(put("/x", b"foobar", "Connection: close"), "fin", id="length close"),
    ],
)
def test_connection_ends_as_asked(rig: Rig, request_, end):
    with rig.client() as client:
        client.send(request_)
        answer = client.answer()
        assert (answer.status, answer.complete) == (200, True)
        assert client.ending(0.1 if end == "open" else None) == end
        if end == "fin" and b"HTTP/1.1" in request_:
            assert "close" in ",".join(answer.all("Connection")).lower()


def test_http_1_0_keep_alive_is_well_framed(rig: Rig):
    with rig.client() as client:
        client.send(head("GET", "/x", "Connection: keep-alive", version="1.0"))
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"GET /x")
        if client.ending(0.1) == "open":
            assert "keep-alive" in ",".join(answer.all("Connection")).lower()
            client.send(get("/y"))
            assert client.answer().body == b"GET /y"


def test_nothing_is_served_after_close_was_asked(rig: Rig):
    with rig.client() as client:
        client.send(put_chunked("/x", chunked(b"foobar"), "Connection: close"), get("/hidden"))
        assert client.answer().body == b"PUT /x"
        assert client.wire.rest() == (b"", "fin")
    assert rig.stub.only().target == "/x"


@only("http-tcp", "uwsgi-unix")
@pytest.mark.parametrize("requests", [0, 1])
def test_idle_connection_is_closed(rig_with, requests):
    rig = rig_with(SHORT)
    with rig.client() as client:
        for _ in range(requests):
            client.send(get("/x"))
            assert client.answer().status == 200
        rest, end = client.wire.rest()
    assert end == "fin"
    if requests:
        assert rest == b""


# -- the upstream's connections ---------------------------------------------------------------------------


@HTTP
def test_kept_connections_serve_gets(rig_with):
    """An upstream that keeps its connections open is not asked over a new one each time."""
    rig = rig_with(KEPT)
    assert rig.keep_connection() == rig.keep_connection()


@HTTP
@series(
    "request_",
    [
        pytest.param(put_chunked("/x", chunked(b"foobar")), id="chunked PUT"),
        pytest.param(put("/x", b"foobar"), id="PUT"),
        pytest.param(put("/x", b""), id="empty PUT"),
        pytest.param(put("/x", b"foobar", method="POST"), id="POST"),
        pytest.param(put_chunked("/x", chunked(b"foobar"), method="POST"), id="chunked POST"),
        pytest.param(put_chunked("/x", LAST, method="POST"), id="chunked empty POST"),
        pytest.param(head("POST", "/x"), id="POST without body"),
        pytest.param(head("PATCH", "/x"), id="PATCH without body"),
        pytest.param(put_chunked("/x", chunked(bytes(MIB))), id="large PUT"),
        pytest.param(put("/x", b"[]", method="PATCH"), id="PATCH"),
        pytest.param(put("/x", b"foobar", method="GET"), id="GET with a body"),
        pytest.param(put("/x", b"foobar", method="DELETE"), id="DELETE with a body"),
    ],
)
def test_bodies_and_posts_never_go_on_a_used_connection(rig_with, request_):
    rig = rig_with(KEPT)
    kept = rig.keep_connection()
    assert rig.ask(request_).status == 200
    seen = rig.stub.only()
    assert seen.position == 1
    assert seen.connection != kept


@only("http-tcp")
def test_used_connection_that_ends_under_a_request(rig_with):
    """The server reads the request and closes: only what is safe may be asked once more (RFC 9110 9.2.2)."""
    rig = rig_with(fresh=True)
    rig.keep_connection()
    rig.stub.answer(replies.vanish(), replies.normal(200, b"again"), replies.vanish())
    answer = rig.ask(get("/x"))
    if answer.status == 200:
        assert (answer.body, len(rig.stub.requests)) == (b"again", 2)
        assert rig.stub.requests[1].position == 1
    else:
        rig.assert_problem(answer, "upstream_closed")
    rig.assert_sent_once()


@only("http-tcp")
def test_delete_is_never_sent_twice(rig_with):
    """Delivered and done on a used connection that then ended: repeated, it would be a 404."""
    rig = rig_with(fresh=True)
    rig.keep_connection()
    rig.stub.answer(replies.vanish())
    rig.assert_problem(rig.ask(head("DELETE", "/x")), "upstream_closed")
    assert len(rig.stub.requests) == 1


@only("http-tcp")
def test_close_without_saying_so_never_reaches_a_client(rig_with):
    """uWSGI's http-socket: each answer looks as if the connection stayed, and it does not."""
    rig = rig_with(fresh=True)
    rounds = 20
    rig.stub.answer(*[replies.unsaid_close(b"ok")] * rounds)
    with rig.client() as client:
        for number in range(rounds):
            closed = rig.stub.closed
            client.send(get(f"/{number}") if number % 3 else put_chunked(f"/{number}", chunked(b"foobar")))
            answer = client.answer()
            assert (answer.status, answer.body) == (200, b"ok"), answer
            eventually(lambda closed=closed: rig.stub.closed > closed, "the stub has closed")
    assert len({seen.connection for seen in rig.stub.requests}) == len(rig.stub.requests) == rounds


@only("http-tcp")
def test_close_that_comes_a_little_late_never_reaches_a_client(rig_with):
    """The same without waiting: the next request may meet the close on its way."""
    rig = rig_with(fresh=True)
    rounds = 60
    rig.stub.answer(*[replies.unsaid_close(b"ok")] * rounds)
    with rig.client() as client:
        for number in range(rounds):
            client.send(get(f"/{number}"))
            answer = client.answer()
            assert (answer.status, answer.body) == (200, b"ok"), (number, answer)


@only("http-tcp")
def test_stale_connections_do_no_harm(rig_with):
    """The server closes its idle connections between two requests."""
    rig = rig_with(fresh=True)
    rig.keep_connection()
    for _ in range(5):
        rig.stub.hang_up()
        answer = rig.ask(get("/x"))
        assert (answer.status, answer.body) == (200, b"GET /x")
        assert rig.stub.only().target == "/x"
        rig.stub.forget()


@HTTP
@series(
    "reply",
    [
        pytest.param(replies.normal(200, b"ok", "Connection: close"), id="says close"),
        pytest.param(
            replies.raw(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", end="keep"), id="HTTP/1.0"
        ),
        pytest.param(
            replies.raw(
                b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok", end="keep"
            ),
            id="says close in a list",
        ),
    ],
)
def test_connection_that_is_to_end_is_not_used_again(rig_with, reply):
    rig = rig_with(KEPT)
    with rig.client() as client:
        rig.stub.answer(*[reply] * 3)
        for _ in range(3):
            client.send(get("/x"))
            assert client.answer().body == b"ok"
    assert len({seen.connection for seen in rig.stub.requests[1:]}) == 2
    assert rig.stub.requests[0].connection != rig.stub.requests[1].connection


@HTTP
def test_unread_answer_spoils_its_connection(rig_with):
    """A client that leaves in the middle of an answer: what it did not take reaches nobody else."""
    rig = rig_with(KEPT)
    # More than the buffers of two sockets hold: the answer cannot be over before the client leaves.
    size = 64 * MIB
    rig.stub.answer(replies.dribble(replies.answer_head(200, f"Content-Length: {size}") + bytes(size), MIB))
    with rig.client() as client:
        client.send(get("/x"))
        assert client.head()[0] == 200
        client.reset()
    eventually(lambda: rig.shim.metric("upstream_inflight") == 0, "the call has ended")
    assert rig.ask(get("/y")).body == b"GET /y"
    assert rig.stub.requests[1].connection != rig.stub.requests[0].connection
