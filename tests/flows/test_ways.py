"""Requests that succeed: every shape of body, what the server gets of it, and what the client gets back."""

import asyncio

import pytest

from shim.errors import UpstreamRefused
from shim.observe.journal import Phase
from shim.upstream.request_sender import SEND_SIZE
from tests.fakes.client import FakeClient, scope_of
from tests.fakes.flow import MEMORY, get, put
from tests.fakes.loops import let_others_run
from tests.fakes.stream import EOF, FakeStream, Whole, answer, length_of, split_request
from tests.support.series import series

over_both_protocols = pytest.mark.parametrize("protocol", ["http", "uwsgi"])


def body_of(sent):
    """What was sent after the head."""
    return split_request(sent)[1]


BODIES = [
    ("foobar", [b"foobar"]),
    ("three pieces", [b"foo", b"", b"bar"]),
    ("empty", []),
    ("memory limit", [bytes(MEMORY)]),
    ("over the memory limit", [bytes(MEMORY), b"x"]),
    ("byte by byte", [b"x"] * 300),
    ("large", [bytes(100_000)] * 8),
]


@over_both_protocols
@series("framing", ["chunked", "length", "chunked, size declared"])
@series("pieces", [pieces for _, pieces in BODIES])
def test_a_body(run_flow, pieces, framing, protocol):
    """Whatever way it comes, it goes up whole, with its length and no transfer coding."""
    data = b"".join(pieces)
    headers = [(b"x-openstack-image-size", b"%d" % len(data))] if framing.endswith("declared") else []

    async def scene(flow):
        client, scope = put(*pieces, headers=headers, length=len(data) if framing == "length" else None)
        assert await flow.serve(client, scope)
        assert client.status == 204
        assert client.body == b""
        (sent,) = flow.sent
        assert body_of(sent) == data
        assert length_of(split_request(sent)[0]) == len(data)
        assert b"transfer" not in sent.lower()
        assert flow.requests == {("image-upload", "PUT", 204): 1}
        assert flow.refusals == {}
        assert len(flow.disk.files) == (len(data) > MEMORY)

    run_flow(scene, FakeStream(Whole(), answer(204, b"", framing=b""), EOF), protocol=protocol)


@over_both_protocols
@series("method", ["GET", "DELETE", "POST"])
def test_no_body(run_flow, method, protocol):
    async def scene(flow):
        client, scope = FakeClient(), scope_of(method, b"/v2/images?limit=1")
        assert await flow.serve(client, scope)
        assert (client.status, client.body) == (200, b"ok")
        (sent,) = flow.sent
        assert length_of(split_request(sent)[0]) is None
        assert body_of(sent) == b""
        assert b"/v2/images?limit=1" in sent
        assert flow.requests == {("api", method, 200): 1}

    run_flow(scene, FakeStream(answer(), EOF), protocol=protocol)


def test_the_first_byte_goes_up_after_the_last_has_come(run_flow):
    async def scene(flow):
        go_on = asyncio.Event()
        client, scope = put(b"foo", go_on, b"bar")
        task = flow.start(client, scope)
        await let_others_run(30)
        assert flow.network.attempts == []
        assert (flow.store.held, flow.journal.uploads()["receiving"]) == (3, 1)
        go_on.set()
        await task
        assert len(flow.network.attempts) == 1

    run_flow(scene, FakeStream(answer()))


def test_the_live_view(run_flow):
    async def scene(flow):
        client, scope = put(b"x" * 300, target=b"/v2/images/11111111-2222-3333-4444-555555555555/file?a")
        task = flow.start(client, scope)
        await let_others_run(50)
        (record,) = flow.journal.live()
        assert record.image == "11111111-2222-3333-4444-555555555555"
        assert record.project == record.client == "192.0.2.7"
        assert record.upstream == "images"
        assert (record.received, record.length, record.phase) == (300, 300, Phase.WAIT)
        assert (flow.store.held, flow.store.files) == (300, 1)
        assert flow.journal.uploads()["forwarding"] == 1
        done.set()
        await task
        assert record.status == 204
        assert {Phase.RECEIVE, Phase.CONNECT, Phase.SEND, Phase.WAIT, Phase.RESPOND} == set(record.phases)

    done = asyncio.Event()
    run_flow(scene, FakeStream(done, answer(204, b"", framing=b"")))


