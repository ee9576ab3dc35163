"""One exchange on one connection: answers of every shape, early, late, cut anywhere, or no HTTP at all."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import (
    BadFraming,
    ClientGone,
    DiskError,
    ResponseTimeout,
    SendTimeout,
    ServerKeptWaiting,
    ShimError,
    SizeMismatch,
    UpstreamClosed,
    UpstreamInvalid,
)
from shim.observe.journal import Phase
from shim.proxy.growing import GrowingBody
from shim.spool.body import Body
from shim.timing import finish
from shim.upstream.address import parse_upstream
from shim.upstream.answer import MAX_RESPONSE_HEAD
from shim.upstream.connection import Connection
from shim.upstream.message import BytesBody, UpstreamRequest, UpstreamTimeouts
from shim.upstream.request_sender import SEND_SIZE
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.fakes.stream import EOF, FakeStream, FileTakingStream, Pause, Sent, Whole, answer
from tests.support.examples import examples
from tests.support.series import series

HTTP = parse_upstream("http://glance:9292")
UWSGI = parse_upstream("uwsgi://glance:3031")
RESET = UpstreamClosed("The connection to the upstream broke: Connection reset by peer.")
TIMEOUTS = UpstreamTimeouts(send=60, response=300, response_idle=30)
LARGE = 3 * SEND_SIZE


def get(method="GET"):
    return UpstreamRequest(method, b"/v2/images", [(b"host", b"glance")])


def put(body=b"foobar"):
    source = BytesBody(body) if isinstance(body, bytes) else body
    return UpstreamRequest("PUT", b"/v2/images/1/file", [(b"host", b"glance")], source)


class Talk:
    """A connection over a scripted stream, and what came of an exchange on it."""

    def __init__(self, stream, address=HTTP, timeouts=TIMEOUTS):
        self.stream = stream
        self.address = address
        self.connection = Connection(stream, address, timeouts)
        self.phases = []
        self.interim = []
        self.body = b""

    async def ask(self, request, *, keep_alive=True, **options):
        """Only up to the answer's head."""
        head = request.encode_head(self.address.protocol, keep_alive=keep_alive)
        options.setdefault("interim", self._take_interim)
        response = await self.connection.exchange(
            request, head, keep_alive=keep_alive, enter=self.phases.append, **options
        )
        assert not self.stream.is_busy, "a task still works on the connection"
        return response

    async def exchange(self, request, **options):
        """To the end of the answer; its body is in ``body``."""
        response = await self.ask(request, **options)
        await read_out(self, response)
        return response

    async def _take_interim(self, head):
        self.interim.append(head.status)


def whole(request):
    """The script's step that waits until all of the request was sent."""
    return Sent(len(request.encode_head(HTTP.protocol, keep_alive=True)) + request.length)


async def read_out(talk, response):
    """Read the answer's body to its end."""
    async for piece in response.pieces():
        talk.body += piece


async def fail(talk, error, request, match=None):
    """The exchange fails so, and nothing works on the connection afterwards."""
    with pytest.raises(error, match=match) as fault:
        await talk.exchange(request)
    assert not talk.stream.is_busy
    talk.connection.close()
    return fault.value


# -- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An answer, and what is made of it."""

    name: str
    data: bytes
    body: bytes
    status: int = 200
    method: str = "GET"
    reusable: bool = True
    ends_by_close: bool = False

    def __str__(self):
        return self.name


