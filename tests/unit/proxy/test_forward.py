"""Forwarding while the client is there: with nothing to send, a whole body, or one that still comes in."""

import asyncio

import pytest

from shim.admission.gate import UploadGate
from shim.admission.limits import BodyPace
from shim.errors import (
    BadFraming,
    ClientGone,
    SendTimeout,
    ServerKeptWaiting,
    SizeMismatch,
    TokenExpired,
    UpstreamClosed,
    UpstreamFault,
)
from shim.observe.counters import Counters
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.client_side import ClientSide
from shim.proxy.forward import Delivery
from shim.proxy.onward import upstream_request
from shim.proxy.receive import BodyReceiver
from shim.proxy.request import Answer, ClientRequest
from shim.service.generic import PlainHandling, Remedy
from shim.spool.body import Body
from shim.spool.budget import Budget
from shim.spool.store import SpoolOptions, Store
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.group import Upstream
from shim.upstream.message import BytesBody, UpstreamTimeouts
from shim.upstream.pool import Server
from shim.wire.framing import NOTHING
from shim.wire.peer import Peer
from tests.fakes.client import GONE, FakeClient
from tests.fakes.disk import FakeDisk
from tests.fakes.loops import let_others_run, loop_time, run_leaping, stays_quiet
from tests.fakes.stream import EOF, FakeNetwork, FakeStream, Pause, Sent, Whole, answer
from tests.support.series import series

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
        message = message._replace(body=None if body is None else BytesBody(body))
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
                        store=store_of_memory(),
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
        talk.server.connect = Nowhere().connect
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


def test_a_token_that_has_expired_is_no_answer_to_relay():
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


# -- with a body that still comes in --------------------------------------------------------------

PART, REST = b"x" * 500, b"y" * 500
UPLOAD_STALL = 30


class Upload(Forwarding):
    """An upload that is forwarded at once, whatever has come of it."""

    def __init__(self, *outcomes, client, declared=1000, **options):
        super().__init__(*outcomes, client=client, method="PUT", **options)
        self.disk = FakeDisk()
        self.body = Body(self.disk.create, memory_limit=100, declared=declared)
        self.declared = declared
        self.phases = []

    async def forward(self, body=None):
        message = upstream_request(self.request, self.upstream.mount)._replace(body=self.body)
        record = Record("req-1", "PUT", "/", "c", loop_time())
        with UploadGate(1).ticket() as ticket:
            receiver = BodyReceiver(
                self.client.receive,
                self.body,
                declared=self.declared,
                pace=BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=0),
                ticket=ticket,
                record=record,
                clock=loop_time,
            )
            try:
                async with ClientSide(self.client.receive, receiver) as client:
                    delivery = Delivery(
                        message=message,
                        body=self.body,
                        client=client,
                        upstream=self.upstream,
                        handling=self.handling,
                        answer=Answer(self.client.send),
                        journal=Noting(self.phases),
                        record=record,
                        store=store_of_memory(),
                        stall=UPLOAD_STALL,
                    )
                    await delivery.run()
            finally:
                await self.body.close()


def store_of_memory():
    """A spool for answers."""
    return Store(FakeDisk(), Budget(UNLIMITED), SpoolOptions())


class Noting(Journal):
    """A journal that keeps the phases entered."""

    def __init__(self, phases):
        super().__init__(Counters(), clock=loop_time, access=False)
        self._phases = phases

    def enter(self, record, phase):
        self._phases.append(phase)
        super().enter(record, phase)


def run_upload(*outcomes, script, error=None, **options):
    async def scene():
        talk = Upload(*outcomes, client=FakeClient(*script), **options)
        if error is None:
            await talk.forward()
        else:
            with pytest.raises(error):
                await talk.forward()
        await stays_quiet()
        await talk.end()
        return talk

    return run_leaping(scene())


def test_a_body_goes_up_while_it_comes_in():
    talk = run_upload(FakeStream(Whole(), answer(204, b"")), script=(PART, 10, REST))
    assert talk.client.status == 204
    assert sent_bodies(talk) == [PART + REST]
    assert Phase.RECEIVE not in talk.phases


@series("status", [200, 401, 409, 500])
def test_an_answer_before_the_bodys_end_is_relayed_and_the_rest_is_dropped(status):
    """The client has still to send; it gets its answer at once, and what it sends is not kept."""

    async def scene():
        client = FakeClient(PART, 1000, REST)
        talk = Upload(FakeStream(Sent(len(PART)), Pause(1), answer(status, b"early")), client=client)
        began = loop_time()
        await talk.forward()
        assert loop_time() - began == pytest.approx(1)
        assert (client.status, client.body) == (status, b"early")
        assert client.is_answered
        assert not talk.body.is_whole
        await stays_quiet()
        await talk.end()

    run_leaping(scene())


