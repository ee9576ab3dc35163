"""Forwarding while the client is there: it leaves early, late, or in the very moment in which all is done."""

import asyncio
from dataclasses import replace

import pytest

from shim.errors import ClientGone, SendTimeout, TokenExpired, UpstreamClosed, UpstreamFault
from shim.observe.counters import Counters
from shim.observe.journal import Journal, Phase
from shim.proxy.client_side import ClientSide
from shim.proxy.forward import Delivery, upstream_request
from shim.proxy.request import Answer, ClientRequest
from shim.service.generic import PlainHandling, Remedy
from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import BytesBody, UpstreamTimeouts
from shim.upstream.pool import Server
from shim.wire.forwarding import Peer
from shim.wire.framing import NOTHING
from tests.fakes.client import GONE, FakeClient
from tests.fakes.loops import loop_time, run_leaping, stays_quiet
from tests.fakes.stream import EOF, FakeNetwork, FakeStream, answer

# -- forward --------------------------------------------------------------------------------------


class Forwarding:
    """One request on its way to a scripted server."""

    def __init__(self, *outcomes, mount="", headers=(), method="GET", client=None, handling=None):
        self.handling = handling or PlainHandling()
        self.client = client or FakeClient()
        self.network = FakeNetwork(*outcomes)
        timeouts = UpstreamTimeouts(send=60, response=300, response_idle=30)
        address = parse_upstream("http://glance:9292")
        self.server = Server(address, timeouts, connect=self.network.connect, clock=loop_time)
        self.upstream = Upstream("images", [self.server], mount=mount, connect_retry=0, clock=loop_time)
        self.journal = Journal(Counters(), clock=loop_time, access=False)
        self.request = ClientRequest(
            id="req-1",
            method=method,
            target=b"/image/v2/x%2Fy?z",
            http_version="1.1",
            headers=((b"host", b"images.example"), *headers),
            framing=NOTHING,
            peer=Peer("192.0.2.7", "http"),
            client="192.0.2.7",
            server=("192.0.2.1", 9292),
            receive=self.client.receive,
        )

    async def forward(self, body=None):
        message = upstream_request(self.request, self.upstream.mount)
        message = replace(message, body=None if body is None else BytesBody(body))
        with self.journal.record(id="req-1", method="GET", path="/", client="c") as self.record:
            try:
                async with ClientSide(self.request.receive) as client:
                    delivery = Delivery(
                        message=message,
                        body=None,
                        client=client,
                        upstream=self.upstream,
                        handling=self.handling,
                        answer=Answer(self.client.send),
                        journal=self.journal,
                        record=self.record,
                        stall=30,
                    )
                    await delivery.run()
            finally:
                self.phase = self.record.phase

    async def end(self):
        await self.upstream.close()
        assert all(stream.closed for stream in self.network.streams)
        assert self.server.inflight == 0


def run_forward(*outcomes, error=None, body=None, **options):
    async def scene():
        talk = Forwarding(*outcomes, **options)
        if error is None:
            await talk.forward(body)
        else:
            with pytest.raises(error):
                await talk.forward(body)
        await stays_quiet()
        await talk.end()
        return talk

    return run_leaping(scene())


def test_a_request_goes_up_and_its_answer_comes_down():
    talk = run_forward(FakeStream(answer(201, b"made")), body=b"foobar", method="PUT", mount="/image")
    assert (talk.client.status, talk.client.body) == (201, b"made")
    head, _, sent = talk.network.streams[0].sent.partition(b"\r\n\r\n")
    assert sent == b"foobar"
    line, *fields = head.split(b"\r\n")
    assert line == b"PUT /image/v2/x%2Fy?z HTTP/1.1"
    for field in (
        b"host: images.example",
        b"content-length: 6",
        b"x-forwarded-for: 192.0.2.7",
        b"x-forwarded-prefix: /image",
        b"x-openstack-request-id: req-1",
    ):
        assert fields.count(field) == 1
    assert talk.record.upstream == "images"
    assert talk.phase is Phase.RESPOND
    assert {Phase.CONNECT, Phase.SEND, Phase.RESPOND} <= set(talk.record.phases)


def test_hints_are_passed_on():
    hints = (
        b"HTTP/1.1 103 Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n"
        b"HTTP/1.1 103 Hints\r\nX-Other: 1\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\nLink: </c>\r\n\r\n"
    )
    talk = run_forward(FakeStream(hints + answer()))
    assert talk.client.sent[0] == {"type": "http.response.early_hint", "links": [b"</a>", b"</b>"]}
    assert [message["type"] for message in talk.client.sent].count("http.response.early_hint") == 1


@pytest.mark.parametrize(
    "stream",
    [{}, {"stalls_after": 10}, {"script": answer(200, b"f", framing=b"Content-Length: 6")}],
    ids=["waiting", "sending", "reading"],
)
def test_a_client_that_leaves_frees_the_server(stream):
    script = [stream[step] for step in ("script",) if step in stream]
    options = {name: value for name, value in stream.items() if name != "script"}
    talk = run_forward(
        FakeStream(*script, **options), client=FakeClient(b"", 5, GONE), body=b"foobar", error=ClientGone
    )
    assert talk.network.streams[0].closed