CHUNKS = b"3\r\nfoo\r\n3;name=value\r\nbar\r\n0\r\n"
ANSWERS = [
    Case("length", answer(200, b"foobar"), b"foobar"),
    Case("empty", answer(201, b""), b"", 201),
    Case("chunked", answer(200, CHUNKS + b"\r\n", framing=b"Transfer-Encoding: chunked"), b"foobar"),
    Case(
        "trailers",
        answer(200, CHUNKS + b"X-Checksum: 5\r\n\r\n", framing=b"Transfer-Encoding: chunked"),
        b"foobar",
    ),
    Case("no chunks", answer(200, b"0\r\n\r\n", framing=b"Transfer-Encoding: chunked"), b""),
    Case("204", answer(204, b"", framing=b""), b"", 204),
    Case("204 of no length", answer(204, b"", framing=b"Content-Length: 00"), b"", 204),
    # What it announces may come behind it, and would be the next answer.
    Case("204 with a length", answer(204, b"", framing=b"Content-Length: 50"), b"", 204, reusable=False),
    Case("204, chunked", answer(204, b"", framing=b"Transfer-Encoding: chunked"), b"", 204, reusable=False),
    Case("304", answer(304, b"", framing=b"Content-Length: 5"), b"", 304),
    Case("HEAD", answer(200, b"", framing=b"Content-Length: 5"), b"", method="HEAD"),
    Case("HEAD, chunked", answer(200, b"", framing=b"Transfer-Encoding: chunked"), b"", method="HEAD"),
    Case("HEAD, neither", answer(200, b"", framing=b""), b"", method="HEAD"),
    Case("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    Case("unknown status", answer(599, b"ok"), b"ok", 599),
    Case("error", answer(404, b"no such image"), b"no such image", 404),
    Case("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, b"ok"), b"ok"),
    Case("hints first", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + answer(200, b"ok"), b"ok"),
    Case("closing", answer(200, b"ok", b"Connection: close"), b"ok", reusable=False),
    Case("closing among others", answer(200, b"ok", b"Connection: x, Close"), b"ok", reusable=False),
    Case("HTTP/1.0", answer(200, b"ok").replace(b"/1.1", b"/1.0"), b"ok", reusable=False),
    Case("until close", answer(200, b"foobar", framing=b""), b"foobar", reusable=False, ends_by_close=True),
]
by_name = series("case", [pytest.param(case, id=str(case)) for case in ANSWERS])


async def check_answer(case, *script, reusable):
    talk = Talk(FakeStream(*script))
    response = await talk.exchange(get(case.method))
    assert (response.status, talk.body) == (case.status, case.body)
    assert response.is_complete
    assert response.leaves_connection_reusable is reusable
    talk.connection.close()
    return talk


@by_name
def test_in_one_piece(case):
    run_leaping(check_answer(case, case.data, *[EOF] * case.ends_by_close, reusable=case.reusable))


@by_name
def test_byte_by_byte(case):
    script = [bytes([byte]) for byte in case.data] + [EOF] * case.ends_by_close
    run_leaping(check_answer(case, *script, reusable=case.reusable))


@series("following", [b"\r\n", b"x", answer()])
@series("case", [pytest.param(case, id=str(case)) for case in ANSWERS if not case.ends_by_close])
def test_with_bytes_following(case, following):
    """They belong to no request: dropped, together with the connection."""
    run_leaping(check_answer(case, case.data + following, reusable=False))


@by_name
@series("end", [EOF, RESET])
def test_cut_at_every_byte(case, end):
    """Whatever is missing, it is an error or the complete answer; never less that looks whole."""

    async def cut(position):
        talk = Talk(FakeStream(*([case.data[:position]] if position else []), end))
        try:
            response = await talk.exchange(get(case.method))
        except UpstreamClosed:
            assert case.body.startswith(talk.body)
            whole = position == len(case.data) and not (case.ends_by_close and end is RESET)
            assert not whole
            return
        finally:
            talk.connection.close()
        if case.ends_by_close:
            head_size = case.data.index(b"\r\n\r\n") + 4
            assert end == EOF
            assert position >= head_size
            assert talk.body == case.data[head_size:position]
            return
        assert position == len(case.data)
        assert (response.status, talk.body) == (case.status, case.body)

    async def scene():
        for position in range(len(case.data) + 1):
            await cut(position)

    run_leaping(scene())


@examples(60)
@given(
    body=st.binary(max_size=200),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    pieces=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    cut=st.floats(0, 1),
    chunked=st.booleans(),
)
def test_any_answer_cut_anywhere(body, sizes, pieces, cut, chunked):
    """Any body in any chunks, delivered in any pieces and cut somewhere."""
    if chunked:
        chunks = [piece for piece in split(body, sizes) if piece]
        data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        data = answer(200, data, framing=b"Transfer-Encoding: chunked")
    else:
        data = answer(200, body)
    kept = data[: round(cut * len(data))]

    async def scene():
        talk = Talk(FakeStream(*split(kept, pieces), EOF))
        try:
            await talk.exchange(get())
        except UpstreamClosed:
            assert kept != data
            assert body.startswith(talk.body)
        else:
            assert kept == data
            assert talk.body == body
        talk.connection.close()

    run_leaping(scene())


def split(data, sizes):
    """Pieces of the sizes, again and again."""
    pieces, turn = [], 0
    while data:
        size = sizes[turn % len(sizes)]
        pieces.append(data[:size])
        data, turn = data[size:], turn + 1
    return pieces


INVALID = [
    ("no status line", b"220 mail.example ESMTP\r\n\r\n"),
    ("only bytes", b"\x00\x00\x00\x00\r\n\r\n"),
    ("HTTP/2", b"HTTP/2 200 OK\r\n\r\n"),
    ("no status", b"HTTP/1.1 OK\r\n\r\n"),
    ("status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("status 600", b"HTTP/1.1 600 OK\r\n\r\n"),
    ("two lengths", answer(200, b"ok", b"Content-Length: 2")),
    ("two different lengths", answer(200, b"ok", b"Content-Length: 3")),
    ("a list of lengths", answer(200, b"ok", framing=b"Content-Length: 2, 2")),
    ("no number", answer(200, b"ok", framing=b"Content-Length: 0x2")),
    ("an empty length", answer(200, b"ok", framing=b"Content-Length:")),
    ("length and coding", answer(200, b"2\r\nok\r\n0\r\n\r\n", b"Transfer-Encoding: chunked")),
    ("gzip, chunked", answer(200, b"", framing=b"Transfer-Encoding: gzip, chunked")),
    ("chunked twice", answer(200, b"", framing=b"Transfer-Encoding: chunked, chunked")),
    ("identity", answer(200, b"", framing=b"Transfer-Encoding: identity")),
    ("CR in a header", answer(200, b"ok", b"X-Name: a\rb")),
    ("LF in a header", answer(200, b"ok", b"X-Name: a\nSet-Cookie: b")),
    ("NUL in a header", answer(200, b"ok", b"X-Name: a\x00b")),
    ("NUL in the reason", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"),
    ("LF only", answer(200, b"ok").replace(b"\r\n", b"\n")),
    ("folded", answer(200, b"ok", b"X-Name: a\r\n b")),
    ("space before the colon", answer(200, b"ok", b"X-Name : a")),
    ("no colon", answer(200, b"ok", b"X-Name")),
    ("101", answer(101, b"", b"Upgrade: websocket", framing=b"")),
    ("too large", b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_RESPONSE_HEAD + b"\r\n\r\n"),
    ("without an end", b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_RESPONSE_HEAD),
]


@series("data", [data for _, data in INVALID])
def test_an_invalid_answer(data):
    async def scene():
        await fail(Talk(FakeStream(data)), UpstreamInvalid, get())
        await fail(Talk(FakeStream(data, EOF)), UpstreamInvalid, put())

    run_leaping(scene())


@series(
    "chunks",
    [
        b"x\r\n",
        b"5 \r\nabcde\r\n",
        b"2\r\nokXX",
        b"2\nok\n0\n\n",
        b"-1\r\n",
        b"2\r\nok\r\n0\r\nbad trailer\r\n\r\n",
    ],
)
def test_invalid_chunks(chunks):
    async def scene():
        talk = Talk(FakeStream(answer(200, chunks, framing=b"Transfer-Encoding: chunked")))
        response = await talk.ask(get())
        with pytest.raises(UpstreamInvalid):
            await read_out(talk, response)
        assert not response.is_complete
        assert not response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


# -- interim answers ------------------------------------------------------------------------------


def test_interim_answers():
    async def scene():
        interim = [
            b"HTTP/1.1 %d Interim\r\nLink: </a>\r\n\r\n" % status for status in (100, 103, 102, 103, 100)
        ]
        talk = Talk(FakeStream(*interim, answer(201, b"made")))
        response = await talk.exchange(put())
        assert (response.status, talk.body) == (201, b"made")
        assert talk.interim == [103, 102, 103]
        assert response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


def test_a_continue_does_not_end_the_sending():
    async def scene():
        talk = Talk(FakeStream(b"HTTP/1.1 100 Continue\r\n\r\n", Sent(LARGE), answer()))
        await talk.exchange(put(bytes(LARGE)))
        assert talk.stream.sent.endswith(bytes(LARGE))
        talk.connection.close()

    run_leaping(scene())


def test_only_interim_answers_time_out():
    async def scene():
        script = [step for _ in range(100) for step in (b"HTTP/1.1 103 Wait\r\n\r\n", Pause(10))]
        started = loop_time()
        await fail(Talk(FakeStream(*script)), ResponseTimeout, get())
        assert loop_time() - started == pytest.approx(300)

    run_leaping(scene())


def test_an_interim_answer_that_nobody_can_take():
    async def refuse(_head):
        raise DiskError("a fault of the taker")

    async def scene():
        talk = Talk(FakeStream(b"HTTP/1.1 103 Hints\r\n\r\n", answer()))
        with pytest.raises(DiskError):
            await talk.ask(put(bytes(LARGE)), interim=refuse)
        talk.connection.close()

    run_leaping(scene())


# -- sending --------------------------------------------------------------------------------------


@series(
    ("size", "writes"),
    [
        (None, 1),
        (0, 1),
        (1, 1),
        (SEND_SIZE, 1),
        (SEND_SIZE + 1, 2),
        (LARGE, 3),
    ],
)
def test_what_is_sent(size, writes):
    async def scene():
        request = get() if size is None else put(bytes(size))
        talk = Talk(FakeStream(Sent(size or 1), Pause(1), answer()))
        await talk.exchange(request)
        head = request.encode_head(HTTP.protocol, keep_alive=True)
        assert talk.stream.sent == head + bytes(size or 0)
        assert len(talk.stream.writes) == writes
        assert set(talk.stream.timeouts) == {60}
        assert talk.phases == [Phase.SEND, Phase.WAIT]
        talk.connection.close()

    run_leaping(scene())


class SlowBody:
    """A body of known length that gives its bytes in small pieces, each after a while."""

    is_whole = False
    in_file = 0
    in_memory = None

    def __init__(self, length, step, seconds, *, fails_at=None):
        self.length = length
        self._step = step
        self._seconds = seconds
        self._fails_at = fails_at

    async def wait(self, offset):
        if self._fails_at is not None and offset >= self._fails_at:
            raise DiskError("The spool could not read a body back: Input/output error.")
        await asyncio.sleep(self._seconds)
        return offset < self.length

    async def read(self, offset, most):
        return bytes(min(most, self._step, self.length - offset))

    def fileno(self):
        return None


def test_a_body_that_comes_in_small_pieces():
    async def scene():
        request = put(SlowBody(1000, 300, 1))
        talk = Talk(FakeStream(Sent(1000), answer()))
        await talk.exchange(request)
        assert talk.stream.sent == request.encode_head(HTTP.protocol, keep_alive=True) + bytes(1000)
        talk.connection.close()

    run_leaping(scene())


SMALL = {"no body": get(), "a body": put(), "an empty body": put(b""), "the largest": put(bytes(SEND_SIZE))}
SMALL_REQUESTS = pytest.mark.parametrize("request_", SMALL.values(), ids=SMALL)
MUCH = 1 << 30


def encoded(request_):
    head = request_.encode_head(HTTP.protocol, keep_alive=True)
    return head + (b"" if request_.body is None else request_.body._data)


@SMALL_REQUESTS
@pytest.mark.parametrize("at_once", [MUCH, 0, 1, 30], ids=["all", "nothing", "a byte", "a part"])
def test_a_small_request_is_taken_at_once_or_in_parts(request_, at_once):
    async def scene():
        stream = FakeStream(Sent(len(encoded(request_))), answer(201, b"made"), at_once=at_once)
        talk = Talk(stream)
        response = await talk.exchange(request_)
        assert (response.status, talk.body) == (201, b"made")
        assert stream.sent == encoded(request_)
        assert stream.offers == [encoded(request_)]
        assert response.leaves_connection_reusable
        # Sent in parts, the end of the sending and the answer come in the same moment.
        assert talk.phases[: 2 if at_once == MUCH else 1] == [Phase.SEND, Phase.WAIT][: len(talk.phases)]
        talk.connection.close()

    run_leaping(scene())


@SMALL_REQUESTS
@series("taken", [0, 1, 20])
def test_a_pipe_that_breaks_at_once_with_an_answer_to_be_read(request_, taken):
    async def scene():
        talk = Talk(FakeStream(answer(401, b"no"), RESET, breaks_after=taken, at_once=MUCH))
        response = await talk.exchange(request_)
        assert (response.status, talk.body) == (401, b"no")
        assert not response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


@SMALL_REQUESTS
def test_no_answer_to_what_was_taken_at_once(request_):
    async def scene():
        began = loop_time()
        talk = Talk(FakeStream(at_once=MUCH))
        await fail(talk, ResponseTimeout, request_)
        assert loop_time() - began == pytest.approx(TIMEOUTS.response)

    run_leaping(scene())


@SMALL_REQUESTS
def test_cancelled_while_waiting_for_the_answer_to_what_was_taken_at_once(request_):
    async def scene():
        talk = Talk(FakeStream(at_once=MUCH))
        task = asyncio.ensure_future(talk.exchange(request_))
        await let_others_run()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not talk.stream.is_busy
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize("size", [SEND_SIZE + 1, LARGE])
def test_what_is_large_is_not_offered(size):
    async def scene():
        talk = Talk(FakeStream(Whole(), answer(), at_once=MUCH))
        await talk.exchange(put(bytes(size)))
        assert talk.stream.offers == []
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (answer(200, b"foobar"), b"foobar"),
        (answer(204, b"", framing=b""), b""),
        (answer(200, b""), b""),
        (answer(200, b"foo", framing=b"Content-Length: 6"), None),
        (answer(200, b"foobar", framing=b""), None),
        (answer(200, b"3\r\nfoo\r\n0\r\n\r\n", framing=b"Transfer-Encoding: chunked"), None),
    ],
    ids=["length", "204", "empty", "a part", "until close", "chunked"],
)
@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["", "and more"])
def test_a_body_that_came_with_its_head(data, expected, after):
    async def scene():
        talk = Talk(FakeStream(data + after, EOF, at_once=MUCH))
        response = await talk.ask(get())
        if len(after) > 0 and expected is None:
            talk.connection.close()
            return
        assert response.take_whole() == expected
        if expected is not None:
            assert response.is_complete
            assert response.leaves_connection_reusable == (not after)
        talk.connection.close()

    run_leaping(scene())


@series("status", [401, 404, 409, 413, 415, 500])
def test_an_early_answer_ends_the_sending(status):
    async def scene():
        talk = Talk(FakeStream(Sent(SEND_SIZE), answer(status, b"no"), stalls_after=SEND_SIZE + 1000))
        response = await talk.exchange(put(bytes(LARGE)))
        assert (response.status, talk.body) == (status, b"no")
        assert len(talk.stream.sent) == SEND_SIZE + 1000
        # The server still expects the rest of the body there.
        assert not response.leaves_connection_reusable
        assert talk.phases == [Phase.SEND]
        talk.connection.close()

    run_leaping(scene())


def test_an_answer_to_the_head_alone():
    async def scene():
        talk = Talk(FakeStream(answer(401, b"no")))
        response = await talk.exchange(put(SlowBody(1000, 10, 3600)))
        assert response.status == 401
        assert talk.stream.sent == b""
        assert not response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


@series("taken", [0, 10, SEND_SIZE, LARGE - 1])
def test_a_broken_pipe_with_an_answer_to_be_read(taken):
    async def scene():
        talk = Talk(FakeStream(Sent(None), Pause(5), answer(413, b"too large"), RESET, breaks_after=taken))
        response = await talk.exchange(put(bytes(LARGE)))
        assert (response.status, talk.body) == (413, b"too large")
        assert not response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize("end", [EOF, RESET], ids=["end", "reset"])
def test_a_broken_pipe_without_an_answer(end):
    async def scene():
        await fail(Talk(FakeStream(Sent(None), end, breaks_after=10)), UpstreamClosed, put(bytes(LARGE)))

    run_leaping(scene())


def test_a_broken_pipe_and_silence():
    async def scene():
        await fail(Talk(FakeStream(breaks_after=10)), ResponseTimeout, put(bytes(LARGE)))

    run_leaping(scene())


@pytest.mark.parametrize("taken", [0, 10, SEND_SIZE + 10])
def test_no_progress_while_sending(taken):
    async def scene():
        started = loop_time()
        await fail(Talk(FakeStream(stalls_after=taken)), SendTimeout, put(bytes(LARGE)))
        assert loop_time() - started == pytest.approx(60)

    run_leaping(scene())


def test_a_body_that_cannot_be_read():
    async def scene():
        talk = Talk(FakeStream(Sent(LARGE), answer()))
        await fail(talk, DiskError, put(SlowBody(1000, 100, 0, fails_at=300)))
        assert len(talk.stream.sent) < 1000

    run_leaping(scene())


def test_an_answer_that_is_there_wins_over_a_body_that_fails():
    async def scene():
        talk = Talk(FakeStream(answer(401, b"no")))
        response = await talk.exchange(put(SlowBody(1000, 100, 0, fails_at=0)))
        assert response.status == 401
        talk.connection.close()

    run_leaping(scene())


# -- sending what still comes in ------------------------------------------------------------------

BYTES = bytes(position % 251 for position in range(10_000))
# Sometimes: no descriptor is left for the threads at that moment.
BY_BOTH_WAYS = pytest.mark.parametrize(
    "files", [False, True, "sometimes"], ids=["by reading", "by files", "by files, where that can be"]
)


class Upload:
    """A body that comes in, on a disk, and the connection that takes it meanwhile."""

    def __init__(self, *script, files=False, declared=10_000, memory_limit=100, address=HTTP, **options):
        self.disk = FakeDisk()
        self.body = Body(self.disk.create, memory_limit=memory_limit, declared=declared)
        self.stream = FileTakingStream(self.disk, *script, **options)
        self.stream.sends_files = bool(files)
        self.stream.refuses = files == "sometimes"
        self.address = address
        self.connection = Connection(self.stream, address, TIMEOUTS, clock=loop_time)
        self.request = put(GrowingBody(self.body, 30, clock=loop_time))
        self.head = self.request.encode_head(address.protocol, keep_alive=False)

    def start(self):
        """The exchange as a task."""
        return asyncio.ensure_future(self.connection.exchange(self.request, self.head))

    async def receive(self, *steps):
        """What comes of the client: bytes, or seconds that pass before more."""
        for step in steps:
            if isinstance(step, bytes):
                await self.body.append(step)
            else:
                await asyncio.sleep(step)

    @property
    def sent(self):
        """Of the body, as it stands on the wire."""
        assert self.stream.sent.startswith(self.head)
        return self.stream.sent[len(self.head) :]

    async def end(self):
        self.connection.close()
        await self.body.close()
        assert self.disk.open_files == 0


@BY_BOTH_WAYS
@series("address", [HTTP, UWSGI])
@pytest.mark.parametrize("memory_limit", [0, 100, 20_000], ids=["file", "both", "memory"])
def test_a_body_is_sent_as_it_comes_but_for_its_last_byte(address, memory_limit, files):
    async def scene():
        upload = Upload(Whole(), answer(), files=files, memory_limit=memory_limit, address=address)
        exchange = upload.start()
        for start in range(0, len(BYTES), 1000):
            await upload.receive(BYTES[start : start + 1000], 1)
            assert upload.sent == BYTES[: min(start + 1000, len(BYTES) - 1)]
        await asyncio.sleep(5)
        assert len(upload.sent) == len(BYTES) - 1
        await upload.body.seal()
        assert (await exchange).status == 200
        assert upload.sent == BYTES
        if files != "sometimes":
            assert bool(upload.stream.parts) == (files and memory_limit < len(BYTES))
        await upload.end()

    run_leaping(scene())


@BY_BOTH_WAYS
def test_files_and_memory_take_turns(files):
    """What is not in the file yet goes from memory; what was sent is never sent again from the other."""

    async def scene():
        upload = Upload(Whole(), answer(), files=files)
        exchange = upload.start()
        for start in range(0, len(BYTES), 10):
            await upload.receive(BYTES[start : start + 10])
            await let_others_run(start % 7)
        await upload.body.seal()
        await exchange
        assert upload.sent == BYTES
        await upload.end()

    run_leaping(scene())


@BY_BOTH_WAYS
@series("error", [BadFraming("malformed"), ClientGone("gone"), SizeMismatch("too long")])
def test_a_body_that_fails_is_never_sent_whole(error, files):
    async def scene():
        upload = Upload(Sent(len(BYTES) - 1), Pause(1), EOF, files=files)
        exchange = upload.start()
        await upload.receive(BYTES, 0.5)
        upload.body.fail(error)
        with pytest.raises(type(error)) as raised:
            await exchange
        assert raised.value is error
        assert upload.sent == BYTES[:-1]
        assert not upload.stream.is_busy
        await upload.end()

    run_leaping(scene())


@BY_BOTH_WAYS
def test_a_client_that_keeps_the_server_waiting(files):
    async def scene():
        upload = Upload(files=files)
        exchange = upload.start()
        await upload.receive(BYTES[:500])
        began = loop_time()
        with pytest.raises(ServerKeptWaiting):
            await exchange
        assert loop_time() - began == pytest.approx(30)
        assert upload.sent == BYTES[:500]
        await upload.end()

    run_leaping(scene())


@BY_BOTH_WAYS
def test_the_servers_own_slowness_is_not_the_clients(files):
    """It takes ten seconds for each piece; the client is never behind."""

    async def scene():
        upload = Upload(Whole(), answer(), files=files, seconds=10)
        exchange = upload.start()
        for start in range(0, len(BYTES), 1000):
            await upload.receive(BYTES[start : start + 1000], 9)
        await upload.body.seal()
        assert (await exchange).status == 200
        await upload.end()

    run_leaping(scene())


@BY_BOTH_WAYS
@pytest.mark.parametrize("pause", [0, 2, 10], ids=["a fast client", "a slow client", "mostly waited for"])
def test_what_is_learnt_of_a_server_is_how_fast_it_takes(pause, files):
    """Not how fast its client sends; and nothing, where it had little to do but to wait."""

    async def scene():
        upload = Upload(Whole(), answer(), files=files, memory_limit=0, seconds=3)
        assert upload.connection.drained == (0, 0.0)
        exchange = upload.start()
        await upload.receive(BYTES[:5000], pause, BYTES[5000:-1], pause, BYTES[-1:])
        await upload.body.seal()
        await exchange
        busy = 3 * len(upload.stream.writes)
        learnt = (len(BYTES), pytest.approx(busy)) if 2 * pause <= busy else (0, 0.0)
        assert upload.connection.drained == learnt
        await upload.end()

    run_leaping(scene())


def test_nothing_is_learnt_of_a_body_that_was_not_taken_whole():
    async def scene():
        upload = Upload(Sent(300), answer(409), seconds=3)
        exchange = upload.start()
        await upload.receive(BYTES[:500])
        assert (await exchange).status == 409
        assert upload.connection.drained == (0, 0.0)
        await upload.end()

    run_leaping(scene())


@pytest.mark.parametrize("declared", [1, 2])
def test_the_shortest_bodies(declared):
    async def scene():
        upload = Upload(Whole(), answer(), declared=declared)
        exchange = upload.start()
        await upload.receive(BYTES[:declared], 5)
        assert upload.stream.sent in (b"", upload.head + BYTES[: declared - 1])
        await upload.body.seal()
        assert (await exchange).status == 200
        assert upload.sent == BYTES[:declared]
        await upload.end()

    run_leaping(scene())


def unchunked(data):
    """The body that chunks carry, and whether its last chunk is there."""
    body = b""
    while data and not data.startswith(b"0\r\n"):
        size, _, rest = data.partition(b"\r\n")
        piece, end = rest[: int(size, 16)], rest[int(size, 16) :][:2]
        assert (len(piece), end) == (int(size, 16), b"\r\n")
        body, data = body + piece, rest[len(piece) + 2 :]
    assert data in (b"", b"0\r\n\r\n")
    return body, bool(data)


@BY_BOTH_WAYS
def test_a_body_of_unknown_length_goes_in_chunks(files):
    async def scene():
        upload = Upload(Pause(60), answer(), files=files, declared=None)
        assert b"\r\ntransfer-encoding: chunked\r\n" in upload.head
        assert b"content-length" not in upload.head
        exchange = upload.start()
        await let_others_run()
        assert upload.sent == b""  # the head did not wait for the body
        for start in range(0, len(BYTES), 1000):
            await upload.receive(BYTES[start : start + 1000], 1)
            assert unchunked(upload.sent) == (BYTES[: start + 1000], False)
        await upload.body.seal()
        await exchange
        assert unchunked(upload.sent) == (BYTES, True)
        await upload.end()

    run_leaping(scene())


def test_chunks_of_a_body_that_fails_have_no_end():
    async def scene():
        upload = Upload(declared=None)
        exchange = upload.start()
        await upload.receive(BYTES, 1)
        upload.body.fail(ClientGone("gone"))
        with pytest.raises(ClientGone):
            await exchange
        assert unchunked(upload.sent) == (BYTES, False)
        await upload.end()

    run_leaping(scene())


@series("turns", [None, *range(8)])
def test_a_body_that_ends_under_way_stays_as_its_head_announced_it(turns):
    """Its length is known by then, also before the first byte goes out; the head has said that it is not."""

    async def scene():
        upload = Upload(Pause(60), answer(), declared=None)
        exchange = None
        if turns is not None:
            exchange = upload.start()
            await let_others_run(turns)
        await upload.receive(BYTES)
        await upload.body.seal()
        await (exchange or upload.start())
        assert unchunked(upload.sent) == (BYTES, True)
        await upload.end()

    run_leaping(scene())


# -- no answer ------------------------------------------------------------------------------------


@series(
    ("address", "request_", "script", "words"),
    [
        (HTTP, get(), [EOF], "without an answer.$"),
        (HTTP, put(), [EOF], "without an answer.$"),
        (UWSGI, get(), [EOF], "buffer-size"),
        (UWSGI, put(), [EOF], "buffer-size"),
        (HTTP, get(), [b"HTTP/1.1 2", EOF], "in the middle of its answer's head"),
        (UWSGI, get(), [b"HTTP/1.1 200 OK\r\n", EOF], "in the middle of its answer's head"),
        (HTTP, get(), [b"HTTP/1.1 100 Continue\r\n\r\n", EOF], "in the middle of its answer's head"),
        # A server that closes with the request unread resets, and means the same.
        (HTTP, get(), [RESET], "without an answer.$"),
        (UWSGI, get(), [RESET], "buffer-size"),
        (HTTP, get(), [b"HTTP", RESET], "in the middle of its answer's head"),
        (HTTP, put(bytes(LARGE)), [Sent(SEND_SIZE), EOF], "without an answer"),
    ],
)
def test_closed_without_an_answer(address, request_, script, words):
    async def scene():
        await fail(Talk(FakeStream(*script), address), UpstreamClosed, request_, match=words)

    run_leaping(scene())


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [0, 1, 299])
def test_the_time_to_answer_does_not_count_the_sending(pause):
    async def scene():
        request = put(SlowBody(10_000, 10, 2))
        talk = Talk(FakeStream(whole(request), Pause(pause), answer()))
        started = loop_time()
        await talk.exchange(request)
        assert loop_time() - started == pytest.approx(2000 + pause)
        talk.connection.close()

    run_leaping(scene())


