"""A client's connection over a fake transport: what is read when, what is answered, and how it ends."""

import asyncio

import pytest
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate
from shim.admission.limits import AnswerPace
from shim.asgi import inbound_of
from shim.errors import (
    BadFraming,
    BadRequest,
    HeaderTimeout,
    HeadTooLarge,
    QueueFull,
    UnknownCoding,
    UnknownMethod,
)
from shim.server.reading import MOST_PIPELINED, Reading
from shim.server.request_body import HIGH_WATER
from shim.server.stream import WRITE_BUFFER
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.fakes.session import Echo, Session, answer_with
from tests.fakes.transport import READ_SIZE
from tests.support.series import series

GET = b"GET /v2/images HTTP/1.1\r\nHost: glance\r\n\r\n"
PUT = b"PUT /file HTTP/1.1\r\nHost: glance\r\nContent-Length: 6\r\n\r\n"
CHUNKED = b"PUT /file HTTP/1.1\r\nHost: glance\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = PUT[:-2] + b"Expect: 100-continue\r\n\r\n"
CHUNKS = b"3\r\nfoo\r\n3;a=b\r\nbar\r\n0\r\nX-Sum: 1\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def run_session(scene, application=None, **options):
    """Run a scene over one connection; afterwards the client leaves and nothing may be left of it."""

    async def whole():
        session = Session(Echo() if application is None else application, **options)
        await scene(session)
        await session.end()
        assert session.server.tasks == set()
        assert session.connection.state is Reading.CLOSED

    run_leaping(whole())


# -- whole requests -------------------------------------------------------------------------------

REQUESTS = [
    ("GET", GET, b"GET /v2/images "),
    ("PUT", PUT + b"foobar", b"PUT /file foobar"),
    ("chunked", CHUNKED + CHUNKS, b"PUT /file foobar"),
    ("empty", PUT.replace(b"6", b"0"), b"PUT /file "),
    ("empty chunked", CHUNKED + b"0\r\n\r\n", b"PUT /file "),
    ("POST without a body", GET.replace(b"GET", b"POST"), b"POST /v2/images "),
]
both_ways = pytest.mark.parametrize("size", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])


def pieces_of(data, size):
    return [data] if size is None else [data[start : start + size] for start in range(0, len(data), size)]


@both_ways
@series(("data", "expected"), [case[1:] for case in REQUESTS])
def test_a_request(data, expected, size):
    async def scene(session):
        await session.send(*pieces_of(data, size))
        (answer,) = session.answers("GET")
        assert (answer.status, answer.body) == (200, expected)
        assert "connection" not in answer.headers
        # The connection waits for the next one.
        assert session.connection.state is Reading.HEAD
        assert session.transport.is_reading()
        assert not session.transport.closing
        assert session.server.total_requests == 1

    run_session(scene)


@both_ways
@series("first", [0, 1, 2, 4])
def test_pipelined_requests_are_answered_in_order_and_unmixed(first, size):
    data = REQUESTS[first][1] + GET.replace(b"/v2/images", b"/second") + PUT + b"foobaz" + CHUNKED + CHUNKS

    async def scene(session):
        await session.send(*pieces_of(data, size))
        await let_others_run(50)
        answers = session.answers("GET", "GET", "GET", "GET")
        assert [answer.body for answer in answers] == [
            REQUESTS[first][2],
            b"GET /second ",
            b"PUT /file foobaz",
            b"PUT /file foobar",
        ]

    run_session(scene)


def test_one_request_at_a_time():
    async def scene(session):
        await session.send(GET + GET)
        assert len(application.scopes) == 1
        assert len(session.server.tasks) == 1
        application.before.set()
        await let_others_run(30)
        assert len(application.scopes) == 2
        assert len(session.answers("GET", "GET")) == 2

    application = Echo(asyncio.Event())
    run_session(scene, application)


