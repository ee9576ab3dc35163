"""One call of an application: every rule of PEP 3333 for answers, and what becomes of who breaks it."""

import asyncio
import logging
import sys
import threading

import pytest

from shim.errors import UpstreamClosed, UpstreamInvalid
from shim.observe.journal import Phase
from shim.wire.framing import BodyKind
from tests.fakes.application import (
    PLAIN,
    Exchange,
    Gate,
    Iterable,
    Seen,
    answering,
    ask,
    ends,
    get_answer,
    get_error,
    request,
)
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, warm_loops
from tests.support.series import series

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
LARGE = bytes(range(256)) * 4096


@pytest.fixture(scope="module", autouse=True)
def loops_are_warm():
    warm_loops()


@pytest.fixture(autouse=True)
def no_descriptor_left(loops_are_warm):
    with none_left():
        yield


# -- the answer ----------------------------------------------------------------------------------------------


@on_both_loops
def test_an_answer(run):
    made = get_answer(
        answering(b"one", b"", b"two", status="201 Made", headers=[("X-Name", "\xe4 ")]), run=run
    )
    assert (made.status, made.reason, made.body) == (201, b"Made", b"onetwo")
    assert made.headers == ((b"content-type", b"text/plain"), (b"x-name", b"\xe4"))
    assert made.is_complete
    assert made.phases == [Phase.CONNECT, Phase.WAIT]


def test_an_answer_without_a_body():
    made = get_answer(answering(status="200 OK"))
    assert (made.status, made.body, made.is_complete) == (200, b"", True)


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_answer_comes_in_parts(declared):
    """Also where the application gives it all at once."""

    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            expected = BodyKind.LENGTH if declared else BodyKind.UNTIL_CLOSE
            assert response.framing.kind is expected
            sizes = [len(piece) async for piece in response.pieces()]
            assert response.is_complete
        return sizes

    headers = [("Content-Length", str(len(LARGE)))] if declared else []
    sizes = ends(scene, answering(LARGE, headers=headers))
    assert sum(sizes) == len(LARGE)
    assert max(sizes) < len(LARGE)


def test_start_response_may_come_with_the_first_piece():
    def application(_environ, start_response):
        yield b""
        start_response("200 OK", PLAIN)
        yield b"late"

    assert get_answer(application, valid=False).body == b"late"


def test_write():
    def application(_environ, start_response):
        write = start_response("200 OK", PLAIN)
        write(b"one")
        write(b"two")
        return [b"three"]

    assert get_answer(application).body == b"onetwothree"


def test_what_was_written_is_sent_before_the_application_goes_on():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)(b"one")
        gate.wait()
        return [b"two"]

    async def scene(server):
        arrived = asyncio.Event()

        async def relay():
            arrived.set()

        made = Exchange(server, relay=relay)
        await arrived.wait()
        assert made.body == b"one"
        gate.open()
        await made.task
        return made.body

    gate = Gate()
    assert ends(scene, application) == b"onetwo"


