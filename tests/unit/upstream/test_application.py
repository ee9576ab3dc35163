"""Applications in this process: every rule of PEP 3333, every way of ending, and nothing left behind.

Well-behaved applications run under the standard library's validator, so that the server is watched too.
"""

import asyncio
import hashlib
import io
import logging
import sys
import threading

import pytest

from shim.errors import DiskError, ResponseTimeout, UpstreamClosed, UpstreamInvalid, UpstreamRefused
from shim.observe.journal import Phase
from shim.spool.body import Body
from shim.spool.disk import LocalDisk
from shim.upstream.group import Upstream
from shim.upstream.handover import MOST_HELD
from shim.upstream.message import BytesBody
from shim.wire.framing import BodyKind
from tests.fakes.application import (
    LAST_RESORT,
    PLAIN,
    SOON,
    Exchange,
    Gate,
    Seen,
    Timeouts,
    ask,
    request,
    serving,
)
from tests.fakes.descriptors import none_left
from tests.fakes.loops import REAL_LOOPS, let_others_run, run

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)
MEMORY = 1000
LARGE = bytes(range(256)) * 4096


@pytest.fixture(scope="module", autouse=True)
def loops_are_warm():
    """A loop's first run may open what it keeps."""
    for loop in REAL_LOOPS:
        if not loop.marks or not loop.marks[0].args[0]:
            loop.values[0](asyncio.sleep(0))


@pytest.fixture(autouse=True)
def no_descriptor_left(loops_are_warm):
    with none_left():
        yield


def ends(scene, application, *, run=run, **options):
    """Run a scene with a server of an application; at its end no call, thread or descriptor is left."""

    async def whole():
        with serving(application, **options) as server:
            return await scene(server)

    return run(whole())


def answering(*pieces, status="200 OK", headers=()):
    """An application that answers with these pieces."""

    def application(_environ, start_response):
        start_response(status, [*PLAIN, *headers])
        return list(pieces)

    return application


def get_answer(application, message=None, **options):
    return ends(lambda server: ask(server, message), application, **options)


def get_error(application, error, message=None, **options):
    """What asking fails with, and what had come before."""

    async def scene(server):
        made = Exchange(server, message)
        with pytest.raises(error) as raised:
            await made.task
        return raised.value, made

    return ends(scene, application, **{"valid": False, **options})


# -- the request ------------------------------------------------------------------------------------------


def environ_of(message, **options):
    """What the application is told."""
    told = {}

    def application(environ, start_response):
        told.update(environ)
        start_response("200 OK", PLAIN)
        return [b"x"]

    get_answer(application, message, **options)
    return told


def test_environ():
    message = request(
        "PUT",
        b"/image/v2/a%2Fb%C3%A4?limit=%31",
        (b"content-type", b"application/octet-stream"),
        (b"x-auth-token", b"t"),
        (b"x-name", b"one"),
        (b"x-name", b"\xe4"),
        body=BytesBody(b"abc"),
        mount="/image",
        scheme="https",
        remote="10.0.0.1",
        server=("glance.example", 443),
    )
    told = environ_of(message)
    expected = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "/image",
        # The decoded bytes as latin-1: "bytes in disguise" (PEP 3333).
        "PATH_INFO": "/v2/a/b\xc3\xa4",
        "QUERY_STRING": "limit=%31",
        "REQUEST_URI": "/image/v2/a%2Fb%C3%A4?limit=%31",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "glance.example",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": "10.0.0.1",
        "CONTENT_TYPE": "application/octet-stream",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "glance",
        "HTTP_X_AUTH_TOKEN": "t",
        "HTTP_X_NAME": "one, \xe4",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    assert {name: told.get(name) for name in expected} == expected
    assert "HTTP_TRANSFER_ENCODING" not in told
    assert "HTTP_CONTENT_LENGTH" not in told