def test_so_much_is_pipelined_and_no_more():
    async def scene(session):
        await session.send(GET, *[GET] * 10)
        assert session.transport.is_reading()
        while session.transport.is_reading():
            await session.send(GET * 100)
        waiting = session.connection.held
        assert MOST_PIPELINED < len(waiting) <= MOST_PIPELINED + READ_SIZE
        await session.send(GET)
        assert session.connection.held == waiting
        application.before.set()
        while session.transport.kernel or session.connection.state is not Reading.HEAD:
            await let_others_run()
        count = len(application.scopes)
        assert len(session.answers(*["GET"] * count)) == count

    application = Echo(asyncio.Event())
    run_session(scene, application)


@series("request_", [GET, PUT + b"foobaz", CHUNKED + CHUNKS])
def test_no_more_is_pipelined_with_each_answer(request_):
    """Each request is a few bytes of what is held, and a read is 256 KiB."""

    async def scene(session):
        await session.send(request_ * (4 * READ_SIZE // len(request_)))
        application.before.set()
        while len(application.scopes) < 5:
            await let_others_run()
            assert len(session.connection.held) <= MOST_PIPELINED + READ_SIZE
        session.transport.leave()

    application = Echo(asyncio.Event())
    run_session(scene, application)


def _of_a_client_that_takes_nothing(scene):
    async def answer(_scope, _receive, send):
        await answer_with(send, bytes(WRITE_BUFFER // 4))

    run_session(scene, answer, takes=0)


def test_who_takes_no_answer_is_given_no_more_of_them():
    async def scene(session):
        await session.send(*[GET * 20] * 3)
        assert WRITE_BUFFER < len(session.transport.buffer) < WRITE_BUFFER * 3 // 2
        session.transport.take()
        await let_others_run(400)
        assert len(session.answers(*["GET"] * 60)) == 60
        assert session.connection.state is Reading.HEAD

    _of_a_client_that_takes_nothing(scene)


def test_who_takes_no_answer_is_asked_nothing_more_by_a_server_that_drains():
    async def scene(session):
        await session.send(GET * 100)
        session.connection.shutdown()
        assert session.transport.closing
        session.transport.take()
        await session.transport.until_over()
        assert len(session.answers(*["GET"] * 4)) == 4

    _of_a_client_that_takes_nothing(scene)


# -- the body is held back ------------------------------------------------------------------------


@pytest.mark.parametrize("head", [PUT, CHUNKED], ids=["length", "chunked"])
def test_nothing_of_a_body_is_read_before_it_is_asked_for(head):
    async def scene(session):
        await session.send(head)
        assert session.connection.state is Reading.HELD
        reads = session.transport.reads
        body = b"foobar" if head == PUT else CHUNKS
        await session.send(body)
        assert session.transport.kernel == body, "it stays in the kernel"
        assert session.transport.reads == reads
        assert session.received == b""
        application.before.set()
        await let_others_run()
        assert session.answers("PUT")[0].body == b"PUT /file foobar"

    application = Echo(asyncio.Event())
    run_session(scene, application)


@series(
    ("first", "continues"),
    [
        (EXPECTING, True),
        (EXPECTING.replace(b"100-continue", b"100-Continue"), True),
        (PUT, False),
        # Bytes of the body are there already: who sends them does not wait.
        (EXPECTING + b"f", False),
        (EXPECTING + b"foobar", False),
        (EXPECTING.replace(b"1.1", b"1.0"), False),
        (GET[:-2] + b"Expect: 100-continue\r\n\r\n", False),
        (EXPECTING.replace(b"6", b"0"), False),
    ],
)
def test_a_continue_at_the_first_receive_and_only_there(first, continues):
    async def scene(session):
        await session.send(first)
        assert session.received == b""
        application.before.set()
        await let_others_run()
        assert session.received.startswith(CONTINUE) is continues
        rest = b"foobar"[len(first.partition(b"\r\n\r\n")[2]) :] if b"Length: 6" in first else b""
        for byte in rest:
            await session.send(bytes([byte]))
        assert session.received.count(CONTINUE) == continues
        assert session.received.count(b"HTTP/1.1 200 OK") == 1
        assert (b"foobar" in session.received) is (b"Length: 6" in first)

    application = Echo(asyncio.Event())
    run_session(scene, application)


def test_a_refusal_comes_instead_of_a_continue():
    async def refuse(_scope, _receive, send):
        await answer_with(send, b"no", 413)

    async def scene(session):
        await session.send(EXPECTING)
        (answer,) = session.answers("PUT")
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert session.transport.half_closed
        assert not session.transport.closing

    run_session(scene, refuse)


@pytest.mark.parametrize("head", [PUT.replace(b"6", b"4000000"), CHUNKED], ids=["length", "chunked"])
def test_a_client_is_held_back_while_the_application_does_not_take(head):
    body = bytes(4_000_000)
    taken = []

    async def application(_scope, receive, send):
        message = {"more_body": True}
        while message["more_body"]:
            await go_on.wait()
            go_on.clear()
            message = await receive()
            taken.append(len(message["body"]))
        await answer_with(send)

    async def scene(session):
        await session.send(head)
        await session.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if head == CHUNKED else body)
        while not session.received:
            go_on.set()
            await let_others_run()
            # Decoded and not taken: at most the mark and what one read brings.
            arrived = len(body) - len(session.transport.kernel)
            assert arrived - sum(taken) <= HIGH_WATER + READ_SIZE
        assert sum(taken) == len(body)
        assert max(taken) <= HIGH_WATER + READ_SIZE

    go_on = asyncio.Event()
    run_session(scene, application)


def test_reading_stops_at_the_mark():
    async def application(_scope, receive, _send):
        await receive()
        await asyncio.Event().wait()

    async def scene(session):
        await session.send(PUT.replace(b"6", b"4000000"))
        await session.send(b"x")
        await session.send(bytes(3_000_000))
        assert not session.transport.is_reading()
        assert len(session.transport.kernel) >= 3_000_000 - HIGH_WATER - READ_SIZE
        for task in session.server.tasks:
            task.cancel()

    run_session(scene, application)


# -- heads that are not served --------------------------------------------------------------------

REFUSED_HEADS = [
    ("no HTTP", b"hello\r\n\r\n", BadRequest),
    ("LF only", GET.replace(b"\r\n", b"\n"), BadRequest),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", BadRequest),
    ("CONNECT", b"CONNECT glance:80 HTTP/1.1\r\nHost: glance\r\n\r\n", UnknownMethod),
    ("too large", GET[:-2] + b"X: " + b"x" * 1100 + b"\r\n\r\n", HeadTooLarge),
    ("without an end", b"GET / HTTP/1.1\r\nX: " + b"x" * 1100, HeadTooLarge),
    ("two lengths", PUT[:-2] + b"Content-Length: 6\r\n\r\nfoobar", BadFraming),
    ("length and coding", CHUNKED[:-2] + b"Content-Length: 6\r\n\r\n" + CHUNKS, BadFraming),
    ("coding on HTTP/1.0", CHUNKED.replace(b"1.1", b"1.0") + CHUNKS, BadFraming),
    ("gzip", CHUNKED.replace(b"chunked", b"gzip, chunked") + CHUNKS, UnknownCoding),
]


@both_ways
@series(("data", "error"), [case[1:] for case in REFUSED_HEADS])
def test_a_refused_head(data, error, size):
    """The application answers it; whatever follows it is never taken for a request."""

    async def scene(session):
        await session.send(*pieces_of(data, size))
        await session.send(GET, GET)
        (answer,) = session.answers("GET")
        assert answer.body == error.code.encode()
        assert answer.headers["connection"] == "close"
        (scope,) = application.scopes
        assert isinstance(inbound_of(scope).refusal, error)
        assert session.connection.state is Reading.LINGER
        assert session.transport.half_closed

    application = Echo()
    run_session(scene, application, max_head=1024)


def test_a_refusal_knows_the_request_as_far_as_it_could_be_read():
    async def scene(session):
        accept = b"Accept: text/html\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\n"
        await session.send(PUT.replace(b"Content-Length: 6\r\n\r\n", accept))
        assert application.scopes[0]["method"] == "PUT"
        assert (b"accept", b"text/html") in application.scopes[0]["headers"]
        await session.end()

        session = Session(application)
        await session.send(b"nonsense\r\n\r\n")
        assert application.scopes[1]["method"] == "-"
        assert application.scopes[1]["headers"] == []
        await session.end()

    application = Echo()
    run_session(scene, application)


@series(
    "body",
    [b"x\r\n", b"3\r\nfooX", b"3\nfoo\n0\n\n", b"-1\r\n", b"3\r\nfoo\r\n0\r\nbad trailer\r\n\r\n"],
)
@both_ways
def test_a_malformed_body(body, size):
    """Answered, and nothing after it is served; for where it ends nobody knows."""

    async def scene(session):
        await session.send(CHUNKED, *pieces_of(body, size))
        await session.send(GET)
        (answer,) = session.answers("PUT")
        assert answer.body == b"bad_framing"
        assert answer.headers["connection"] == "close"
        assert len(application.scopes) == 1
        assert isinstance(application.errors[0], BadFraming)
        assert session.connection.state is Reading.LINGER

    application = Echo()
    run_session(scene, application)


def test_a_malformed_body_that_came_with_its_head():
    async def scene(session):
        await session.send(CHUNKED + b"x\r\n" + GET)
        assert [answer.body for answer in session.answers("PUT")] == [b"bad_framing"]

    run_session(scene)


def test_a_flood_of_connections_is_not_answered():
    """As many again as there may be learn why they are refused; more would be served after all."""

    async def scene(session):
        others = [Session(Echo(), server=session.server, gate=gate) for _ in range(3)]
        await let_others_run()
        assert [other.transport.aborted for other in others] == [False, True, True]
        assert others[0].answers("GET")[0].body == b"queue_full"
        assert [other.received for other in others[1:]] == [b"", b""]
        leave(others[0])

    gate = ConnectionGate(1)
    run_session(scene, gate=gate)
    assert gate.admit_guest() is not None


def test_too_many_connections():
    async def scene(session):
        others = [Session(application, server=session.server, gate=gate) for _ in range(2)]
        await let_others_run()
        assert others[0].received == b""
        (answer,) = others[1].answers("GET")
        assert answer.body == b"queue_full"
        assert isinstance(inbound_of(application.scopes[0]).refusal, QueueFull)
        # It can read the answer, whatever it sent meanwhile.
        await others[1].send(GET + bytes(1_000_000))
        assert others[1].transport.half_closed
        assert not others[1].transport.closing
        assert others[1].transport.kernel == b""
        for one in (others[0], session):
            await one.send(GET)
            assert one.answers("GET")[0].status == 200
        await others[1].end()
        # Who was refused is not counted, only who was let in.
        assert gate.open == 2
        await others[0].end()
        third = Session(application, server=session.server, gate=gate)
        await third.send(GET)
        assert third.answers("GET")[0].status == 200
        await third.end()

    application, gate = Echo(), ConnectionGate(2)
    run_session(scene, application, gate=gate)
    assert gate.open == 0


# -- the client leaves ----------------------------------------------------------------------------


def leave(session):
    session.transport.leave(ConnectionResetError("reset"))


def send_eof(session):
    session.transport.arrive_eof()


both_leavings = pytest.mark.parametrize("leaving", [leave, send_eof], ids=["reset", "end"])


@both_leavings
@pytest.mark.parametrize("data", [b"", b"GET", GET[:-2]], ids=["nothing", "a word", "nearly all"])
def test_gone_before_the_end_of_the_head(leaving, data):
    async def scene(session):
        if data:
            await session.send(data)
        leaving(session)
        await let_others_run()
        assert session.transport.lost
        assert session.received == b""
        assert application.scopes == []
        assert session.server.connections == set()

    application = Echo()
    run_session(scene, application)


@both_leavings
@series("data", [PUT + b"foo", CHUNKED + b"3\r\nfoo\r\n", CHUNKED])
def test_gone_in_the_body(leaving, data):
    async def scene(session):
        await session.send(data)
        leaving(session)
        await let_others_run()
        assert application.messages[-1] == {"type": "http.disconnect"}
        assert session.received == b""
        assert session.transport.lost

    application = Echo()
    run_session(scene, application)


@both_leavings
@pytest.mark.parametrize("data", [GET, PUT + b"foobar"], ids=["GET", "PUT"])
def test_gone_while_the_application_works(leaving, data):
    messages = []

    async def application(_scope, receive, send):
        while not messages or messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())
        await answer_with(send)  # to nobody
        messages.append(await receive())

    async def scene(session):
        await session.send(data)
        assert messages[-1]["more_body"] is False
        leaving(session)
        await let_others_run()
        assert [message["type"] for message in messages[-2:]] == ["http.disconnect"] * 2
        assert session.received == b""

    run_session(scene, application)


def test_gone_with_an_answer_that_it_does_not_read():
    """A transport that closes waits for its bytes to be taken; the request must not wait with it."""

    async def application(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def scene(session):
        await session.send(GET)
        send_eof(session)
        await let_others_run()
        assert session.transport.lost
        assert not session.server.tasks

    run_session(scene, application, takes=10)


def test_bytes_still_held_do_not_hide_that_the_client_has_gone():
    async def scene(session):
        await session.send(PUT + b"foo")
        leave(session)
        await let_others_run()
        application.before.set()
        await let_others_run()
        assert application.messages == [{"type": "http.disconnect"}]

    application = Echo(asyncio.Event())
    run_session(scene, application)


# -- time -----------------------------------------------------------------------------------------


def test_a_connection_without_a_request_is_closed_without_an_answer():
    async def scene(session):
        started = loop_time()
        assert await session.transport.until_over() == b""
        assert loop_time() - started == pytest.approx(30)

    run_session(scene, header_timeout=30)


@pytest.mark.parametrize("drip", [0, 10])
def test_a_slow_head_is_answered(drip):
    async def scene(session):
        started = loop_time()
        await session.send(b"GET / HT")
        while drip and not session.received and loop_time() < started + 100:
            await asyncio.sleep(drip)
            session.transport.arrive(b"x")
        await session.transport.until_received(b"header_timeout")
        assert loop_time() - started == pytest.approx(30, abs=1)
        assert session.answers("GET")[0].body == b"header_timeout"
        assert isinstance(inbound_of(application.scopes[0]).refusal, HeaderTimeout)

    application = Echo()
    run_session(scene, application, header_timeout=30)


def test_an_empty_line_now_and_then_does_not_keep_a_connection():
    async def scene(session):
        started = loop_time()
        while not session.transport.closing and not session.received:
            await asyncio.sleep(20)
            if not session.transport.closing:
                session.transport.arrive(b"\r\n")
        assert loop_time() - started <= 100

    run_session(scene, header_timeout=30)


def test_an_idle_connection_ends():
    async def scene(session):
        await session.send(GET)
        started = loop_time()
        await session.transport.until_over()
        assert loop_time() - started == pytest.approx(75)
        assert len(session.answers("GET")) == 1

    run_session(scene, header_timeout=30, keepalive_timeout=75)


def test_the_next_head_has_its_own_time():
    async def scene(session):
        await session.send(GET)
        await asyncio.sleep(70)
        started = loop_time()
        await session.send(GET[:10])
        await session.transport.until_received(b"header_timeout")
        assert loop_time() - started == pytest.approx(30, abs=1)

    run_session(scene, header_timeout=30, keepalive_timeout=75)


def test_a_request_takes_as_long_as_it_takes():
    """The body's time and the answer's are the application's affair."""

    async def scene(session):
        await session.send(PUT)
        await asyncio.sleep(10_000)
        application.before.set()
        await asyncio.sleep(10_000)
        await session.send(b"foobar")
        assert session.answers("PUT")[0].status == 200

    application = Echo(asyncio.Event())
    run_session(scene, application)


# -- keeping and closing --------------------------------------------------------------------------


@series(
    ("request_", "keeps"),
    [
        (GET, True),
        (GET[:-2] + b"Connection: keep-alive\r\n\r\n", True),
        (GET[:-2] + b"Connection: close\r\n\r\n", False),
        (GET[:-2] + b"Connection: x, Close\r\n\r\n", False),
        (GET.replace(b"1.1", b"1.0"), False),
        (GET.replace(b"1.1", b"1.0")[:-2] + b"Connection: keep-alive\r\n\r\n", False),
    ],
)
def test_who_keeps_the_connection(request_, keeps):
    async def scene(session):
        await session.send(request_)
        (answer,) = session.answers("GET")
        assert ("connection" in answer.headers) is not keeps
        assert session.transport.ended is not keeps
        assert not session.transport.aborted

    run_session(scene)


def test_the_application_closes():
    async def application(_scope, _receive, send):
        await answer_with(send, headers=[(b"content-length", b"2"), (b"connection", b"close")])

    async def scene(session):
        await session.send(GET)
        assert session.received.count(b"connection: close") == 1
        assert session.transport.half_closed

    run_session(scene, application)


@pytest.mark.parametrize("data", [PUT, PUT + b"foo", CHUNKED + b"3\r\nfoo"])
def test_a_body_not_asked_for_ends_the_connection(data):
    """An early answer: readable while the client still sends, as much and as long as it likes."""

    async def application(_scope, _receive, send):
        await answer_with(send, b"no", 401)

    async def scene(session):
        await session.send(data)
        (answer,) = session.answers("PUT")
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert session.transport.half_closed
        for _ in range(10):
            await session.send(bytes(1_000_000))
        assert session.transport.kernel == b"", "what comes is read, or a reset would destroy the answer"
        assert not session.transport.closing
        session.transport.arrive_eof()
        await session.transport.until_over()
        assert not session.transport.reset

    run_session(scene, application)


def test_lingering_has_an_end():
    async def application(_scope, _receive, send):
        await answer_with(send, b"no", 401)

    async def scene(session):
        await session.send(PUT)
        started = loop_time()
        while not session.transport.closing:
            await asyncio.sleep(1)
            if not session.transport.closing:
                session.transport.arrive(b"x")
        assert loop_time() - started == pytest.approx(20, abs=1)
        assert session.transport.aborted

    run_session(scene, application, linger_timeout=20)


CLOSING = GET.replace(b"1.1", b"1.0")
WITHOUT_LENGTH = [(b"content-type", b"image")]


@series(
    ("request_", "times"),
    [
        (CLOSING, {"linger_timeout": 20}),
        (CLOSING, {"linger_timeout": 0}),
        (GET, {"keepalive_timeout": 20}),
        (GET, {"keepalive_timeout": 0}),
    ],
)
def test_an_answer_is_not_cut_while_a_slow_client_takes_it(request_, times):
    """What is left with us after its end is a part of it; of one without a length nobody would miss it."""

    async def application(_scope, _receive, send):
        await answer_with(send, bytes(10_000), headers=WITHOUT_LENGTH)

    async def scene(session):
        await session.send(request_)
        for _ in range(100):
            await asyncio.sleep(1)
            session.transport.take(100)
        if request_ == CLOSING:
            session.transport.arrive_eof()
        await session.transport.until_over()
        assert len(session.answers("GET")[0].body) == 10_000
        assert session.transport.options == [], "it is no cut"

    run_session(scene, application, takes=600, answer=AnswerPace(min_rate=50), **times)


@series("is_half_closed", [False, True])
@series("request_", [GET, CLOSING])
def test_an_answer_that_is_not_taken_to_its_end_is_cut_visibly(request_, *, is_half_closed):
    """Also of a client that has closed its own side: then the transport would wait for it for ever."""

    async def application(_scope, _receive, send):
        await answer_with(send, bytes(10_000), headers=WITHOUT_LENGTH)

    async def scene(session):
        await session.send(request_)
        if is_half_closed:
            session.transport.arrive_eof()
        started = loop_time()
        for _ in range(60):
            await asyncio.sleep(1)
            session.transport.take(100)
        await session.transport.until_over()
        assert loop_time() - started < 60 + 3 * 75
        assert session.transport.options, "a FIN would make a whole answer of it"

    run_session(scene, application, takes=600, answer=AnswerPace(min_rate=50))


@series(("request_", "is_reset"), [(CLOSING, True), (GET, False)])
def test_a_client_that_closes_its_side_sees_that_its_answer_is_cut(request_, *, is_reset):
    """It is taken for gone, and may read on all the same."""

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": WITHOUT_LENGTH})
        await send({"type": "http.response.body", "body": b"half of it", "more_body": True})
        await asyncio.Event().wait()

    async def scene(session):
        await session.send(request_)
        session.transport.arrive_eof()
        await session.transport.until_over()
        assert bool(session.transport.options) is is_reset
        for task in session.server.tasks:
            task.cancel()

    run_session(scene, application)


@series(("takes", "is_reset"), [(600, True), (None, False)])
def test_a_connection_that_the_process_gives_up(takes, *, is_reset):
    async def application(_scope, _receive, send):
        await answer_with(send, bytes(10_000), headers=WITHOUT_LENGTH)

    async def scene(session):
        await session.send(CLOSING)
        session.connection.give_up()
        assert bool(session.transport.options) is is_reset

    run_session(scene, application, takes=takes)


def test_where_the_sending_side_cannot_be_closed_alone():
    async def application(_scope, _receive, send):
        await answer_with(send, b"no", 401)

    async def scene(session):
        await session.send(PUT)
        assert session.answers("PUT")[0].status == 401
        assert session.transport.closing

    run_session(scene, application, can_half_close=False)


def test_what_follows_a_closing_answer_is_read_and_thrown_away():
    async def scene(session):
        await session.send(GET[:-2] + b"Connection: close\r\n\r\n" + GET)
        assert len(session.answers("GET")) == 1
        assert len(application.scopes) == 1
        assert session.transport.half_closed
        assert not session.transport.closing

    application = Echo()
    run_session(scene, application)


# -- slow readers ---------------------------------------------------------------------------------


async def send_much(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5000000")]})
    for _ in range(50):
        sent.append(True)
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


sent = []


def test_a_slow_reader_holds_the_application_back():
    async def scene(session):
        sent.clear()
        await session.send(GET)
        assert len(sent) < 10
        for _ in range(100):
            await asyncio.sleep(50)
            session.transport.take(100_000)
        await let_others_run()
        assert len(sent) == 50
        assert len(session.answers("GET")[0].body) == 5_000_000

    run_session(scene, send_much, takes=0, answer=AnswerPace(idle=60, min_rate=0))


def test_a_client_that_takes_nothing_is_cut_off():
    async def scene(session):
        sent.clear()
        started = loop_time()
        await session.send(GET)
        await session.transport.until_over()
        assert loop_time() - started == pytest.approx(60)
        assert session.transport.aborted

    run_session(scene, send_much, takes=1000, answer=AnswerPace(idle=60, min_rate=0))


def test_a_slow_reader_that_leaves():
    async def scene(session):
        sent.clear()
        await session.send(GET)
        leave(session)
        await let_others_run(100)
        assert session.server.tasks == set()

    run_session(scene, send_much, takes=0)


@pytest.mark.parametrize("can_half_close", [True, False])
def test_what_was_written_arrives_before_the_end(can_half_close):
    headers = [(b"content-length", b"100000"), (b"connection", b"close")]

    async def application(_scope, _receive, send):
        await answer_with(send, bytes(100_000), headers=headers)

    async def scene(session):
        await session.send(GET)
        assert session.transport.ended
        assert not session.transport.lost
        session.transport.take()
        if can_half_close:
            session.transport.arrive_eof()
        await let_others_run()
        assert session.transport.lost
        assert not session.transport.aborted
        assert len(session.answers("GET")[0].body) == 100_000

    run_session(scene, application, takes=10, can_half_close=can_half_close)


# -- applications that fail -----------------------------------------------------------------------


async def raise_at_once(_scope, _receive, _send):
    raise KeyError("a bug")


async def return_at_once(_scope, _receive, _send):
    return


async def cancel_itself(_scope, _receive, _send):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("application", [raise_at_once, return_at_once, cancel_itself])
@pytest.mark.parametrize("data", [GET, PUT, CHUNKED + CHUNKS + GET])
def test_no_answer_at_all(application, data, caplog):
    async def scene(session):
        await session.send(data)
        assert session.received == b""
        assert session.transport.aborted

    run_session(scene, application)
    assert ("a bug" in caplog.text) is (application is raise_at_once)


# -- the end of the server ------------------------------------------------------------------------


def test_shutdown_closes_what_is_idle():
    async def scene(session):
        session.connection.shutdown()
        await let_others_run()
        assert session.transport.lost
        later = Session(Echo())
        await later.send(GET)
        later.connection.shutdown()
        await let_others_run()
        assert later.transport.lost
        assert len(later.answers("GET")) == 1
        await later.end()

    run_session(scene)


@pytest.mark.parametrize("more", [b"", GET], ids=["alone", "pipelined"])
@pytest.mark.parametrize("data", [GET, PUT + b"foobar"], ids=["GET", "PUT"])
def test_shutdown_lets_the_answer_under_way_end(data, more):
    async def scene(session):
        await session.send(data + more)
        session.connection.shutdown()
        await let_others_run()
        assert not session.transport.closing
        application.before.set()
        await let_others_run()
        (answer,) = session.answers("GET")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert session.transport.half_closed
        assert len(application.scopes) == 1

    application = Echo(asyncio.Event())
    run_session(scene, application)


def test_shutdown_in_the_middle_of_an_answer():
    go_on = asyncio.Event()

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"foo", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"bar"})

    async def scene(session):
        await session.send(GET)
        session.connection.shutdown()
        go_on.set()
        await let_others_run()
        assert session.answers("GET")[0].body == b"foobar"
        assert session.transport.half_closed

    run_session(scene, application)


@pytest.mark.parametrize("begun", [False, True])
def test_a_connection_that_retires_ends_with_an_answer_that_says_so(begun):
    go_on = asyncio.Event()

    async def application(_scope, _receive, send):
        if not begun:
            await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"foo", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"bar"})

    async def scene(session):
        await session.send(GET + GET)
        session.connection.retire()
        go_on.set()
        await let_others_run()
        *others, last = session.answers(*["GET"] * (1 + begun))
        assert last.headers["connection"] == "close"
        assert session.transport.half_closed
        assert not any("connection" in answer.headers for answer in others)

    run_session(scene, application)