def test_silence_is_measured_from_the_last_byte_sent():
    async def scene():
        request = put(SlowBody(10_000, 10, 2))
        talk = Talk(FakeStream(whole(request), Pause(301), answer()))
        started = loop_time()
        await fail(talk, ResponseTimeout, request, match="300 s after the request")
        assert loop_time() - started == pytest.approx(2300)
        assert talk.phases == [Phase.SEND, Phase.WAIT]

    run_leaping(scene())


def test_a_head_that_never_ends_times_out():
    async def scene():
        script = [step for _ in range(1000) for step in (b"HTTP/1.1 200 O"[:1], Pause(10))]
        started = loop_time()
        await fail(Talk(FakeStream(*script)), ResponseTimeout, get())
        assert loop_time() - started == pytest.approx(300)

    run_leaping(scene())


def test_a_large_body_buys_time(monkeypatch):
    monkeypatch.setattr("shim.upstream.message.RESPONSE_RATE", 10)

    async def scene():
        for pause, error in ((699, None), (701, ResponseTimeout)):
            request = put(bytes(1000))
            talk = Talk(FakeStream(whole(request), Pause(pause), answer()), timeouts=UpstreamTimeouts())
            if error is None:
                await talk.exchange(request)
                talk.connection.close()
            else:
                await fail(talk, error, request, match="700 s")

    run_leaping(scene())