@pytest.mark.parametrize(
    ("body", "length"),
    [(None, None), (BytesBody(b""), "0"), (BytesBody(b"x"), "1")],
    ids=["no", "empty", "short"],
)
def test_content_length_says_whether_there_is_a_body(body, length):
    assert environ_of(request("POST", body=body)).get("CONTENT_LENGTH") == length


def test_nothing_says_that_input_ends_by_itself():
    """WebOb would take a request without a body for one with a body of unknown length."""
    assert "wsgi.input_terminated" not in environ_of(request())


def test_errors_become_log_lines(caplog):
    def application(environ, start_response):
        errors = environ["wsgi.errors"]
        errors.write("first\nsec")
        errors.writelines(["ond\n", "\n", "rest"])
        errors.flush()
        start_response("200 OK", PLAIN)
        return [b""]

    get_answer(application, request("GET", b"/", (b"x-openstack-request-id", b"req-1")))
    lines = [line for line in caplog.records if line.name == "shim.application"]
    assert [line.message for line in lines] == ["first", "second", "rest"]
    assert lines[0].fields == {"request_id": "req-1"}


# -- the body ---------------------------------------------------------------------------------------------


class Spool:
    """Sealed bodies on a real disk; at the end of the block all are closed."""

    def __init__(self, folder):
        self.disk = LocalDisk(folder)
        self.bodies = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for body in self.bodies:
            await body.close()
        self.disk.close()

    async def body(self, data):
        body = Body(self.disk.create, memory_limit=MEMORY)
        self.bodies.append(body)
        await body.append(data)
        await body.seal()
        return body


def with_spool(tmp_path, scene):
    """A scene that gets a spool before its server."""

    async def whole(server):
        async with Spool(tmp_path) as spool:
            return await scene(server, spool)

    return whole


def upload(body):
    return request("PUT", b"/v2/images/1/file", body=body)


@on_both_loops
@pytest.mark.parametrize("size", [0, 1, MEMORY, MEMORY + 1, len(LARGE)])
def test_the_body_is_read_to_its_end_and_no_further(run, tmp_path, size):
    def application(environ, start_response):
        body = environ["wsgi.input"]
        found.append(body.read(10) + b"".join(iter(lambda: body.read(4096), b"")))
        found.append(body.read(1))
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        return await ask(server, upload(await spool.body(LARGE[:size])))

    found = []
    made = ends(with_spool(tmp_path, scene), application, run=run)
    assert made.status == 204
    assert found == [LARGE[:size], b""]


@pytest.mark.parametrize("size", [MEMORY, len(LARGE)], ids=["memory", "file"])
def test_the_body_can_be_sought_and_read_by_lines(tmp_path, size):
    def application(environ, start_response):
        body = environ["wsgi.input"]
        assert body.seekable()
        assert body.readline() == LARGE[:11]
        assert next(iter(body)) == LARGE[11 : 256 + 11]
        assert body.seek(0, io.SEEK_END) == size
        body.seek(-3, io.SEEK_CUR)
        assert body.read() == LARGE[size - 3 : size]
        assert body.seek(5) == 5
        assert body.read(None) == LARGE[5:size]
        body.seek(0)
        assert b"".join(body.readlines()) == LARGE[:size]
        with pytest.raises(io.UnsupportedOperation):
            body.fileno() if size == MEMORY else body.write(b"x")
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        return await ask(server, upload(await spool.body(LARGE[:size])))

    # The validator's own wrapper hides seek.
    assert ends(with_spool(tmp_path, scene), application, valid=False).status == 204


def test_two_calls_read_one_file_from_its_start_each(tmp_path):
    """As when a request is sent again: the offset is each call's own."""

    def application(environ, start_response):
        body = environ["wsgi.input"]
        first = body.read(300_000)
        both.wait(LAST_RESORT)
        found.append(hashlib.sha512(first + body.read()).digest())
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        body = await spool.body(LARGE)
        await asyncio.gather(ask(server, upload(body)), ask(server, upload(body)))

    both, found = threading.Barrier(2), []
    ends(with_spool(tmp_path, scene), application, valid=False)
    assert found == [hashlib.sha512(LARGE).digest()] * 2