def test_a_client_that_leaves_in_the_middle_of_an_early_answer():
    """Nobody is left to read it, so its server is let go."""
    endless = [b"x" * 100, Pause(1)] * 10_000
    stream = FakeStream(answer(200, b"", framing=b"Content-Length: 1000000"), *endless)
    talk = run_upload(stream, script=(PART, 5, b"z", GONE), error=ClientGone)
    assert 0 < len(talk.client.body) < 10_000


@series("script", [(PART, GONE), (PART, BadFraming("bad")), (PART, REST + b"z"), (PART, b"y")])
def test_a_body_that_fails_cuts_the_server_off(script):
    errors = (ClientGone, BadFraming, SizeMismatch)
    talk = run_upload(FakeStream(), script=script, error=errors)
    (sent,) = sent_bodies(talk)
    assert (PART + REST).startswith(sent)
    assert len(sent) < len(PART + REST)


@pytest.mark.parametrize("failure", ["closed", "answered 503"])
def test_what_failed_early_is_sent_again_when_it_is_whole(failure):
    first = [EOF] if failure == "closed" else [answer(503, b"busy"), EOF]
    handling = Scripted(Remedy.SEND_AGAIN)
    streams = [FakeStream(Sent(len(PART)), *first), FakeStream(Whole(), answer(204, b""))]
    talk = run_upload(*streams, script=(PART, 25, REST), handling=handling)
    assert talk.client.status == 204
    assert sent_bodies(talk) == [PART, PART + REST]
    # In between it was waited for, and nobody's worker held.
    assert [phase for phase in talk.phases if phase in (Phase.RECEIVE, Phase.CONNECT)] == [
        Phase.CONNECT,
        Phase.RECEIVE,
        Phase.CONNECT,
    ]


def test_a_client_that_falls_behind_loses_the_server_but_not_the_upload():
    handling = Scripted(Remedy.SEND_AGAIN)
    streams = [FakeStream(), FakeStream(Whole(), answer(204, b""))]
    talk = run_upload(*streams, script=(PART, 10 * UPLOAD_STALL, REST), handling=handling)
    assert talk.client.status == 204
    assert sent_bodies(talk) == [PART, PART + REST]
    assert [type(failure) for failure in handling.failures] == [ServerKeptWaiting]


def test_a_client_that_falls_behind_where_nothing_can_be_sent_again():
    talk = run_upload(FakeStream(), script=(PART, 10 * UPLOAD_STALL, REST), error=ServerKeptWaiting)
    assert sent_bodies(talk) == [PART]
    assert talk.client.status is None


@pytest.mark.parametrize("end", [GONE, BadFraming("bad")])
def test_nothing_is_sent_again_of_a_body_that_does_not_become_whole(end):
    handling = Scripted(Remedy.SEND_AGAIN)
    script = (PART, 10, end)
    talk = run_upload(FakeStream(EOF), script=script, handling=handling, error=(ClientGone, BadFraming))
    assert len(talk.network.streams) == 1


@series("turns", range(12))
@series("end", ["whole", "bad", "gone"])
def test_an_answer_and_the_bodys_end_at_about_the_same_time(turns, end):
    """The answer is relayed, or the body's failure told: never neither, and never a half of one."""

    async def scene():
        now = asyncio.Event()
        last = {"whole": (REST,), "bad": (BadFraming("bad"),), "gone": (GONE,)}[end]
        client = FakeClient(PART, 1, *[b""] * turns, *last)
        talk = Upload(FakeStream(Sent(len(PART)), now, answer(409, b"no")), client=client)
        asyncio.get_running_loop().call_later(1, now.set)
        try:
            await talk.forward()
        except (BadFraming, ClientGone):
            assert end != "whole"
            assert not client.is_answered
        else:
            assert (client.status, client.body, client.is_answered) == (409, b"no", True)
        await stays_quiet()
        await talk.end()

    run_leaping(scene())


@series("turns", range(12))
@series("times", [1, 2])
def test_cancelled_at_any_turn_of_an_upload(turns, times):
    async def scene():
        talk = Upload(FakeStream(Whole(), answer(204, b"")), client=FakeClient(PART, b"", REST))
        task = asyncio.ensure_future(talk.forward())
        await let_others_run(turns)
        for _ in range(times):
            task.cancel()
            await let_others_run(1)
        await asyncio.wait([task])
        assert task.cancelled()
        await talk.end()
        assert talk.disk.open_files == 0

    run_leaping(scene())