def test_a_large_stream_buys_time_too(monkeypatch):
    monkeypatch.setattr("shim.upstream.message.RESPONSE_RATE", 10)

    async def scene():
        for pause, error in ((699, None), (701, ResponseTimeout)):
            body = Body(FakeDisk().create, memory_limit=1000)
            request = put(GrowingBody(body, 30, clock=loop_time))
            assert request.length is None
            await body.append(bytes(1000))
            await body.seal()
            stream = FakeStream(Whole(), Pause(pause), answer())
            talk = Talk(stream, timeouts=UpstreamTimeouts())
            if error is None:
                await talk.exchange(request)
                talk.connection.close()
            else:
                await fail(talk, error, request, match="700 s")
            await body.close()

    run_leaping(scene())


@pytest.mark.parametrize(
    "framing", [None, b"", b"Transfer-Encoding: chunked"], ids=["length", "close", "chunked"]
)
def test_the_answer_falls_silent(framing):
    async def scene():
        data = answer(200, b"", framing=framing or b"Content-Length: 1000" if framing != b"" else b"")
        slow = [step for _ in range(10) for step in (Pause(29), b"2\r\nok\r\n")]
        talk = Talk(FakeStream(data, *slow, Pause(31), b"late"))
        response = await talk.ask(get())
        started = loop_time()
        with pytest.raises(ResponseTimeout, match="nothing more of its answer for 30 s"):
            await read_out(talk, response)
        assert loop_time() - started == pytest.approx(10 * 29 + 30)
        assert not response.leaves_connection_reusable
        assert talk.body
        talk.connection.close()

    run_leaping(scene())


