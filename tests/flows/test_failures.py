"""Requests that fail, each for its own reason: the answer to it, and what the server saw."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from shim.admission.limits import BodyPace
from shim.errors import BadFraming, ConnectTimeout, DiskError, DiskFull, UpstreamClosed, UpstreamRefused
from shim.routes.route import BodyMode, HeaderPattern, Route, Terms
from shim.routes.table import RouteTable
from shim.timing import UNLIMITED
from shim.upstream.message import UpstreamTimeouts
from tests.fakes.client import GONE, FakeClient, scope_of
from tests.fakes.flow import MEMORY, get, put
from tests.fakes.loops import let_others_run, loop_time
from tests.fakes.stream import EOF, FakeStream, Whole, answer
from tests.support.series import series

CHUNKED = (b"transfer-encoding", b"chunked")
FAST = BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=1000, grace=10)
SHORT = BodyPace(idle=UNLIMITED, total=50, min_rate=0)
RESET = UpstreamClosed("The connection to the upstream broke: Connection reset by peer.")
LARGE = [b"x" * 50] * 10
DIGEST = b"sha-256=:%b=:" % (b"A" * 43)


@dataclass(frozen=True)
class Case:
    """A request that fails."""

    name: str
    status: int
    code: str
    script: tuple = ()
    headers: tuple = (CHUNKED,)
    http_version: str = "1.1"
    options: dict[str, Any] = field(default_factory=dict)
    asks: bool = True  # for the body
    retry_after: bool = False

    def __str__(self):
        return self.name


def sized(size, *more):
    return ((b"content-length", b"%d" % size), *more)


CLIENT = [
    Case("idle", 408, "body_idle_timeout", (*LARGE, 61, b"x")),
    Case("too long", 408, "body_total_timeout", (30, b"x", 30, b"x"), options={"pace": SHORT}),
    Case("too slow", 408, "body_too_slow", tuple([1, b"x"] * 30), options={"pace": FAST}),
    Case("malformed", 400, "bad_framing", (*LARGE, BadFraming("A chunk size is malformed."))),
    Case(
        "shorter than declared", 400, "size_mismatch", (b"foo",), (CHUNKED, (b"x-openstack-image-size", b"4"))
    ),
    Case(
        "longer than declared", 400, "size_mismatch", (b"foo",), (CHUNKED, (b"x-openstack-image-size", b"2"))
    ),
    Case(
        "two lengths declared",
        400,
        "size_mismatch",
        (b"foo",),
        sized(3, (b"x-openstack-image-size", b"4")),
        asks=False,
    ),
    Case(
        "size that is no number",
        400,
        "bad_framing",
        (b"foo",),
        (CHUNKED, (b"x-openstack-image-size", b"4k")),
        asks=False,
    ),
    Case("another digest", 400, "size_mismatch", tuple(LARGE), (CHUNKED, (b"content-digest", DIGEST))),
    Case(
        "another digest, handed off",
        400,
        "size_mismatch",
        tuple(LARGE),
        (CHUNKED, (b"content-digest", DIGEST)),
        options={"body": BodyMode.HANDOFF},
    ),
    Case(
        "another digest of nothing",
        400,
        "size_mismatch",
        (),
        sized(0, (b"content-digest", DIGEST)),
        asks=False,
    ),
    Case(
        "malformed digest",
        400,
        "bad_request",
        (b"foo",),
        (CHUNKED, (b"content-digest", DIGEST[:-2])),
        asks=False,
    ),
    Case("two framings", 400, "bad_framing", (b"foo",), sized(3, CHUNKED), asks=False),
    Case("coding on HTTP/1.0", 400, "bad_framing", (b"foo",), http_version="1.0", asks=False),
    Case("gzip", 501, "unknown_coding", (b"x",), ((b"transfer-encoding", b"gzip"),), asks=False),
    Case("expectation", 417, "expectation_failed", (b"x",), (CHUNKED, (b"expect", b"200-ok")), asks=False),
]

OURS = [
    Case(
        "declared too large",
        413,
        "body_too_large",
        (b"x" * 201,),
        sized(201),
        options={"max_body": 200},
        asks=False,
    ),
    Case("too large at the crossing", 413, "body_too_large", tuple(LARGE), options={"max_body": 200}),
    Case(
        "declared to never fit",
        413,
        "body_too_large",
        (b"x",),
        sized(201),
        options={"budget": 200},
        asks=False,
    ),
    Case("never fits", 413, "body_too_large", tuple(LARGE), options={"budget": 200}),
    Case(
        "uploads full",
        503,
        "uploads_full",
        (b"x",),
        sized(70_000),
        options={"uploads": 0},
        asks=False,
        retry_after=True,
    ),
    Case(
        "uploads full at the crossing",
        503,
        "uploads_full",
        (bytes(70_000),),
        options={"uploads": 0},
        retry_after=True,
    ),
    Case(
        "reserve",
        507,
        "disk_full",
        (b"x",),
        sized(300),
        options={"free": 399, "reserve": 100},
        asks=False,
        retry_after=True,
    ),
    Case("ENOSPC", 507, "disk_full", tuple(LARGE), options={"capacity": 200}, retry_after=True),
]

UPSTREAM = [
    ("refused", [UpstreamRefused("refused")], 502, "upstream_refused"),
    ("no connection", [ConnectTimeout("late")], 504, "connect_timeout"),
    ("closes", [FakeStream, EOF], 502, "upstream_closed"),
    ("resets", [FakeStream, RESET], 502, "upstream_closed"),
    ("closes in its head", [FakeStream, b"HTTP/1.1 2", EOF], 502, "upstream_closed"),
    ("no HTTP", [FakeStream, b"hello\r\n\r\n"], 502, "upstream_invalid"),
    ("two lengths", [FakeStream, answer(200, b"ok", b"Content-Length: 2")], 502, "upstream_invalid"),
    ("silent", [FakeStream], 504, "response_timeout"),
    ("deaf", [FakeStream, {"stalls_after": 3}], 504, "send_timeout"),
    ("broken pipe", [FakeStream, EOF, {"breaks_after": 3}], 502, "upstream_closed"),
]


def outcomes_of(parts):
    """Connections cannot be used twice, so a case tells only how to make its own."""
    if parts[0] is not FakeStream:
        return parts
    options = parts[-1] if isinstance(parts[-1], dict) else {}
    return [FakeStream(*[part for part in parts[1:] if not isinstance(part, dict)], **options)]


def check_own_answer(client, status, code, *, retry_after=False):
    assert client.status == status
    assert client.headers[b"content-type"] == b"application/problem+json"
    assert client.headers[b"connection"] == b"close"
    assert client.headers[b"x-openstack-request-id"].startswith(b"req-")
    assert client.code == code
    assert int(client.headers[b"content-length"]) == len(client.body)
    if retry_after:
        assert int(client.headers[b"retry-after"]) > 0


@pytest.mark.parametrize("case", CLIENT + OURS, ids=str)
def test_the_server_never_hears_of_it(run_flow, case):
    async def scene(flow):
        client = FakeClient(*case.script)
        scope = scope_of("PUT", b"/v2/images/1/file", case.headers, http_version=case.http_version)
        assert await flow.serve(client, scope)
        check_own_answer(client, case.status, case.code, retry_after=case.retry_after)
        assert flow.network.attempts == []
        # What is decided from the head is decided before the client is asked for its body.
        assert (client.receives > 0) is case.asks
        assert flow.refusals == {case.code: 1}
        assert [status for _, _, status in flow.requests] == [case.status]

    run_flow(scene, **case.options)


@series("protocol", ["http", "uwsgi"])
@series("method", ["GET", "PUT", "POST"])
@series(("parts", "status", "code"), [case[1:] for case in UPSTREAM])
def test_the_server_fails(run_flow, parts, status, code, *, method, protocol):
    async def scene(flow):
        client, scope = put(*LARGE) if method == "PUT" else (FakeClient(), scope_of(method))
        assert await flow.serve(client, scope)
        check_own_answer(client, status, code, retry_after=status == 503)
        assert len(flow.network.attempts) == 1
        assert flow.refusals == {code: 1}

    run_flow(scene, *outcomes_of(parts), protocol=protocol)


CUT = [
    ("length", answer(200, b"fo", framing=b"Content-Length: 6"), EOF),
    ("chunk", answer(200, b"6\r\nfo", framing=b"Transfer-Encoding: chunked"), EOF),
    ("between chunks", answer(200, b"2\r\nfo\r\n", framing=b"Transfer-Encoding: chunked"), EOF),
    ("reset", answer(200, b"fo", framing=b"Content-Length: 6"), RESET),
    ("reset until close", answer(200, b"fo", framing=b""), RESET),
    ("bad chunk", answer(200, b"2\r\nfoX", framing=b"Transfer-Encoding: chunked"), EOF),
]


@series(("data", "end"), [case[1:] for case in CUT])
def test_an_answer_that_breaks_off_is_cut(run_flow, data, end):
    async def scene(flow):
        client, scope = get()
        assert not await flow.serve(client, scope)
        assert client.status == 200
        assert not client.is_answered
        assert b"fo".startswith(client.body)
        assert sum(flow.refusals.values()) == 1

    run_flow(scene, FakeStream(data, end))


def test_an_answer_that_falls_silent_is_cut(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        assert not await flow.serve(client, scope)
        assert (client.body, client.is_answered) == (b"fo", False)
        assert flow.refusals == {"response_timeout": 1}

    run_flow(scene, FakeStream(answer(200, b"fo", framing=b"Content-Length: 6")))


# -- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("create_error", DiskError("broken"), 507),
        ("create_error", DiskFull("full"), 507),
        ("read_error", DiskError("broken"), 507),
    ],
    ids=["no file", "no space for a file", "EIO on reading back"],
)
def test_a_broken_disk(run_flow, fault, error, status):
    async def scene(flow):
        setattr(flow.disk, fault, error)
        client, scope = put(*LARGE)
        assert await flow.serve(client, scope)
        check_own_answer(client, status, error.code)
        assert flow.refusals == {error.code: 1}

    run_flow(scene, FakeStream())


def test_a_file_that_became_shorter_is_never_sent_as_a_whole(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        task = flow.start(client, scope)
        gate = flow.disk.hold("read")
        await flow.disk.until("read")
        del flow.disk.files[0].data[400:]
        gate.set()
        assert await task
        check_own_answer(client, 507, "disk_error")
        assert all(b"x" * 400 not in sent for sent in flow.sent)

    run_flow(scene, FakeStream())


def test_small_bodies_need_no_disk(run_flow):
    async def scene(flow):
        flow.disk.create_error = DiskError("broken")
        client, scope = put(bytes(MEMORY))
        assert await flow.serve(client, scope)
        assert client.status == 200

    run_flow(scene, FakeStream(answer()))


# -- both together --------------------------------------------------------------------------------


def test_two_bodies_jointly_over_the_budget(run_flow):
    async def scene(flow):
        go_on = asyncio.Event()
        first, first_scope = put(b"x" * 600, go_on, b"y" * 300)
        task = flow.start(first, first_scope)
        await let_others_run(30)
        second, second_scope = put(b"z" * 500)
        assert await flow.serve(second, second_scope)
        check_own_answer(second, 503, "spool_full", retry_after=True)
        third, third_scope = put(b"z", length=401)
        assert await flow.serve(third, third_scope)
        check_own_answer(third, 503, "spool_full", retry_after=True)
        assert third.receives == 0
        go_on.set()
        assert await task
        assert first.status == 200
        assert flow.sent[0].endswith(b"x" * 600 + b"y" * 300)

    run_flow(scene, FakeStream(Whole(), answer()), budget=1000)


def test_small_calls_pass_a_full_house(run_flow):
    async def scene(flow):
        go_on = asyncio.Event()
        upload, upload_scope = put(bytes(70_000), go_on, b"x")
        task = flow.start(upload, upload_scope)
        await let_others_run(30)
        assert flow.gate.under_way == 1
        refused, refused_scope = put(bytes(70_000))
        assert await flow.serve(refused, refused_scope)
        check_own_answer(refused, 503, "uploads_full", retry_after=True)
        for client, scope in (get(), put(b"small")):
            assert await flow.serve(client, scope)
            assert client.status == 200
        go_on.set()
        assert await task
        assert upload.status == 200

    run_flow(scene, FakeStream(answer()), FakeStream(answer()), FakeStream(answer()), uploads=1)


# -- others ---------------------------------------------------------------------------------------


def test_draining(run_flow):
    async def scene(flow):
        flow.drain.begin()
        for client, scope in (get(), put(b"x")):
            assert await flow.serve(client, scope)
            check_own_answer(client, 503, "draining", retry_after=True)
            assert client.receives == 0

    run_flow(scene)


def test_what_was_begun_before_draining_goes_on(run_flow):
    async def scene(flow):
        go_on = asyncio.Event()
        client, scope = put(b"foo", go_on, b"bar")
        task = flow.start(client, scope)
        await let_others_run(30)
        flow.drain.begin()
        go_on.set()
        assert await task
        assert client.status == 200

    run_flow(scene, FakeStream(answer()))


def test_a_route_has_limits_and_times_of_its_own(run_flow):
    """The first request takes one with short ones, all others the fallback, and what holds for all."""

    async def scene(flow):
        began = loop_time()
        for script, code, seconds in [
            ((b"x", 100, b"x"), "body_idle_timeout", 5),
            ((b"x",), "response_timeout", 7),
        ]:
            client, scope = put(*script, target=b"/short", headers=[(b"x-kind", b"quick one")])
            assert await flow.serve(client, scope)
            assert (client.code, loop_time() - began) == (code, seconds)
            began = loop_time()
        client, scope = put(b"x", 50, b"x", target=b"/short")
        assert await flow.serve(client, scope)
        assert (client.status, loop_time() - began) == (200, 50)

    short = Terms(
        pace=BodyPace(idle=5, total=UNLIMITED, min_rate=0),
        timeouts=UpstreamTimeouts(connect_retry=0, response=7),
    )
    route = Route("short", "images", headers=(HeaderPattern("x-kind", "quick*"),), terms=short)
    routes = RouteTable([route], fallback=Route("default", "images"))
    run_flow(scene, FakeStream(), FakeStream(answer()), routes=routes)


def test_no_route(run_flow):
    async def scene(flow):
        client, scope = put(b"x")
        assert await flow.serve(client, scope)
        check_own_answer(client, 503, "no_upstream", retry_after=True)
        assert client.receives == 0

    run_flow(scene, routes=RouteTable([]))


def test_a_head_that_fits_no_packet_is_refused_before_the_body(run_flow):
    async def scene(flow):
        client, scope = put(b"x", headers=[(b"x-large", b"x" * 65536)])
        assert await flow.serve(client, scope)
        check_own_answer(client, 431, "head_too_large")
        assert client.receives == 0
        client, scope = get(headers=[(b"x-large", b"x" * 65536)])
        assert await flow.serve(client, scope)
        check_own_answer(client, 431, "head_too_large")
        assert flow.network.attempts == []

    run_flow(scene, protocol="uwsgi")


def test_a_fault_of_our_own(run_flow, caplog):
    async def scene(flow):
        def stumble(_path):
            raise KeyError("a bug")

        flow.service.image_of = stumble
        client, scope = put(b"x")
        assert await flow.serve(client, scope)
        check_own_answer(client, 500, "internal_error")
        assert b"a bug" not in client.body

    run_flow(scene)
    assert "a bug" in caplog.text


def test_every_server_refuses(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        assert await flow.serve(client, scope)
        check_own_answer(client, 502, "upstream_refused")

    run_flow(scene, *[UpstreamRefused("refused")] * 20, servers=2, retry=1)


def test_what_was_delivered_is_not_sent_again(run_flow):
    async def scene(flow):
        client, scope = put(*LARGE)
        assert await flow.serve(client, scope)
        check_own_answer(client, 502, "upstream_closed")
        assert len(flow.network.attempts) == 1

    run_flow(scene, FakeStream(EOF), FakeStream(answer()), servers=2, retry=10)


# -- the client leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script", [(GONE,), (b"foo", GONE), (*LARGE, 5, GONE)], ids=["at once", "early", "late"]
)
@pytest.mark.parametrize("length", [None, 500], ids=["chunked", "length"])
def test_gone_in_the_middle_of_the_body(run_flow, script, length):
    async def scene(flow):
        client, scope = put(*script, length=length)
        assert not await flow.serve(client, scope)
        assert client.sent == []
        assert flow.network.attempts == []
        assert flow.refusals == {"client_gone": 1}
        assert flow.requests == {("image-upload", "PUT", 499): 1}

    run_flow(scene)


LEAVING = [
    ("refused", [UpstreamRefused("refused")] * 200, {"retry": 1000}),
    ("sending", [FakeStream, {"stalls_after": 200}], {}),
    ("waiting", [FakeStream], {}),
    ("in the answer's head", [FakeStream, b"HTTP/1.1 2"], {}),
    ("in the answer's body", [FakeStream, answer(200, b"fo", framing=b"Content-Length: 6")], {}),
]


@series("method", ["GET", "PUT"])
@series(("parts", "options"), [case[1:] for case in LEAVING])
def test_gone_after_the_body(run_flow, parts, options, method):
    """Nobody waits for the answer, so no worker is to go on with it."""

    async def scene(flow):
        client, scope = put(*LARGE) if method == "PUT" else get()
        task = flow.start(client, scope)
        await asyncio.sleep(1)
        assert not task.done()
        client.leaves.set()
        await let_others_run(30)
        assert task.done()
        assert not task.result()
        assert all(stream.closed for stream in flow.network.streams)
        assert flow.refusals == {"client_gone": 1}

    run_flow(scene, *outcomes_of(parts), **options)


def test_gone_with_the_answer_is_no_failure(run_flow):
    """It reads its answer and hangs up, as many do: that is a request served."""

    async def scene(flow):
        client, scope = put(*LARGE)
        send = client.send

        async def send_and_leave(message):
            await send(message)
            if message.get("more_body") is False:
                client.leaves.set()

        client.send = send_and_leave
        assert await flow.serve(client, scope)
        assert flow.refusals == {}
        assert flow.requests == {("image-upload", "PUT", 200): 1}

    run_flow(scene, FakeStream(answer()))


def test_gone_from_a_server_that_is_always_ahead(run_flow):
    """The rest of the answer is not fetched for nobody."""

    async def scene(flow):
        client, scope = get()
        send = client.send

        async def take_some(message):
            await send(message)
            if len(client.sent) == 3:
                client.leaves.set()

        client.send = take_some
        assert not await flow.serve(client, scope)
        assert flow.refusals == {"client_gone": 1}
        assert len(client.sent) < 30
        assert len(flow.network.streams[0].script) > 900

    head = answer(200, b"", framing=b"Content-Length: 1000")
    run_flow(scene, FakeStream(head, *[b"x"] * 1000))


@series("turns", range(40))
def test_gone_at_any_turn(run_flow, turns):
    """Served, or gone; never anything else, and never anything held."""

    async def scene(flow):
        client, scope = put(*LARGE[:4])
        task = flow.start(client, scope)
        await let_others_run(turns)
        client.leaves.set()
        served = await task
        assert flow.refusals == ({} if served else {"client_gone": 1})

    run_flow(scene, FakeStream(answer()))


def test_a_server_that_raises_when_its_client_has_gone(run_flow):
    """Some ASGI servers do; the answer cannot be told then, and all is given back."""

    async def scene(flow):
        client, scope = put(*LARGE)
        client.send_error = ConnectionResetError("reset by peer")
        assert not await flow.serve(client, scope)

    run_flow(scene, FakeStream(answer()))