@series("method", ["GET", "HEAD"])
@series("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_answers_that_have_no_body(method, status):
    def application(_environ, start_response):
        start_response(status, [("Content-Length", "5")])
        return [b"12345"]

    made = get_answer(application, request(method), valid=False)
    has_body = method == "GET" and status.startswith("200")
    assert made.body == (b"12345" if has_body else b"")
    assert made.is_complete
    assert (b"content-length", b"5") in made.headers


def test_an_answer_to_head_is_not_read_to_its_end():
    """An image, say, of which nobody wants a byte."""

    class Pieces:
        def __iter__(self):
            return self

        def __next__(self):
            taken.append(1)
            return b"x" * 65536

        def close(self):
            closed.set()

    def application(_environ, start_response):
        start_response("200 OK", [("Content-Length", str(1 << 40))])
        return Pieces()

    async def scene(server):
        made = await ask(server, request("HEAD"))
        await closed.wait()
        return made

    taken, closed = [], Seen()
    assert ends(scene, application, valid=False).is_complete
    assert len(taken) == 1


@pytest.mark.parametrize("pieces", [[b"12345678"], [b"12345", b"678"], [b"123", b"45", b"", b"67", b"8"]])
def test_bytes_beyond_the_length_are_dropped(pieces):
    made = get_answer(answering(*pieces, headers=[("Content-Length", "5")]), valid=False)
    assert (made.body, made.is_complete) == (b"12345", True)


def test_write_beyond_the_length_is_dropped_too():
    def application(_environ, start_response):
        write = start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
        write(b"1234567")
        write(b"8")
        return []

    assert get_answer(application, valid=False).body == b"12345"


@series("pieces", [[], [b""], [b"1234"], [b"1", b"23"]])
def test_fewer_bytes_than_the_length_cut_the_answer(pieces):
    error, made = get_error(answering(*pieces, headers=[("Content-Length", "5")]), UpstreamClosed)
    assert (made.status, made.body, made.is_complete) == (200, b"".join(pieces), False)
    assert error.detail == f"The application's answer ended {5 - len(made.body)} bytes before its length."


def test_after_the_last_byte_the_application_goes_on_while_the_client_has_it_all():
    """As Glance does: its notification of a download comes after the last piece."""

    def application(_environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
        yield b"ok"
        gate.wait()
        done.set()

    async def scene(server):
        assert (await ask(server)).is_complete
        await gate.reached()
        assert server.inflight == 1
        gate.open()
        await done.wait()

    gate, done = Gate(), Seen()
    ends(scene, application)


def test_hop_by_hop_fields_stay_here():
    headers = [
        ("Connection", "close"),
        ("Keep-Alive", "1"),
        ("Upgrade", "x"),
        ("Trailer", "x"),
        ("X-Kept", "1"),
    ]
    made = get_answer(answering(b"x", headers=headers), valid=False)
    assert made.headers == ((b"content-type", b"text/plain"), (b"x-kept", b"1"))


# -- start_response and exc_info -----------------------------------------------------------------------------


def failing_over(before):
    """An application that finds out after ``before`` that it must answer with an error page."""

    def application(_environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "1000"), ("X-First", "1")])
        yield before
        try:
            {}["found out late"]
        except LookupError:
            start_response("500 Sorry", PLAIN, sys.exc_info())
        yield b"error page"

    return application


def test_a_head_that_is_not_sent_yet_is_replaced():
    made = get_answer(failing_over(b""), valid=False)
    assert (made.status, made.reason, made.body) == (500, b"Sorry", b"error page")
    assert made.headers == ((b"content-type", b"text/plain"),)


def test_once_the_head_is_sent_the_error_is_raised_anew(caplog):
    error, made = get_error(failing_over(b"sent"), UpstreamClosed)
    assert (made.status, made.body) == (200, b"sent")
    assert error.for_operator.endswith("KeyError: 'found out late'.")
    assert "Traceback" in caplog.text


def test_start_response_twice():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)
        return []

    error, _ = get_error(application, UpstreamInvalid)
    assert error.detail == "The application called start_response twice."


@pytest.mark.parametrize("pieces", [[], [b""], [b"x"]])
def test_no_start_response(pieces):
    error, made = get_error(lambda _environ, _start: pieces, UpstreamInvalid)
    assert made.status is None
    assert "start_response" in error.detail


BAD_STATUSES = [
    *("", "200OK", " 200 OK", "20 OK", "2000 OK", "abc", b"200 OK", 200, None),
    *("200 OK\r\nX: 1", "200 \n", "200 \u20ac", "\u0662\u0660\u0660 OK"),
    *("100 Continue", "103 Early Hints", "199 Odd", "600 More"),
]


@series("status", BAD_STATUSES)
def test_a_bad_status(status):
    error, made = get_error(answering(b"x", status=status), UpstreamInvalid)
    assert made.status is None
    assert "status" in error.detail


@series("status", ["200", "200 ", "200 OK", "299 \xe4\tx", "599 Odd"])
def test_a_good_status(status):
    assert get_answer(answering(b"x", status=status), valid=False).status == int(status[:3])


BAD_FIELDS = [
    ("X-Name", "a\r\nX-Other: 1"),
    ("X-Name", "a\nb"),
    ("X-Name", "a\rb"),
    ("X-Name", "a\0b"),
    ("X-Name", "\x7f"),
    ("X-Name", "\u20ac"),
    ("X-Name", b"a"),
    ("X-Name", 5),
    ("X-Name", None),
    ("", "a"),
    ("X Name", "a"),
    ("X-Name:", "a"),
    ("X-Name\r\nX-Other: 1\r\nX-Third", "a"),
    ("X-N\xe4me", "a"),
    (b"X-Name", "a"),
    ("X-Name",),
    ("X-Name", "a", "b"),
    "X-Name: a",
    None,
    ("Transfer-Encoding", "chunked"),
    ("transfer-encoding", "gzip, chunked"),
    ("Content-Length", "+5"),
    ("Content-Length", "5, 5"),
    ("Content-Length", ""),
    ("Content-Length", "-1"),
    ("Content-Length", "0x10"),
]