def test_a_slow_reader_is_not_the_servers_silence():
    async def scene():
        talk = Talk(FakeStream(answer(200, b"", framing=b"Content-Length: 6"), b"foo", b"bar"))
        response = await talk.ask(get())
        async for piece in response.pieces():
            talk.body += piece
            await asyncio.sleep(1000)
        assert talk.body == b"foobar"
        talk.connection.close()

    run_leaping(scene())


# -- reuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "keep_alive", "reusable"), [(HTTP, True, True), (HTTP, False, False), (UWSGI, True, False)]
)
def test_who_wants_the_connection_again(address, keep_alive, reusable):
    async def scene():
        talk = Talk(FakeStream(answer()), address)
        response = await talk.exchange(get(), keep_alive=keep_alive)
        assert response.leaves_connection_reusable is reusable
        talk.connection.close()

    run_leaping(scene())


def test_a_connection_is_used_again_with_a_clear_head():
    async def scene():
        stream = FakeStream(
            answer(200, b"one"), Sent(200), answer(200, b"", framing=b"Content-Length: 3"), b"two"
        )
        talk = Talk(stream)
        assert (await talk.exchange(get())).leaves_connection_reusable
        assert talk.connection.is_alive()
        assert (await talk.exchange(put(bytes(200)))).leaves_connection_reusable
        assert talk.body == b"onetwo"
        assert talk.connection.exchanges == 2
        assert repr(talk.connection) == "<Connection to http://glance:9292, 2 exchanges>"
        talk.connection.close()

    run_leaping(scene())


