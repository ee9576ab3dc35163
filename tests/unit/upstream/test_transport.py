"""httpx over our own connections: requests as they go out, answers and errors as its callers know them."""

import asyncio

import httpx
import pytest

from shim.errors import ConnectTimeout, UpstreamClosed, UpstreamRefused
from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from shim.upstream.transport import UpstreamTransport
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.fakes.stream import EOF, Asked, FakeNetwork, FakeStream, answer
from tests.support.series import series

HTTP = parse_upstream("http://one:80")
UWSGI = parse_upstream("uwsgi://one:80")
TIMEOUTS = UpstreamTimeouts(send=60, response=300, response_idle=30)


def run_client(scene, *outcomes, address=HTTP, mount=""):
    """Run a scene with an httpx client over a scripted network; nothing may stay open."""

    async def whole():
        network = FakeNetwork(*outcomes)
        server = Server(address, TIMEOUTS, connect=network.connect, clock=loop_time)
        upstream = Upstream("probe", [server], mount=mount, connect_retry=0, clock=loop_time)
        async with httpx.AsyncClient(
            transport=UpstreamTransport(upstream), trust_env=False, headers={"user-agent": "test"}
        ) as client:
            await scene(client, network)
        assert server.inflight == 0
        assert all(stream.closed for stream in network.streams)

    run_leaping(whole())


def test_a_question():
    async def scene(client, network):
        response = await client.get("http://glance:9292/v2/images?limit=1%2F2", headers={"X-Auth-Token": "t"})
        assert (response.status_code, response.content) == (200, b"ok")
        assert response.headers["x-name"] == "value"
        assert response.reason_phrase == "Stub"
        head, _, body = network.streams[0].sent.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        assert line == b"GET /v2/images?limit=1%2F2 HTTP/1.1"
        assert b"host: glance:9292" in fields
        assert b"x-auth-token: t" in fields
        assert not any(field.startswith((b"content-length", b"connection")) for field in fields)
        assert body == b""

    run_client(scene, FakeStream(answer(200, b"ok", b"X-Name: value")))


@series(
    ("options", "body"),
    [
        ({"content": b"foobar"}, b"foobar"),
        ({"json": {}}, b"{}"),
        ({"content": b""}, b""),
        ({}, b""),
    ],
)
def test_a_body_goes_with_its_length(options, body):
    async def scene(client, network):
        response = await client.post("http://glance/v2/images", **options)
        assert response.status_code == 201
        head, _, sent = network.streams[0].sent.partition(b"\r\n\r\n")
        assert head.count(b"content-length: %d" % len(body)) == 1
        assert b"transfer-encoding" not in head
        assert sent == body

    run_client(scene, FakeStream(answer(201)))


def test_a_generated_body_goes_with_its_length():
    async def generate():
        yield b"foo"
        yield b"bar"

    async def scene(client, network):
        await client.put("http://glance/", content=generate())
        assert b"content-length: 6\r\n" in network.streams[0].sent
        assert b"transfer-encoding" not in network.streams[0].sent
        assert network.streams[0].sent.endswith(b"\r\n\r\nfoobar")

    run_client(scene, FakeStream(answer()))


def test_it_speaks_uwsgi():
    async def scene(client, network):
        response = await client.get("http://glance:9292/image/healthcheck")
        assert response.status_code == 200
        packet = network.streams[0].sent
        assert packet[0] == 0
        assert b"SCRIPT_NAME\x06\x00/image" in packet
        assert b"PATH_INFO\x0c\x00/healthcheck" in packet
        assert b"SERVER_NAME\x06\x00glance" in packet

    run_client(scene, FakeStream(answer(), EOF), address=UWSGI, mount="/image")


def test_an_answer_in_chunks_after_interim_ones():
    data = b"HTTP/1.1 103 Hints\r\n\r\n" + answer(
        200, b"3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n", framing=b"Transfer-Encoding: chunked"
    )

    async def scene(client, _network):
        assert (await client.get("http://glance/")).content == b"foobar"

    run_client(scene, FakeStream(*[bytes([byte]) for byte in data]))


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (UpstreamRefused("refused", for_operator="No connection to http://one:80"), httpx.ConnectError),
        (ConnectTimeout("late"), httpx.ConnectTimeout),
        (FakeStream(stalls_after=3), httpx.WriteTimeout),
        (FakeStream(), httpx.ReadTimeout),
        (FakeStream(EOF), httpx.RemoteProtocolError),
        (FakeStream(UpstreamClosed("reset")), httpx.RemoteProtocolError),
        (FakeStream(b"hello\r\n\r\n"), httpx.RemoteProtocolError),
        (FakeStream(answer(200, b"o", framing=b"Content-Length: 2"), EOF), httpx.RemoteProtocolError),
        (FakeStream(answer(200, b"o", framing=b"Content-Length: 2")), httpx.ReadTimeout),
        (
            FakeStream(answer(200, b"x\r\n", framing=b"Transfer-Encoding: chunked")),
            httpx.RemoteProtocolError,
        ),
    ],
    ids=[
        "refused",
        "no connection",
        "deaf",
        "silent",
        "closed",
        "reset",
        "no HTTP",
        "cut",
        "silent in the body",
        "bad chunks",
    ],
)
def test_errors_are_httpxs_own(outcome, error):
    async def scene(client, _network):
        with pytest.raises(error) as fault:
            await client.get("http://glance/")
        assert type(fault.value) is error
        assert fault.value.request.url == "http://glance/"

    run_client(scene, outcome)


def test_the_operators_words_are_told():
    async def scene(client, _network):
        with pytest.raises(httpx.ConnectError, match="No connection to http://one:80"):
            await client.get("http://glance/")

    run_client(scene, UpstreamRefused("refused", for_operator="No connection to http://one:80"))


def test_an_answer_not_read_is_closed():
    async def scene(client, network):
        async with client.stream("GET", "http://glance/") as response:
            assert response.status_code == 200
        assert network.streams[0].closed
        async with client.stream("GET", "http://glance/") as response:
            assert await anext(response.aiter_raw()) == b"fo"
        assert network.streams[1].closed

    data = answer(200, b"fo", framing=b"Content-Length: 6")
    run_client(scene, FakeStream(data), FakeStream(data))


def test_a_connection_is_used_again():
    async def scene(client, network):
        for _ in range(2):
            assert (await client.get("http://glance/")).content == b"ok"
        assert len(network.attempts) == 1

    run_client(scene, FakeStream(answer(), Asked(), answer()))


def test_a_cancelled_question_closes():
    async def scene(client, network):
        task = asyncio.ensure_future(client.get("http://glance/"))
        await let_others_run(30)
        assert len(network.streams) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert network.streams[0].closed

    run_client(scene, FakeStream())