def test_shutdown_in_the_middle_of_a_head():
    """The application refuses its request, and the client may come again elsewhere."""

    async def refuse(_scope, _receive, send):
        await answer_with(send, headers=[(b"content-length", b"2"), (b"connection", b"close")])

    async def scene(session):
        await session.send(GET[:10])
        session.connection.shutdown()
        assert not session.transport.closing
        await session.send(GET[10:])
        assert session.answers("GET")[0].status == 200
        assert session.transport.half_closed

    run_session(scene, refuse)


def test_a_request_cut_off_by_the_server():
    async def scene(session):
        await session.send(PUT)
        for task in session.server.tasks:
            task.cancel()
        await let_others_run()
        assert session.transport.aborted
        assert session.server.tasks == set()

    run_session(scene)


def test_a_connection_describes_itself():
    async def scene(session):
        assert repr(session.connection) == "<ClientConnection head, 0 bytes held>"
        await session.send(PUT + b"foo")
        assert repr(session.connection) == "<ClientConnection held, 3 bytes held>"
        application.before.set()

    application = Echo(asyncio.Event())
    run_session(scene, application)


def test_connections_are_counted():
    async def scene(session):
        server = session.server
        assert server.connections == {session.connection}
        other = Session(Echo(), server=server)
        assert len(server.connections) == 2
        await other.end()
        assert server.connections == {session.connection}

    run_session(scene, server=ServerState())