def test_an_application_that_outlives_its_request_never_reads_another_body(tmp_path):
    """The descriptor of the first body is closed, and its number given to the second."""

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/second":
            start_response("204 No Content", [])
            return []
        body = environ["wsgi.input"]
        body.read(10)
        gate.wait()
        try:
            found.set(body.read())
        except ConnectionError as error:
            found.set(error)
            raise
        raise AssertionError("it read on")

    async def scene(server, spool):
        first = await spool.body(LARGE)
        number = first.fileno()
        made = Exchange(server, upload(first))
        await gate.reached()
        await made.cancel()
        await first.close()
        second = await spool.body(LARGE[::-1])
        assert second.fileno() == number
        assert (await ask(server, request("PUT", b"/second", body=second))).status == 204
        gate.open()
        return await found.wait()

    gate, found = Gate(), Seen()
    assert isinstance(ends(with_spool(tmp_path, scene), application, valid=False), ConnectionError)


def test_what_a_finished_request_left_in_its_file_may_still_be_read(tmp_path):
    def application(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
        yield b"ok"
        gate.wait()
        found.set(environ["wsgi.input"].read())

    async def scene(server, spool):
        body = await spool.body(LARGE)
        made = await ask(server, upload(body))
        await gate.reached()
        await body.close()
        gate.open()
        assert await found.wait() == LARGE
        return made

    gate, found = Gate(), Seen()
    assert ends(with_spool(tmp_path, scene), application, valid=False).is_complete


def test_a_body_that_cannot_be_opened():
    class Lost(BytesBody):
        def fileno(self):
            return 99999

    with pytest.raises(DiskError, match="could not open a body for the application: No such file"):
        get_answer(answering(b"x"), upload(Lost(b"abc")))


# -- the answer -------------------------------------------------------------------------------------------


@on_both_loops
def test_an_answer(run):
    made = get_answer(
        answering(b"one", b"", b"two", status="201 Made", headers=[("X-Name", "\xe4 ")]), run=run
    )
    assert (made.status, made.reason, made.body) == (201, b"Made", b"onetwo")
    assert made.headers == ((b"content-type", b"text/plain"), (b"x-name", b"\xe4"))
    assert made.is_complete
    assert made.phases == [Phase.QUEUE, Phase.WAIT]


def test_an_answer_without_a_body():
    made = get_answer(answering(status="200 OK"))
    assert (made.status, made.body, made.is_complete) == (200, b"", True)


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_answer_comes_in_parts(declared):
    """Also where the application gives it all at once."""

    async def scene(server):
        sizes = []
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            expected = BodyKind.LENGTH if declared else BodyKind.UNTIL_CLOSE
            assert response.framing.kind is expected
            async for piece in response.pieces():
                sizes.append(len(piece))
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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
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


@pytest.mark.parametrize("pieces", [[], [b""], [b"1234"], [b"1", b"23"]])
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


# -- start_response and exc_info --------------------------------------------------------------------------


def failing_over(before):
    """An application that finds out after ``before`` that it must answer with an error page."""

    def application(_environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "1000"), ("X-First", "1")])
        yield before
        try:
            raise LookupError("found out late")
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
    assert error.for_operator.endswith("LookupError: found out late.")
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
    "", "200OK", " 200 OK", "20 OK", "2000 OK", "abc", "200 OK\r\nX: 1", "200 \n", "200 \u20ac", b"200 OK", 200, None,
    "100 Continue", "103 Early Hints", "199 Odd", "600 More", "\u0662\u0660\u0660 OK",
]  # fmt: skip


@pytest.mark.parametrize("status", BAD_STATUSES, ids=repr)
def test_a_bad_status(status):
    error, made = get_error(answering(b"x", status=status), UpstreamInvalid)
    assert made.status is None
    assert "status" in error.detail


@pytest.mark.parametrize("status", ["200", "200 ", "200 OK", "299 \xe4\tx", "599 Odd"])
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


@pytest.mark.parametrize("field", BAD_FIELDS, ids=repr)
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


