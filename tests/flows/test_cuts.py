"""Cuts at every byte: of what a server answers, of what it takes, and of what a client sends.

Raw bytes in and out, through our own server class over fakes; time leaps, so that a stall costs none. A cut
is seen as one or the answer is whole, a server never has a whole request of a client that was cut, and after
each single place nothing is held.
"""

import asyncio
import http.client
from dataclasses import dataclass

import pytest

from shim.errors import UpstreamClosed
from shim.routes.route import BodyMode
from shim.wire.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk
from tests.fakes.flow import MEMORY
from tests.fakes.loops import let_others_run
from tests.fakes.session import Session, read_answers
from tests.fakes.stream import EOF, FakeStream, Sent, Whole, answer, length_of, split_request

RESET = UpstreamClosed("The connection to the upstream broke: Connection reset by peer.")
ENDS = {"eof": [EOF], "reset": [RESET], "silence": []}

GET = b"GET /v2/images HTTP/1.1\r\nHost: glance\r\n\r\n"
# Longer than what stays in memory, and no part of it like another.
DATA = b"".join(b"%04d" % number for number in range(MEMORY // 4 + 2))
PIECES = [DATA[:60], DATA[60:61], DATA[61:]]
CHUNKS = b"".join(map(encode_chunk, PIECES)) + LAST_CHUNK
PUT = b"PUT /v2/images/1/file HTTP/1.1\r\nHost: glance\r\n"
SMALL = PUT + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
UPLOADS = {
    "chunked": PUT + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunked, size declared": PUT
    + b"Transfer-Encoding: chunked\r\nX-Openstack-Image-Size: %d\r\n\r\n" % len(DATA)
    + CHUNKS,
    "length": PUT + b"Content-Length: %d\r\n\r\n" % len(DATA) + DATA,
}
# Bytes per second of clients and servers: a declared length is forwarded nearly from its beginning on.
RATE = 100
STEP = 20
# Inside a payload one byte is like another: of so many one is tried.
ALIKE = 5

# Spooled, cut through, and streamed; each over one protocol at least.
over_ways = pytest.mark.parametrize(
    ("mode", "upload", "protocol"),
    [
        pytest.param(BodyMode.AUTO, "chunked", "uwsgi", marks=pytest.mark.more),
        (BodyMode.AUTO, "chunked, size declared", "uwsgi"),
        (BodyMode.AUTO, "length", "http"),
        (BodyMode.STREAM, "chunked", "http"),
        pytest.param(BodyMode.STREAM, "length", "uwsgi", marks=pytest.mark.more),
    ],
)


def places_of(request):
    """Where to cut an upload: at all bytes of its framing, and some of its payload, which are told apart."""
    framing, payload, end = [], [], request.index(b"\r\n\r\n")
    for piece in PIECES:
        start = request.index(piece, end)
        framing += range(end, start)
        payload += range(start, start + len(piece))
        end = start + len(piece)
    return [*framing, *range(end, len(request))], payload[::ALIKE]


def at_every_place(run_flow, places, one_place, **options):
    """Run a scene for each place, in one flow, and see that each gives back all that it took."""

    async def scene(flow):
        for place in places:
            try:
                await one_place(flow, place)
                await let_others_run()
                await flow.check_nothing_is_held()
            except BaseException as failure:
                failure.add_note(f"at byte {place}")
                raise
            flow.network.forget()

    run_flow(scene, **options)


async def talk(flow, request, *outcomes):
    """Send a request, and wait until it is over; the session, whose client is still there."""
    flow.network.add(outcomes)
    session = Session(flow.application)
    await send(session, request)
    while session.server.tasks:
        await next(iter(session.server.tasks))
    return session


async def send(session, data):
    """Bytes at ``RATE`` where there is a body: of what comes at once nobody knows how fast it comes."""
    head, end, body = data.partition(b"\r\n\r\n")
    for piece in (head + end, *(body[start : start + STEP] for start in range(0, len(body), STEP))):
        if piece:
            session.transport.arrive(piece)
            # The clock leaps when nobody has anything left to do.
            await asyncio.sleep(STEP / RATE)


def told(session, method):
    """The whole answer that a client got; None where it was cut, which the connection's end must show."""
    try:
        return read_answers(session.received.removeprefix(HINTS), method)[0]
    except (http.client.IncompleteRead, http.client.BadStatusLine):
        assert session.transport.ended
        return None


def is_whole(sent):
    """Whether a server may take what it was sent for a request with all of its body."""
    head, body = split_request(sent)
    if not head:
        return False
    length = length_of(head)
    if length is None:
        return b"transfer-encoding: chunked" not in head or body.endswith(LAST_CHUNK)
    return len(body) >= length


def payload_of(sent):
    """The body that a server would read."""
    head, body = split_request(sent)
    if length_of(head) is not None:
        return body
    return b"".join(map(bytes, ChunkedDecoder().decode(memoryview(body)).payload))


# -- what a server answers ------------------------------------------------------------------------

BODY = b"0123456789" * 3
# As they reach the client: Python's own one knows no interim answer but 100.
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """A server's answer, and where its head ends."""

    data: bytes
    head: int
    body: bytes = BODY


def answer_of(body=BODY, *, before=b"", framing=None, encoded=BODY):
    head = before + answer(200 if body else 204, b"", framing=framing)
    return Answer(head + encoded, len(head), body)


ANSWERS = {
    "length": answer_of(framing=b"Content-Length: %d" % len(BODY)),
    "chunked": answer_of(
        framing=b"Transfer-Encoding: chunked",
        encoded=encode_chunk(BODY[:7]) + encode_chunk(BODY[7:]) + b"0\r\nX-Trailer: 1\r\n\r\n",
    ),
    "until close": answer_of(framing=b""),
    "after interim ones": answer_of(before=INTERIM, framing=b"Content-Length: %d" % len(BODY)),
    "no body": answer_of(b"", framing=b"", encoded=b""),
}


@pytest.mark.parametrize(
    ("request_", "protocol"),
    [
        pytest.param(GET, "http", id="GET-http"),
        pytest.param(SMALL, "uwsgi", id="PUT-uwsgi", marks=pytest.mark.more),
    ],
)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_that_ends_anywhere(run_flow, form, end, request_, protocol):
    given = ANSWERS[form]

    async def one_place(flow, place):
        script = [given.data[:place], *ENDS[end]] if place else ENDS[end]
        stream = FakeStream(Whole(), *script)
        session = await talk(flow, request_, stream)
        got = told(session, request_[:3].decode())
        if place < given.head:
            assert got.status == (504 if end == "silence" else 502)
        elif form == "until close" and end == "eof":
            # Nobody can tell: such an answer ends where its connection does.
            assert got.body == BODY[: place - given.head]
        elif place < len(given.data) or form == "until close":
            assert got is None
        else:
            assert got.body == given.body
        assert is_whole(stream.sent)
        await session.end()

    at_every_place(run_flow, range(len(given.data) + 1), one_place, protocol=protocol)


# -- what a server takes --------------------------------------------------------------------------

EARLY = answer(403, b"no", b"Connection: close")
TAKERS = {
    "closes": ({"breaks_after"}, [Sent(), EOF], 502),
    "resets": ({"breaks_after"}, [Sent(), RESET], 502),
    "stalls": ({"stalls_after"}, [], 504),
    "answers early and closes": ({"breaks_after"}, [Sent(), EARLY, EOF], 403),
    "answers early and stalls": ({"stalls_after"}, [Sent(), EARLY], 403),
}


@pytest.mark.parametrize(
    ("upload", "protocol"),
    [("chunked", "uwsgi"), pytest.param("length", "http", marks=pytest.mark.more)],
)
@pytest.mark.parametrize("taker", TAKERS)
def test_a_server_that_takes_only_a_part(run_flow, taker, upload, protocol):
    (limit,), script, status = TAKERS[taker]

    async def whole_request(flow, _place):
        stream = FakeStream(Whole(), answer(204, b"", framing=b""), EOF)
        session = await talk(flow, UPLOADS[upload], stream)
        assert told(session, "PUT").status == 204
        sizes.append(len(stream.sent))
        await session.end()

    async def one_place(flow, place):
        stream = FakeStream(*script, **{limit: place})
        session = await talk(flow, UPLOADS[upload], stream)
        assert told(session, "PUT").status == status
        assert len(stream.sent) == place
        assert not is_whole(stream.sent)
        await session.end()

    sizes = []
    at_every_place(run_flow, [0], whole_request, protocol=protocol, drain=RATE)
    (size,) = sizes
    body = size - len(DATA)
    at_every_place(
        run_flow,
        [*range(0, body, 37), *range(body - 4, size, ALIKE), size - 1],
        one_place,
        protocol=protocol,
        drain=RATE,
    )


# -- what a client sends --------------------------------------------------------------------------


async def reset(session):
    session.transport.leave(ConnectionResetError("reset by peer"))


async def finish(session):
    session.transport.arrive_eof()


async def stay(session):
    """Say nothing more, until the shim has had enough; what it then says is no success."""
    await session.transport.until_over()
    assert not session.received or told(session, "PUT").status == 408


@over_ways
@pytest.mark.parametrize("end", [reset, finish, stay])
def test_a_client_that_ends_anywhere(run_flow, end, mode, upload, protocol):
    request = UPLOADS[upload]
    begun = []

    async def one_place(flow, place):
        flow.network.add([FakeStream()])
        session = Session(flow.application)
        await send(session, request[:place])
        await end(session)
        await session.end()
        assert not any(map(is_whole, flow.sent))
        begun.append(any(flow.sent))

    framing, payload = places_of(request)
    places = [*range(0, framing[0], 19), *framing, *payload]
    at_every_place(run_flow, places, one_place, protocol=protocol, body=mode, drain=RATE)
    # Where it is not spooled, the server has seen the beginnings of most.
    assert any(begun) is (mode is BodyMode.STREAM or upload != "chunked")


@over_ways
def test_a_client_whose_bytes_are_altered_anywhere(run_flow, mode, upload, protocol):
    """In the payload it is payload, of the same length; in the framing it is refused."""
    request = UPLOADS[upload]
    framing, payload = places_of(request)
    whole = []

    async def one_place(flow, place):
        flow.network.add([FakeStream(Sent(), EOF)])
        session = Session(flow.application)
        await send(session, request[:place] + b"\x00" + request[place + 1 :])
        await session.end()
        whole.extend(filter(is_whole, flow.sent))

    at_every_place(run_flow, [*framing[4:], *payload], one_place, protocol=protocol, body=mode, drain=RATE)
    assert len(whole) == len(payload)
    assert all(payload_of(sent).count(b"\x00") == 1 for sent in whole)