@series("field", BAD_FIELDS)
def test_a_bad_field(field):
    error, made = get_error(answering(b"x", headers=[field]), UpstreamInvalid)
    assert made.status is None
    assert made.body == b""
    assert error.code == "upstream_invalid"


def test_two_lengths():
    get_error(answering(b"x", headers=[("Content-Length", "1"), ("content-length", "1")]), UpstreamInvalid)


@pytest.mark.parametrize("headers", [None, 5, [None]], ids=repr)
def test_fields_that_are_no_list(headers):
    def application(_environ, start_response):
        start_response("200 OK", headers)
        return [b"x"]

    assert get_error(application, (UpstreamInvalid, UpstreamClosed))[1].status is None


@series("piece", ["text", bytearray(b"x"), 5, None])
def test_pieces_that_are_no_bytes(piece):
    error, made = get_error(answering(b"first", piece), UpstreamInvalid)
    assert (made.status, made.body) == (200, b"first")
    assert type(piece).__name__ in error.detail


# -- applications that fail ----------------------------------------------------------------------------------


class Odd(BaseException):
    """Not even an Exception."""


FAILURES = [KeyError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Odd("odd"), MemoryError()]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_an_application_that_raises_at_once(failure, caplog):
    def application(_environ, _start_response):
        raise failure

    error, made = get_error(application, UpstreamClosed)
    assert made.status is None
    # What it raised is for the operator; clients need not know.
    assert error.detail == "The application failed before its answer was whole."
    assert type(failure).__name__ in error.for_operator
    (line,) = [line for line in caplog.records if line.name == "shim.application"]
    assert line.levelno == logging.ERROR
    assert line.message == "The application failed: GET /"
    assert line.exc_info[1] is failure


def test_after_any_failure_the_thread_serves_on():
    def application(environ, start_response):
        number = int(environ["PATH_INFO"].removeprefix("/"))
        if number < len(FAILURES):
            raise FAILURES[number]
        start_response("200 OK", PLAIN)
        return [threading.current_thread().name.encode()]

    async def scene(server):
        for number in range(len(FAILURES)):
            with pytest.raises(UpstreamClosed):
                await ask(server, request(target=b"/%d" % number))
        return (await ask(server, request(target=b"/99"))).body

    assert ends(scene, application, most=1, valid=False) == b"application-1"


@pytest.mark.parametrize("sent", [b"", b"half"])
def test_an_application_that_raises_midway(sent, caplog):
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        yield sent
        raise LookupError("broke")

    error, made = get_error(application, UpstreamClosed)
    # Nothing was sent before the first byte: such an answer can still become a 502.
    assert made.status == (200 if sent else None)
    assert (made.body, made.is_complete) == (sent, False)
    assert error.for_operator.endswith("LookupError: broke.")
    assert "LookupError: broke" in caplog.text


def test_what_was_given_before_a_failure_is_relayed_first():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        yield from (b"%d" % number for number in range(10))
        raise LookupError("broke")

    _, made = get_error(application, UpstreamClosed)
    assert made.body == b"0123456789"


def test_no_iterable():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)

    error, made = get_error(application, UpstreamClosed)
    assert made.status is None
    assert "TypeError" in error.for_operator


@series(
    ("pieces", "error"),
    [
        ([b"one", b"two"], None),
        ([], None),
        ([LookupError("x")], UpstreamClosed),
        ([b"one", LookupError("x")], UpstreamClosed),
        ([b"one", "text"], UpstreamInvalid),
    ],
)
def test_iterables_are_closed_once(pieces, error):
    application = Iterable(*pieces)
    if error:
        get_error(application, error)
    else:
        get_answer(application, valid=False)
    assert application.closed == [[]]


def test_an_error_in_close_comes_too_late_to_matter(caplog):
    def fail():
        raise LookupError("on closing")

    made = get_answer(Iterable(b"all", on_close=fail), valid=False)
    assert (made.body, made.is_complete) == (b"all", True)
    assert "LookupError: on closing" in caplog.text


def test_the_client_need_not_wait_for_close():
    gate = Gate()

    async def scene(server):
        made = await ask(server)
        await gate.reached()
        gate.open()
        return made

    assert ends(scene, Iterable(b"all", on_close=gate.wait), valid=False).is_complete