def test_the_answer_is_relayed_as_it_is(run_flow):
    fields = [
        b"X-Image-Meta: a",
        b"X-Image-Meta: b",
        b"Keep-Alive: timeout=5",
        b"Connection: X-Hop",
        b"X-Hop: 1",
    ]

    async def scene(flow):
        client, scope = get()
        assert await flow.serve(client, scope)
        start = client.sent[0]
        names = [name for name, _ in start["headers"]]
        assert names.count(b"x-image-meta") == 2
        assert not {b"connection", b"keep-alive", b"x-hop", b"transfer-encoding"} & set(names)
        assert client.headers[b"content-length"] == b"6"
        assert client.headers[b"x-openstack-request-id"].startswith(b"req-")
        assert client.body == b"foobar"

    run_flow(scene, FakeStream(answer(203, b"foobar", *fields)))


def test_the_servers_request_id_is_kept(run_flow):
    async def scene(flow):
        client, scope = get()
        assert await flow.serve(client, scope)
        assert client.headers[b"x-openstack-request-id"] == b"req-other"

    run_flow(scene, FakeStream(answer(200, b"ok", b"X-Openstack-Request-Id: req-other")))


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        (b"Content-Length: 600000", b"x" * 600_000),
        (b"Transfer-Encoding: chunked", b"2\r\nok\r\n" * 1000 + b"0\r\nX-Trailer: 1\r\n\r\n"),
        (b"", b"x" * 1000),
    ],
    ids=["length", "chunked", "until close"],
)
def test_a_long_answer(run_flow, framing, data):
    expected = b"ok" * 1000 if framing.endswith(b"chunked") else data

    async def scene(flow):
        client, scope = get()
        assert await flow.serve(client, scope)
        assert client.body == expected
        assert (b"content-length" in client.headers) == framing.startswith(b"Content-Length")
        assert flow.journal.live() == []

    run_flow(scene, FakeStream(answer(200, data, framing=framing), EOF))


@series("status", [401, 403, 404, 409, 413, 415, 500, 503])
@over_both_protocols
def test_an_early_answer_is_the_answer(run_flow, status, protocol):
    async def scene(flow):
        client, scope = put(*[bytes(SEND_SIZE)] * 4)
        assert await flow.serve(client, scope)
        assert (client.status, client.body) == (status, b"no")
        assert flow.refusals == {}

    stream = FakeStream(answer(status, b"no"), EOF, stalls_after=SEND_SIZE)
    run_flow(scene, stream, protocol=protocol)


def test_hints_come_first(run_flow):
    async def scene(flow):
        client, scope = get()
        assert await flow.serve(client, scope)
        assert client.sent[0] == {"type": "http.response.early_hint", "links": [b"</a>"]}
        assert client.status == 200

    run_flow(scene, FakeStream(b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + answer()))


def test_refused_by_one_and_taken_by_the_next(run_flow):
    async def scene(flow):
        client, scope = put(b"x" * 300)
        assert await flow.serve(client, scope)
        assert client.status == 200
        assert [str(address) for address, _ in flow.network.attempts] == [
            "http://one:9292",
            "http://two:9292",
        ]
        assert body_of(flow.sent[0]) == b"x" * 300

    run_flow(scene, UpstreamRefused("refused"), FakeStream(Whole(), answer()), servers=2)


def test_many_at_a_time(run_flow):
    async def scene(flow):
        uploads = [put(*[b"x" * 50] * number) for number in range(20)]
        tasks = [flow.start(client, scope) for client, scope in uploads]
        for task in tasks:
            assert await task
        assert sorted(len(body_of(sent)) for sent in flow.sent) == [50 * n for n in range(20)]

    run_flow(scene, *[FakeStream(Whole(), answer()) for _ in range(20)])


def test_a_client_that_reads_slowly_holds_its_server_back(run_flow):
    async def scene(flow):
        client, scope = get()
        gate = client.stop_reading()
        task = flow.start(client, scope)
        await let_others_run(100)
        assert not task.done()
        # One piece is on its way to the client; the next was not asked for.
        assert len(flow.network.streams[0].script) == 2
        gate.set()
        assert await task
        assert client.body == b"foobar"

    head = answer(200, b"", framing=b"Content-Length: 6")
    run_flow(scene, FakeStream(head, b"foo", b"bar"))


def test_requests_after_leaving_are_still_served(run_flow):
    async def scene(flow):
        flow.drain.leave()
        client, scope = get()
        assert await flow.serve(client, scope)
        assert client.status == 200

    run_flow(scene, FakeStream(answer()))