@pytest.mark.parametrize("piece", ["text", bytearray(b"x"), 5, None], ids=repr)
def test_pieces_that_are_no_bytes(piece):
    error, made = get_error(answering(b"first", piece), UpstreamInvalid)
    assert (made.status, made.body) == (200, b"first")
    assert type(piece).__name__ in error.detail


# -- applications that fail -------------------------------------------------------------------------------


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


class Iterable:
    """Pieces with a ``close``, that tells of it; a piece may be an error."""

    def __init__(self, *pieces, on_close=None):
        self.pieces = list(pieces)
        self.closed = []
        self.on_close = on_close

    def __call__(self, _environ, start_response):
        start_response("200 OK", PLAIN)
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece() if callable(piece) else piece

    def close(self):
        self.closed.append(list(self.pieces))
        if self.on_close:
            self.on_close()


@pytest.mark.parametrize(
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


# -- pace -------------------------------------------------------------------------------------------------


def test_a_slow_client_holds_the_application_back():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        for _ in range(100):
            given.append(1)
            yield piece

    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            taken = 0
            async for part in response.pieces():
                taken += len(part)
                # What the pipe holds, and what was taken out of it in one go.
                assert len(given) * len(piece) <= taken + 2 * (MOST_HELD + len(piece))
            return taken

    given, piece = [], bytes(64 * 1024)
    assert ends(scene, application) == 100 * len(piece)


def test_small_pieces_are_joined():
    count = 10_000

    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            # By now all of it may be there, for nobody has taken any.
            await gate.reached()
            gate.open()
            return [len(part) async for part in response.pieces()]

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        for _ in range(count):
            yield b"x"
        gate.wait()

    gate = Gate()
    sizes = ends(scene, application)
    assert sizes == [count]


def test_an_application_that_is_always_ahead_leaves_the_loop_to_others():
    async def scene(server):
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(other())
        async with server.exchange(request(), interim=None, enter=lambda _phase: None) as response:
            parts = [len(part) async for part in response.pieces()]
        beside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beside
        assert turns >= len(parts) / 8

    ends(scene, answering(*[bytes(64 * 1024)] * 200))


# -- timeouts ---------------------------------------------------------------------------------------------


def hanging(gate, *pieces):
    """An application that stops after ``pieces`` until the gate is open."""

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        yield from pieces
        gate.wait()
        yield b"late"

    return application


def fails_while_hanging(gate, application, timeouts):
    """What an exchange ends with whose application hangs; the application goes on only after that."""

    async def scene(server):
        made = Exchange(server, upload(BytesBody(b"abc")))
        with pytest.raises(ResponseTimeout) as raised:
            await made.task
        await gate.reached()
        # It is given up, not ended: its thread is occupied as long as it likes.
        assert server.inflight == 1
        gate.open()
        return raised.value, made

    return ends(scene, application, timeouts=timeouts)


@pytest.mark.parametrize("pieces", [[], [b"", b""]])
def test_no_answer_in_time(pieces):
    gate = Gate()
    error, made = fails_while_hanging(gate, hanging(gate, *pieces), Timeouts(head=SOON))
    assert made.status is None
    assert made.phases == [Phase.QUEUE, Phase.WAIT]
    assert error.detail == "The application gave no answer within 0.02 s."


def test_nothing_more_in_time():
    gate = Gate()
    error, made = fails_while_hanging(gate, hanging(gate, b"half"), Timeouts(idle=SOON))
    assert (made.status, made.is_complete) == (200, False)
    assert error.detail == "The application gave nothing more of its answer for 0.02 s."


def test_the_limit_follows_the_body():
    timeouts = Timeouts()
    get_answer(answering(b"x"), upload(BytesBody(b"abc")), timeouts=timeouts)
    assert timeouts._asked == [3, 3]


def test_all_threads_busy():
    gates = [Gate(), Gate()]

    def application(environ, start_response):
        start_response("200 OK", PLAIN)
        gates[int(environ["PATH_INFO"][1:])].wait()
        return [b"done"]

    async def scene(server):
        first, second = (Exchange(server, request(target=b"/%d" % number)) for number in (0, 1))
        for gate in gates:
            await gate.reached()
        server._timeouts = Timeouts(line=SOON)
        late = Exchange(server)
        with pytest.raises(ResponseTimeout) as raised:
            await late.task
        assert late.phases == [Phase.QUEUE]
        # It left the line: nothing of it is run later.
        assert server.inflight == 2
        for gate in gates:
            gate.open()
        await asyncio.gather(first.task, second.task)
        return raised.value.detail

    detail = ends(scene, application)
    assert detail == (
        "The application did not begin with the request within 0.02 s: all its 2 threads are busy."
    )


# -- order, and giving up ---------------------------------------------------------------------------------


def test_requests_are_begun_in_the_order_they_came():
    def application(environ, start_response):
        order.append(environ["PATH_INFO"])
        if len(order) == 1:
            gate.wait()
        start_response("204 No Content", [])
        return []

    async def scene(server):
        made = [Exchange(server, request(target=b"/%d" % number)) for number in range(10)]
        await gate.reached()
        await made[3].cancel()
        await made[7].cancel()
        gate.open()
        await asyncio.gather(*(one.task for number, one in enumerate(made) if number not in (3, 7)))

    gate, order = Gate(), []
    ends(scene, application, most=1)
    assert order == [f"/{number}" for number in range(10) if number not in (3, 7)]


def test_threads_are_started_as_they_are_needed():
    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        return [threading.current_thread().name.encode()]

    async def scene(server):
        names = set()
        for _ in range(5):
            names.add((await ask(server)).body)
            while server.inflight:
                await asyncio.sleep(0)
        return names

    assert ends(scene, application, most=8) == {b"application-1"}


def test_giving_up_in_line_drops_the_body(tmp_path):
    def application(environ, start_response):
        paths.append(environ["PATH_INFO"])
        gate.wait()
        start_response("204 No Content", [])
        return []

    async def scene(server, spool):
        first = Exchange(server)
        await gate.reached()
        with none_left():
            waiting = Exchange(server, upload(body := await spool.body(LARGE)))
            await let_others_run()
            assert server.inflight == 2
            await waiting.cancel()
            await body.close()
        assert server.inflight == 1
        gate.open()
        await first.task

    gate, paths = Gate(), []
    ends(with_spool(tmp_path, scene), application, most=1)
    assert paths == ["/"]


class Stages:
    """An application that stands still at each stage of a call, and tells how its end looked from inside."""

    def __init__(self):
        self.gates = {stage: Gate() for stage in ("called", "reading", "answering")}
        self.closed = Seen()

    def __call__(self, environ, start_response):
        self.gates["called"].wait()
        environ["wsgi.input"].read(10)
        self.gates["reading"].wait()
        environ["wsgi.input"].read()
        start_response("200 OK", PLAIN)
        return self

    def __iter__(self):
        yield b"x"
        self.gates["answering"].wait()
        while True:
            yield b"x" * 65536

    def close(self):
        self.closed.set()

    def open_until(self, stage):
        for name, gate in self.gates.items():
            if name == stage:
                return
            gate.open()


@on_both_loops
@pytest.mark.parametrize("stage", ["called", "reading", "answering"])
def test_giving_up_at_each_stage(run, tmp_path, stage, caplog):
    async def scene(server, spool):
        application.open_until(stage)
        body = await spool.body(LARGE)
        made = Exchange(server, upload(body))
        await application.gates[stage].reached()
        await made.cancel()
        await body.close()
        assert server.inflight == 1
        application.gates[stage].open()
        application.open_until(None)
        if stage == "answering":
            await application.closed.wait()
        while server.inflight:
            await asyncio.sleep(0)

    application = Stages()
    ends(with_spool(tmp_path, scene), application, run=run, valid=False)
    # Where it was reading, it gets an error as from a socket; what it makes of that is in its own hands.
    assert application.closed.has_happened is (stage == "answering")
    assert "Traceback" not in caplog.text


def test_giving_up_while_the_application_waits_for_the_client():
    async def scene(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None):
            while len(given) * 65536 < MOST_HELD:
                await asyncio.sleep(0)
        await closed.wait()

    def piece():
        given.append(1)
        return bytes(65536)

    given, closed = [], Seen()
    ends(scene, Iterable(*[piece] * 100, on_close=closed.set), valid=False)
    assert len(given) <= MOST_HELD / 65536 + 1


def test_write_tells_that_nobody_is_there():
    def application(_environ, start_response):
        write = start_response("200 OK", PLAIN)
        gate.wait()
        with pytest.raises(ConnectionError) as raised:
            write(b"x")
        told.set(raised.value)
        return []

    async def scene(server):
        made = Exchange(server)
        await gate.reached()
        await made.cancel()
        gate.open()
        await told.wait()

    gate, told = Gate(), Seen()
    ends(scene, application, valid=False)


def test_a_loop_that_has_ended_does_not_matter_to_the_application():
    """At the end of the process: the thread goes on, and nobody listens any more."""

    async def begin(server):
        # What happens where a loop is stopped and closed with a request under way.
        task = asyncio.ensure_future(_hold(server))
        await gate.reached()
        loop.stop()
        return task

    async def _hold(server):
        async with server.exchange(request(), interim=None, enter=lambda _phase: None):
            raise AssertionError("there is no answer yet")

    gate, done = Gate(), Seen()

    def application(_environ, start_response):
        gate.wait()
        start_response("200 OK", PLAIN)
        return Iterable(b"x", on_close=done.set)

    with serving(application, valid=False) as server:
        loop = asyncio.new_event_loop()
        task = loop.create_task(begin(server))
        loop.run_forever()
        gate.open()
        loop2 = asyncio.new_event_loop()
        loop2.run_until_complete(done.wait())
        loop2.run_until_complete(loop2.shutdown_default_executor())
        loop2.close()
        task.result().cancel()
        loop.run_until_complete(asyncio.gather(task.result(), return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


# -- threads ----------------------------------------------------------------------------------------------


def test_no_thread_to_be_had(monkeypatch, tmp_path):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    async def scene(server, spool):
        body = await spool.body(LARGE)
        with monkeypatch.context() as patched, none_left():
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(UpstreamRefused, match="can't start new thread"):
                await ask(server, upload(body))
        assert server.inflight == 0
        return await ask(server, upload(body))

    assert ends(with_spool(tmp_path, scene), answering(b"x"), valid=False).status == 200


def test_threads_do_not_keep_the_process():
    async def scene(server):
        return (await ask(server)).body

    def application(_environ, start_response):
        start_response("200 OK", PLAIN)
        return [b"daemon" if threading.current_thread().daemon else b"no"]

    assert ends(scene, application) == b"daemon"


def test_after_close_it_serves_on():
    """Closing gives back what is kept, as for other servers; a control client does so at its end."""

    async def scene(server):
        upstream = Upstream("default", [server])
        bodies = []
        for _ in range(3):
            bodies.append((await ask(upstream)).body)
            await upstream.close()
        return bodies

    assert ends(scene, answering(b"x")) == [b"x"] * 3


def test_an_idle_thread_keeps_nothing_of_its_last_request():
    import gc
    import weakref

    class Held:
        pass

    def application(environ, start_response):
        environ["held"] = held = Held()
        references.append(weakref.ref(held))
        start_response("200 OK", PLAIN)
        return [b"x"]

    async def scene(server):
        await ask(server)
        while server.inflight:
            await asyncio.sleep(0)
        gc.collect()
        assert references[0]() is None

    references = []
    ends(scene, application, valid=False)


def test_it_describes_itself():
    async def scene(server):
        return repr(server)

    assert ends(scene, answering()) == (
        "<ApplicationServer wsgi:tests.made:application, 0 in flight, 2 threads>"
    )