def test_a_client_that_leaves_while_a_server_is_looked_for():
    class Nowhere(FakeNetwork):
        async def connect(self, address, timeout):
            await asyncio.Event().wait()

    async def scene():
        talk = Forwarding(client=FakeClient(b"", 5, GONE))
        talk.server._connect = Nowhere().connect
        with pytest.raises(ClientGone):
            await talk.forward()
        await talk.end()

    run_leaping(scene())


def test_an_upstream_that_fails_while_the_client_stays():
    run_forward(FakeStream(EOF), error=UpstreamClosed)


# -- what the service room says of an attempt -----------------------------------------------------


class Scripted(PlainHandling):
    """Doubts answers of 500 and more, and gives these remedies."""

    def __init__(self, *remedies):
        self.remedies = list(remedies)
        self.failures = []

    def is_doubtful(self, answer):
        if answer.status == 401:
            raise TokenExpired("expired")
        return answer.status >= 500

    async def recover(self, failure):
        self.failures.append(failure)
        remedy = self.remedies.pop(0)
        if isinstance(remedy, Exception):
            raise remedy
        if isinstance(remedy, asyncio.Event):
            await remedy.wait()
        return remedy


def sent_bodies(talk):
    return [stream.sent.partition(b"\r\n\r\n")[2] for stream in talk.network.streams]


def test_a_failed_attempt_is_made_again_with_the_whole_body():
    handling = Scripted(Remedy.SEND_AGAIN, Remedy.SEND_AGAIN)
    outcomes = [FakeStream(EOF), FakeStream(answer(503, b"busy")), FakeStream(answer(204, b""))]
    talk = run_forward(*outcomes, handling=handling, body=b"foobar", method="PUT")
    assert talk.client.status == 204
    assert sent_bodies(talk) == [b"foobar"] * 3
    closed, busy = handling.failures
    assert isinstance(closed, UpstreamClosed)
    assert (busy.status, busy.body) == (503, b"busy")


def test_a_doubtful_answer_may_be_relayed_after_all():
    talk = run_forward(FakeStream(answer(503, b"busy", b"Retry-After: 7")), handling=Scripted(Remedy.GIVE_UP))
    assert (talk.client.status, talk.client.body) == (503, b"busy")
    assert talk.client.headers[b"retry-after"] == b"7"
    assert (talk.phase, talk.record.status) == (Phase.RESPOND, 503)


def test_a_failure_given_up_is_told():
    run_forward(FakeStream(EOF), handling=Scripted(Remedy.GIVE_UP), error=UpstreamClosed)


@pytest.mark.parametrize("first", [EOF, answer(500)])
def test_the_service_room_may_know_better(first):
    run_forward(FakeStream(first), handling=Scripted(SendTimeout("stuck")), error=SendTimeout)
    run_forward(FakeStream(answer(401)), handling=Scripted(), error=TokenExpired)


@pytest.mark.parametrize("rest", [b"o", b"o" * 2_000_000], ids=["cut", "endless"])
def test_a_doubtful_answer_that_breaks_off_or_never_ends_is_a_failure(rest):
    stream = FakeStream(answer(500, rest, framing=b"Content-Length: 3000000"), EOF)
    handling = Scripted(Remedy.GIVE_UP)
    run_forward(stream, handling=handling, error=UpstreamFault)
    assert isinstance(handling.failures[0], UpstreamFault)


def test_an_answer_that_has_begun_is_never_begun_anew():
    handling = Scripted(Remedy.SEND_AGAIN)
    stream = FakeStream(answer(200, b"foo", framing=b"Content-Length: 6"), EOF)
    talk = run_forward(stream, handling=handling, error=UpstreamClosed)
    assert handling.failures == []
    assert talk.client.status == 200


def test_a_client_that_leaves_while_the_state_is_asked_for():
    client = FakeClient(b"", 5, GONE)
    run_forward(FakeStream(EOF), handling=Scripted(asyncio.Event()), client=client, error=ClientGone)


@pytest.mark.parametrize(
    ("headers", "server", "host"),
    [
        (((b"host", b"a.example"),), ("192.0.2.1", 9292), b"a.example"),
        ((), ("192.0.2.1", 9292), b"192.0.2.1"),
    ],
)
def test_there_is_always_a_host(headers, server, host):
    async def scene():
        talk = Forwarding(FakeStream(answer()))
        talk.request = ClientRequest(
            id="req-1",
            method="GET",
            target=b"/",
            http_version="1.0",
            headers=headers,
            framing=NOTHING,
            peer=Peer(None, "http"),
            client="unix",
            server=server,
            receive=talk.client.receive,
        )
        await talk.forward()
        assert talk.network.streams[0].sent.count(b"\r\nhost: " + host + b"\r\n") == 1
        await talk.end()

    run_leaping(scene())