def test_an_unread_answer_is_no_reusable_one():
    async def scene():
        talk = Talk(FakeStream(answer(200, b"foobar")))
        response = await talk.ask(get())
        assert not response.is_complete
        assert not response.leaves_connection_reusable
        pieces = response.pieces()
        assert await anext(pieces) == b"foobar"
        await pieces.aclose()
        assert not response.leaves_connection_reusable
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize("step", [EOF, b"x", RESET], ids=["end", "bytes", "reset"])
def test_an_idle_connection_with_news_is_not_alive(step):
    async def scene():
        talk = Talk(FakeStream(answer(), step))
        await talk.exchange(get())
        assert not talk.connection.is_alive()
        talk.connection.close()

    run_leaping(scene())


# -- cancellation ---------------------------------------------------------------------------------


class StubbornBody:
    """A body whose reads, as those of a slow disk, are over only when they are over."""

    is_whole = False
    in_file = 0
    in_memory = None

    def __init__(self, length):
        self.length = length
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()

    async def wait(self, offset):
        return offset < self.length

    async def read(self, offset, most):
        self.reading.set()
        await finish(self.go_on.wait())
        return bytes(min(most, self.length - offset))

    def fileno(self):
        return None


async def cancel(task, times=1):
    for _ in range(times):
        task.cancel()
        await let_others_run(30)


