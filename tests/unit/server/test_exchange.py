"""One request as ASGI, and its answer on the wire: framing for every kind of answer, and visible cuts."""

import asyncio
import contextlib
import http.client
import socket
import struct

import pytest

from shim.asgi import INBOUND, TO_COME
from shim.errors import BadFraming, UpstreamClosed
from tests.fakes.loops import let_others_run, run_leaping
from tests.fakes.session import Session, answer_with, read_answers
from tests.support.series import series

LINGER_0 = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def request_of(method="GET", target=b"/", version=b"1.1", *fields, body=b""):
    lines = [b"%b %b HTTP/%b" % (method.encode(), target, version), b"Host: glance", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


PUT = request_of("PUT", b"/", b"1.1", b"Content-Length: 6")


async def talk(application, data, **options):
    """One request through one connection; the session as it is then."""
    session = Session(application, **options)
    await session.send(data)
    await let_others_run(30)
    return session


def run_talk(application, data, check, **options):
    """Make a request, look at what came of it, and leave."""

    async def scene():
        session = await talk(application, data, **options)
        check(session)
        await session.end()

    run_leaping(scene())


# -- the request ----------------------------------------------------------------------------------


@series(
    ("target", "expected"),
    [
        (b"/", {"path": "/", "raw_path": b"/", "query_string": b""}),
        (
            b"/v2/images?limit=1",
            {"path": "/v2/images", "raw_path": b"/v2/images", "query_string": b"limit=1"},
        ),
        (b"/a%2Fb%20c", {"path": "/a/b c", "raw_path": b"/a%2Fb%20c"}),
        (b"/%E2%82%AC", {"path": "/\u20ac"}),
        (b"/%FF", {"path": "/\ufffd", "raw_path": b"/%FF"}),
        (b"/%zz", {"path": "/%zz"}),
        (b"/a?", {"path": "/a", "raw_path": b"/a", "query_string": b""}),
        (b"/a?b?c", {"query_string": b"b?c"}),
        (b"//a", {"path": "//a", "raw_path": b"//a"}),
    ],
)
def test_the_scope_of_a_target(target, expected):
    scopes = []

    async def application(scope, _receive, send):
        scopes.append(scope)
        await answer_with(send)

    def check(_session):
        (scope,) = scopes
        for name, value in expected.items():
            assert scope[name] == value
        # ASGI cannot tell "/a?" from "/a"; the extension can.
        assert scope["extensions"][INBOUND].target == target
        assert scope["extensions"][INBOUND].refusal is None

    run_talk(application, request_of("GET", target), check)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_rest_of_the_scope(version):
    scopes = []

    async def application(scope, _receive, send):
        scopes.append(scope)
        scope["state"]["own"] = True
        await answer_with(send)

    def check(session):
        (scope,) = scopes
        assert scope["type"] == "http"
        assert scope["method"] == "PATCH"
        assert scope["http_version"] == version
        assert scope["headers"] == [(b"host", b"glance"), (b"x-name", b"One"), (b"x-name", b"two")]
        assert scope["client"] == ("192.0.2.7", 40000)
        assert scope["server"] == ("192.0.2.1", 9292)
        assert scope["scheme"] == "http"
        assert scope["root_path"] == ""
        assert "http.response.early_hint" in scope["extensions"]
        # One request's state is not the next one's.
        assert session.connection.app_state == {"kept": "for all"}
        assert scope["state"] == {"kept": "for all", "own": True}

    data = request_of("PATCH", b"/", version.encode(), b"X-Name: One", b"x-name:two")
    run_talk(application, data, check)


def test_messages_of_a_body():
    messages = []

    async def application(_scope, receive, send):
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
        await answer_with(send)

    async def scene():
        session = await talk(application, PUT)
        await session.send(b"fo", b"ob", b"ar")
        assert messages == [
            {"type": "http.request", "body": b"fo", "more_body": True, TO_COME: 4},
            {"type": "http.request", "body": b"ob", "more_body": True, TO_COME: 2},
            {"type": "http.request", "body": b"ar", "more_body": False},
        ]
        await session.end()

    run_leaping(scene())


def test_pieces_that_came_meanwhile_are_one_message():
    async def application(_scope, receive, send):
        await go_on.wait()
        messages.append(await receive())
        await go_on_again.wait()
        messages.append(await receive())
        await answer_with(send)

    async def scene():
        session = await talk(application, PUT)
        go_on.set()
        await session.send(b"f", b"o", b"o")
        await session.send(b"b", b"a", b"r")
        go_on_again.set()
        await let_others_run()
        assert [message["body"] for message in messages] == [b"f", b"oobar"]
        await session.end()

    go_on, go_on_again = asyncio.Event(), asyncio.Event()
    messages = []
    run_leaping(scene())


def test_receive_after_the_body_waits_for_the_clients_leaving():
    messages = []

    async def application(_scope, receive, _send):
        messages.append(await receive())
        messages.append(await receive())
        messages.append(await receive())

    async def scene():
        session = await talk(application, request_of())
        assert messages == [{"type": "http.request", "body": b"", "more_body": False}]
        await session.end()
        assert messages[1:] == [{"type": "http.disconnect"}] * 2

    run_leaping(scene())


CHUNKED = request_of("PUT", b"/", b"1.1", b"Transfer-Encoding: chunked")
HERE = [
    # what comes with the head, and what receive_now() gives, call after call
    pytest.param(PUT, [None], id="nothing"),
    pytest.param(PUT + b"foo", [(b"foo", True), None], id="a part"),
    pytest.param(PUT + b"foobar", [(b"foobar", False), None], id="all"),
    pytest.param(PUT + b"foobar" + PUT, [(b"foobar", False), None], id="all, and more"),
    pytest.param(CHUNKED + b"3\r\nfoo\r\n0\r\n\r\n", [(b"foo", False), None], id="chunks"),
    pytest.param(CHUNKED + b"3\r\nfoo\r\n3\r\nbar\r\n", [(b"foobar", True), None], id="a part in chunks"),
    pytest.param(CHUNKED + b"3\r\nfooxx", [None, None], id="malformed"),
    pytest.param(request_of(), [(b"", False), None], id="no body"),
]


@pytest.mark.parametrize(("data", "expected"), HERE)
def test_what_is_here_already(data, expected):
    """And nothing of it comes again by ``receive()``, which goes on behind it."""
    told = []

    async def application(scope, receive, send):
        receive_now = scope["extensions"][INBOUND].receive_now
        told.extend(receive_now() for _ in expected)
        with contextlib.suppress(BadFraming):
            told.append(await receive())
        await answer_with(send)
        told.append(receive_now())

    async def scene():
        session = await talk(application, data)
        if len(told) == len(expected):
            session.transport.leave()
        await session.end()
        parts = [part and (part["body"], part["more_body"]) for part in told[: len(expected)]]
        assert parts == expected
        assert all(part in (None, {"type": "http.disconnect"}) for part in told[len(expected) :])

    run_leaping(scene())


@pytest.mark.parametrize("following", [b"", PUT], ids=["nothing follows", "a request follows"])
def test_receive_after_the_answer_says_that_it_is_over(following):
    """As ASGI has it; and it never asks the next request's client for its body."""
    messages = []

    async def application(scope, receive, send):
        if scope["method"] == "PUT":
            await asyncio.Event().wait()
        await answer_with(send)
        messages.append(await receive())

    async def scene():
        session = await talk(application, request_of() + following)
        assert messages == [{"type": "http.disconnect"}]
        if following:
            await session.send(b"foobar")
            assert session.transport.kernel == b"foobar", "nobody has asked for it"
        for task in session.server.tasks:
            task.cancel()
        await session.end()

    run_leaping(scene())


# -- the answer's framing -------------------------------------------------------------------------


def answering(status=200, headers=(), *parts, ends=True):
    """An application that gives one answer in parts."""

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if ends:
            await send({"type": "http.response.body"})

    return application


LENGTH = (b"content-length", b"6")
FRAMED = [
    ("length", "GET", b"1.1", 200, [LENGTH], [b"foo", b"bar"], b"content-length: 6\r\n\r\nfoobar"),
    ("view", "GET", b"1.1", 200, [LENGTH], [memoryview(b"foobar")], b"content-length: 6\r\n\r\nfoobar"),
    ("length 0", "GET", b"1.1", 200, [(b"content-length", b"0")], [], b"content-length: 0\r\n\r\n"),
    (
        "chunked",
        "GET",
        b"1.1",
        200,
        [],
        [b"foo", b"", b"x" * 16],
        b"transfer-encoding: chunked\r\n\r\n3\r\nfoo\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n",
    ),
    ("chunked, empty", "GET", b"1.1", 200, [], [], b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("HEAD", "HEAD", b"1.1", 200, [LENGTH], [], b"content-length: 6\r\n\r\n"),
    ("HEAD with a body", "HEAD", b"1.1", 200, [LENGTH], [b"foobar"], b"content-length: 6\r\n\r\n"),
    ("HEAD, no length", "HEAD", b"1.1", 200, [], [b"foobar"], b"\r\n\r\n"),
    ("204", "DELETE", b"1.1", 204, [], [], b"204 No Content\r\n\r\n"),
    ("204 with a body", "DELETE", b"1.1", 204, [], [b"x"], b"204 No Content\r\n\r\n"),
    ("304", "GET", b"1.1", 304, [LENGTH], [b"foobar"], b"content-length: 6\r\n\r\n"),
    ("1.0, length", "GET", b"1.0", 200, [LENGTH], [b"foobar"], b"connection: close\r\n\r\nfoobar"),
    ("1.0, until close", "GET", b"1.0", 200, [], [b"foo", b"bar"], b"connection: close\r\n\r\nfoobar"),
    ("1.0, HEAD", "HEAD", b"1.0", 200, [], [b"x"], b"connection: close\r\n\r\n"),
]


@series(
    ("method", "version", "status", "headers", "parts", "expected"),
    [case[1:] for case in FRAMED],
)
def test_framing(method, version, status, headers, parts, expected):  # noqa: PLR0917 - a table's row
    def check(session):
        assert session.received.startswith(b"HTTP/1.1 %d " % status)
        assert session.received.endswith(expected)
        assert session.received.count(b"\r\n\r\n") == expected.count(b"\r\n\r\n")
        assert (b"chunked" in session.received) is (b"chunked" in expected)
        assert session.transport.ended is (version == b"1.0")
        assert not session.transport.aborted
        if version == b"1.1":
            assert len(read_answers(session.received, method)) == 1

    run_talk(answering(status, headers, *parts), request_of(method, b"/", version), check)


def test_hop_by_hop_fields_are_ours():
    headers = [(b"connection", b"keep-alive, x"), (b"transfer-encoding", b"gzip"), (b"x", b"1"), LENGTH]

    def check(session):
        assert session.received == b"HTTP/1.1 200 OK\r\nx: 1\r\ncontent-length: 6\r\n\r\nfoobar"

    run_talk(answering(200, headers, b"foobar"), request_of(), check)


@series(
    ("status", "line"),
    [(200, b"200 OK"), (404, b"404 Not Found"), (507, b"507 Insufficient Storage"), (599, b"599 ")],
)
def test_status_lines(status, line):
    def check(session):
        assert session.received.startswith(b"HTTP/1.1 " + line + b"\r\n")

    run_talk(answering(status, [LENGTH], b"foobar"), request_of(), check)


def test_the_servers_own_fields():
    async def scene():
        for headers, expected in [([LENGTH], b"date: now"), ([LENGTH, (b"date", b"then")], b"date: then")]:
            session = Session(answering(200, headers, b"foobar"))
            session.server.default_headers = [(b"date", b"now")]
            await session.send(request_of())
            assert expected in session.received
            assert session.received.count(b"date:") == 1
            await session.end()

    run_leaping(scene())


@pytest.mark.parametrize(("version", "told"), [(b"1.1", True), (b"1.0", False)])
def test_hints(version, told):
    async def application(_scope, _receive, send):
        await send({"type": "http.response.early_hint", "links": [b"</a>", b"</b>"]})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.early_hint", "links": [b"</late>"]})
        await send({"type": "http.response.body"})

    def check(session):
        hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
        assert session.received.startswith(hints + b"HTTP/1.1 200") is told
        assert session.received.count(b"link:") == 2 * told

    run_talk(application, request_of("GET", b"/", version), check)


# -- cuts -----------------------------------------------------------------------------------------


def raising(error, headers=(), *parts):
    """An application that fails in the middle of its answer."""

    async def application(scope, receive, send):
        await answering(200, headers, *parts, ends=False)(scope, receive, send)
        raise error

    return application


CUTS = [
    ("length", b"1.1", [LENGTH], [b"foo"]),
    ("length, nothing yet", b"1.1", [LENGTH], [b""]),
    ("chunked", b"1.1", [], [b"foo"]),
    ("chunked, nothing yet", b"1.1", [], [b""]),
    ("1.0, length", b"1.0", [LENGTH], [b"foo"]),
]


@series("error", [KeyError("a bug"), UpstreamClosed("closed"), asyncio.CancelledError()])
@series(("version", "headers", "parts"), [case[1:] for case in CUTS])
def test_a_broken_answer_is_visibly_cut(version, headers, parts, error):
    def check(session):
        assert session.transport.aborted
        with pytest.raises(http.client.IncompleteRead):
            read_answers(session.received, "GET")

    run_talk(raising(error, headers, *parts), request_of("GET", b"/", version), check)


def test_a_head_alone_is_kept_until_its_body_begins():
    """As ASGI has it; what fails before is no answer at all, and cut as one."""

    def check(session):
        assert (session.received, session.transport.aborted) == (b"", True)

    run_talk(raising(KeyError("a bug"), [LENGTH]), request_of("GET", b"/", b"1.1"), check)


def test_a_small_answer_is_one_write():
    def check(session):
        assert session.transport.writes == 1
        assert session.received.endswith(b"\r\n\r\nfoo")

    run_talk(answering(200, [(b"content-length", b"3")], b"foo"), request_of("GET", b"/", b"1.1"), check)


def test_an_answer_that_ends_with_its_connection_is_cut_by_a_reset():
    """An end would look like the answer's own."""

    def check(session):
        assert session.received.endswith(b"\r\n\r\nfoo")
        assert LINGER_0 in session.transport.options
        assert session.transport.aborted

    run_talk(raising(UpstreamClosed("closed"), [], b"foo"), request_of("GET", b"/", b"1.0"), check)


def test_a_proper_end_is_no_reset():
    def check(session):
        assert session.transport.options == []
        assert not session.transport.aborted

    run_talk(answering(200, [], b"foo"), request_of("GET", b"/", b"1.0"), check)


MISTAKES = [
    ("longer than said", answering(200, [LENGTH], b"foobar", b"x"), True),
    ("shorter than said", answering(200, [LENGTH], b"foo"), True),
    ("no end", answering(200, [LENGTH], b"foobar", ends=False), True),
    ("no number", answering(200, [(b"content-length", b"six")], b"foobar"), False),
]


@series(("application", "begun"), [case[1:] for case in MISTAKES])
def test_a_wrong_answer_is_cut(application, begun):
    def check(session):
        assert session.transport.aborted
        assert bool(session.received) is begun
        assert b"foobarx" not in session.received

    run_talk(application, request_of(), check)


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"x"}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.start", "status": 200}],
        [{"type": "websocket.accept"}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.trailers"}],
    ],
)
def test_messages_out_of_turn(messages, caplog):
    async def application(_scope, _receive, send):
        for message in messages:
            await send(message)

    def check(session):
        assert session.transport.aborted

    run_talk(application, request_of(), check)
    assert "out of turn" in caplog.text


def test_after_the_answer_nothing_more_is_sent(caplog):
    """And what comes too late does no harm to the answer, nor to the next request."""

    async def application(_scope, _receive, send):
        await answer_with(send)
        await send({"type": "http.response.body", "body": b"late"})

    async def scene():
        session = await talk(application, request_of())
        await session.send(request_of())
        assert [answer.body for answer in session.answers("GET", "GET")] == [b"ok", b"ok"]
        assert not session.transport.closing
        await session.end()

    run_leaping(scene())
    assert "out of turn" in caplog.text


def test_what_is_sent_to_a_client_that_has_gone_is_dropped():
    async def application(_scope, _receive, send):
        await go_on.wait()
        await answer_with(send)
        done.append(True)

    async def scene():
        session = await talk(application, request_of())
        session.transport.leave()
        await let_others_run()
        go_on.set()
        await let_others_run()
        assert done
        assert session.received == b""
        await session.end()

    go_on = asyncio.Event()
    done = []
    run_leaping(scene())