@pytest.mark.parametrize(
    "stream",
    [{"stalls_after": 0}, {"stalls_after": 1000}, {}, {"breaks_after": 0}],
    ids=["head", "body", "waiting", "broken"],
)
def test_cancelled_at_any_time(stream):
    async def scene():
        talk = Talk(FakeStream(**stream))
        task = asyncio.ensure_future(talk.exchange(put(bytes(LARGE))))
        await let_others_run(30)
        assert not task.done()
        await cancel(task)
        assert task.cancelled()
        talk.connection.close()

    run_leaping(scene())


def test_cancelled_in_the_middle_of_the_answer():
    async def scene():
        talk = Talk(FakeStream(answer(200, b"fo", framing=b"Content-Length: 6")))
        task = asyncio.ensure_future(talk.exchange(get()))
        await let_others_run(30)
        assert talk.body == b"fo"
        await cancel(task)
        assert task.cancelled()
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize("times", [1, 2, 3])
def test_cancelled_while_the_disk_is_slow(times):
    """No task may stay behind: it would read from a descriptor that is somebody else's by then."""

    async def scene():
        talk = Talk(FakeStream())
        body = StubbornBody(10)
        task = asyncio.ensure_future(talk.exchange(put(body)))
        await body.reading.wait()
        await cancel(task, times)
        assert not task.done(), "the disk's call is not over"
        body.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        talk.connection.close()

    run_leaping(scene())


@pytest.mark.parametrize("end", [EOF, answer(401)], ids=["failure", "answer"])
def test_cancelled_while_an_exchange_that_is_over_waits_for_the_disk(end):
    async def scene():
        talk = Talk(FakeStream(Pause(1), end))
        body = StubbornBody(10)
        task = asyncio.ensure_future(talk.exchange(put(body)))
        await body.reading.wait()
        await asyncio.sleep(2)
        await cancel(task, 2)
        body.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        talk.connection.close()

    run_leaping(scene())


def test_every_failure_is_one_of_ours():
    for error in (UpstreamClosed, UpstreamInvalid, SendTimeout, ResponseTimeout, DiskError):
        assert issubclass(error, ShimError)
