"""Uploads of known length, forwarded while they still come in: early enough, and never whole unless they are.

A client of 100 bytes per second sends 1000 bytes to a server that takes 200 per second: the server needs
5 s, so its worker is asked for 5 s before the end.
"""

import asyncio
import hashlib
from base64 import b64encode

import pytest

from shim.admission.limits import BodyPace
from shim.errors import BadFraming, UpstreamClosed
from shim.observe.journal import Phase
from shim.routes.route import BodyMode
from shim.service.glance import GlanceOptions
from shim.timing import UNLIMITED
from tests.fakes.client import GONE
from tests.fakes.flow import MEMORY, put
from tests.fakes.loops import let_others_run, loop_time
from tests.fakes.stream import EOF, FakeStream, Pause, Sent, Whole, answer, length_of, split_request
from tests.fakes.uploads import TARGET, telling
from tests.support.series import series

SIZE, RATE, DRAIN = 1000, 100, 200
DATA = bytes(position % 251 for position in range(SIZE))
# 10 bytes each tenth of a second.
STEADY = tuple(step for start in range(0, SIZE, 10) for step in (0.1, DATA[start : start + 10]))
# So far the client has come when the server has been at work for 2 s.
BEGUN = STEADY[:140]
RECEIVED = 700
STALL = 30
TAKEN = answer(204, b"", framing=b"")
LOOK = GlanceOptions()
over_both_protocols = pytest.mark.parametrize("protocol", ["http", "uwsgi"])
by_both_framings = pytest.mark.parametrize("framing", ["length", "chunked, size declared"])


def upload(*script, framing="length", target=TARGET, headers=()):
    headers = [(b"x-auth-token", b"t"), *headers]
    if framing != "length":
        headers.append((b"x-openstack-image-size", b"%d" % SIZE))
    return put(*script, headers=headers, length=SIZE if framing == "length" else None, target=target)


def accepting():
    return FakeStream(Whole(), TAKEN, EOF)


def body_of(sent):
    return split_request(sent)[1]


def check_cut(flow, place=0):
    """The server knew how much was to come, got the right bytes, but not all of them, and was cut off."""
    stream = flow.network.streams[place]
    head, body = split_request(stream.sent)
    assert length_of(head) == SIZE
    assert DATA.startswith(body)
    assert len(body) < SIZE
    assert stream.closed


# -- in order -------------------------------------------------------------------------------------


@over_both_protocols
@by_both_framings
def test_the_server_is_asked_just_early_enough(run_flow, framing, protocol):
    async def scene(flow):
        client, scope = upload(*STEADY, framing=framing)
        began = loop_time()
        task = flow.start(client, scope)
        await asyncio.sleep(4.5)
        assert flow.network.attempts == []
        assert flow.journal.uploads() == {"receiving": 1, "waiting": 0, "forwarding": 0}
        await asyncio.sleep(2)
        (sent,) = flow.sent
        assert length_of(split_request(sent)[0]) == SIZE
        assert DATA.startswith(body_of(sent))
        assert len(body_of(sent)) > SIZE / 2
        (record,) = flow.journal.live()
        assert (record.received, record.length, record.phase) == (len(body_of(sent)), SIZE, Phase.SEND)
        assert flow.journal.uploads()["forwarding"] == 1
        assert await task
        assert loop_time() - began == pytest.approx(SIZE / RATE + 1, abs=0.1)
        assert client.status == 204
        (sent,) = flow.sent
        assert body_of(sent) == DATA
        assert b"transfer" not in sent.lower()
        assert record.received == record.length == SIZE
        assert set(record.phases) == {Phase.RECEIVE, Phase.CONNECT, Phase.SEND, Phase.WAIT, Phase.RESPOND}
        assert record.phases[Phase.RECEIVE] == pytest.approx(5, abs=0.5)

    run_flow(scene, FakeStream(Whole(), Pause(1), TAKEN, EOF), protocol=protocol, drain=DRAIN)


@pytest.mark.parametrize("mode", [BodyMode.SPOOL, BodyMode.AUTO])
def test_spool_begins_when_it_is_whole(run_flow, mode):
    """So does auto, for a server of which nothing says that it would take long."""

    async def scene(flow):
        client, scope = upload(*STEADY)
        task = flow.start(client, scope)
        await asyncio.sleep(9.95)
        assert flow.network.attempts == []
        assert await task
        assert body_of(flow.sent[0]) == DATA

    run_flow(scene, accepting(), body=mode, drain=DRAIN if mode is BodyMode.SPOOL else None)


def test_small_bodies_are_not_worth_it(run_flow):
    async def scene(flow):
        script = [step for _ in range(10) for step in (0.1, b"x" * (MEMORY // 10))]
        client, scope = put(*script, length=MEMORY)
        task = flow.start(client, scope)
        await asyncio.sleep(0.95)
        assert flow.network.attempts == []
        assert await task

    run_flow(scene, accepting(), drain=1)


def test_a_client_that_falls_behind_a_little_is_waited_for(run_flow):
    async def scene(flow):
        client, scope = upload(*BEGUN, STALL - 5, *STEADY[140:])
        assert await flow.serve(client, scope)
        assert client.status == 204
        assert [body_of(sent) for sent in flow.sent] == [DATA]

    run_flow(scene, accepting(), drain=DRAIN)


# -- the client fails after the start -------------------------------------------------------------

SLOW = BodyPace(idle=UNLIMITED, total=UNLIMITED, min_rate=50, grace=10)
SHORT = BodyPace(idle=UNLIMITED, total=8, min_rate=0)
IDLE = BodyPace(idle=5, total=UNLIMITED, min_rate=0)

FAILURES = {
    "malformed": ((BadFraming("A chunk size is malformed."),), 400, "bad_framing", {}),
    "malformed at its end": ((*STEADY[140:], BadFraming("Bad.")), 400, "bad_framing", {}),
    "too short": (STEADY[140:-2], 400, "size_mismatch", {}),
    "too short by a byte": ((*STEADY[140:-1], DATA[-10:-1]), 400, "size_mismatch", {}),
    "too long": ((*STEADY[140:], b"z"), 400, "size_mismatch", {}),
    "far too long": ((*STEADY[140:], *[bytes(1000)] * 100), 400, "size_mismatch", {}),
    "idle": ((6, b"z"), 408, "body_idle_timeout", {"pace": IDLE}),
    "slow": (tuple([1, b"z"] * 100), 408, "body_too_slow", {"pace": SLOW}),
    "too long a time": (STEADY[140:], 408, "body_total_timeout", {"pace": SHORT}),
    "behind": ((1000,), 408, "body_too_slow", {"pace": BodyPace(UNLIMITED, UNLIMITED, min_rate=0)}),
    "dripping": (tuple([2, b"z"] * 100), 408, "body_too_slow", {}),
}


@over_both_protocols
@series("name", FAILURES)
def test_a_client_that_fails_cuts_its_server_off(run_flow, name, protocol):
    script, status, code, options = FAILURES[name]
    wrong = name in ("idle", "slow", "dripping", "far too long")  # what comes then is not DATA

    async def scene(flow):
        client, scope = upload(*BEGUN, *script, framing="chunked, size declared")
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (status, code)
        assert len(flow.network.streams) == 1
        stream = flow.network.streams[0]
        assert RECEIVED - 10 <= len(body_of(stream.sent)) < SIZE
        assert stream.closed
        if not wrong:
            check_cut(flow)
        assert flow.refusals == {code: 1}

    run_flow(scene, FakeStream(), protocol=protocol, drain=DRAIN, **options)


def sha256(data):
    return (b"content-digest", b"sha-256=:%b:" % b64encode(hashlib.sha256(data).digest()))


@over_both_protocols
@by_both_framings
def test_a_body_that_was_altered_on_its_way_cuts_its_server_off(run_flow, framing, protocol):
    """Known with its last byte, which is the one that its server never gets."""

    async def scene(flow):
        client, scope = upload(*STEADY, framing=framing, headers=[sha256(DATA + b"?")])
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (400, "size_mismatch")
        assert len(flow.network.streams) == 1
        assert len(body_of(flow.network.streams[0].sent)) >= SIZE - 10
        check_cut(flow)
        assert flow.refusals == {"size_mismatch": 1}

    run_flow(scene, FakeStream(), protocol=protocol, drain=DRAIN)


def test_a_stream_of_unknown_length_that_was_altered_has_no_last_chunk(run_flow):
    async def scene(flow):
        client, scope = put(*STEADY, headers=[sha256(DATA + b"?")])
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (400, "size_mismatch")
        (stream,) = flow.network.streams
        # All that came before its last part, which is not sent any more, and no end.
        assert stream.sent.endswith(DATA[-20:-10] + b"\r\n")
        assert stream.closed

    run_flow(scene, FakeStream(), body=BodyMode.STREAM)


@over_both_protocols
@series("mode", list(BodyMode))
def test_a_body_that_proves_its_digest_goes_on_with_it(run_flow, mode, protocol):
    async def scene(flow):
        client, scope = upload(*STEADY, headers=[sha256(DATA)])
        assert await flow.serve(client, scope)
        assert client.status == 204
        assert [body_of(sent) for sent in flow.sent] == [DATA]
        assert b64encode(hashlib.sha256(DATA).digest()) in flow.sent[0]

    run_flow(scene, accepting(), protocol=protocol, body=mode, drain=DRAIN)


@over_both_protocols
@series("script", [(GONE,), (0.05, GONE), (*STEADY[140:-1], GONE)])
def test_a_client_that_leaves_cuts_its_server_off(run_flow, script, protocol):
    async def scene(flow):
        client, scope = upload(*BEGUN, *script)
        assert not await flow.serve(client, scope)
        assert client.sent == []
        check_cut(flow)
        assert flow.refusals == {"client_gone": 1}

    run_flow(scene, FakeStream(), protocol=protocol, drain=DRAIN)


def test_a_client_that_has_all_sent_and_leaves(run_flow):
    async def scene(flow):
        client, scope = upload(*STEADY)
        client.leaves.set()
        assert not await flow.serve(client, scope)
        assert flow.network.streams[0].closed
        assert flow.refusals == {"client_gone": 1}

    run_flow(scene, FakeStream(), drain=DRAIN)


def test_a_disk_that_fills_up_after_the_start_cuts_the_server_off(run_flow):
    async def scene(flow):
        task = flow.start(*upload(*STEADY))
        await asyncio.sleep(6)
        flow.disk.capacity = 0
        assert await task
        check_cut(flow)
        assert flow.refusals == {"disk_full": 1}

    run_flow(scene, FakeStream(), drain=DRAIN)


@series("turns", range(0, 40, 2))
@series("how", ["leaves", "is cancelled"])
def test_over_at_any_turn(run_flow, how, turns):
    """Served, or over with nothing held; and not the whole body for a server whose client failed."""

    async def scene(flow):
        last = asyncio.Event()
        client, scope = upload(*STEADY[:-1], last, GONE if how == "leaves" else STEADY[-1])
        task = flow.start(client, scope)
        await asyncio.sleep(15)
        last.set()
        await let_others_run(turns)
        if how == "is cancelled":
            task.cancel()
        await asyncio.wait([task])
        if how == "leaves":
            assert not task.result()
            check_cut(flow)
        else:
            assert task.cancelled() or client.status == 204

    run_flow(scene, accepting(), drain=DRAIN)


# -- the server fails, or answers early -----------------------------------------------------------


@over_both_protocols
@series("status", [401, 403, 409, 413, 500])
def test_an_early_answer_comes_while_the_client_still_sends(run_flow, status, protocol):
    async def scene(flow):
        client, scope = upload(*STEADY)
        began = loop_time()
        assert await flow.serve(client, scope)
        assert (client.status, client.body) == (status, b"no")
        assert 5 < loop_time() - began < 9
        assert flow.refusals == {}
        check_cut(flow)

    stream = FakeStream(Sent(RECEIVED), answer(status, b"no"), EOF, stalls_after=RECEIVED + 100)
    run_flow(scene, stream, protocol=protocol, drain=DRAIN)


@over_both_protocols
def test_after_an_early_answer_nobody_waits_for_the_body(run_flow, protocol):
    """That the client falls silent says nothing against an answer that is still on its way."""

    async def scene(flow):
        client, scope = upload(*BEGUN, 50, *STEADY[140:])
        assert await flow.serve(client, scope)
        assert (client.status, client.body, client.is_answered) == (403, b"no!", True)
        assert flow.refusals == {}

    early = answer(403, b"no!")
    stream = FakeStream(Sent(RECEIVED - 100), early[:-2], Pause(2), b"o", Pause(2), b"!", EOF)
    pace = BodyPace(idle=1, total=UNLIMITED, min_rate=0)
    run_flow(scene, stream, protocol=protocol, drain=DRAIN, pace=pace)


@pytest.mark.parametrize("end", [EOF, UpstreamClosed("Connection reset by peer.")], ids=["closes", "resets"])
@over_both_protocols
def test_a_server_that_dies_is_told_at_once(run_flow, end, protocol):
    async def scene(flow):
        client, scope = upload(*STEADY)
        began = loop_time()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (502, "upstream_closed")
        assert loop_time() - began < 8
        assert len(flow.network.attempts) == 1

    run_flow(scene, FakeStream(Sent(RECEIVED), end), protocol=protocol, drain=DRAIN)


def test_a_server_that_takes_nothing_more(run_flow):
    """Its fault, not the client's, though both are slow."""

    async def scene(flow):
        client, scope = upload(*STEADY)
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (504, "send_timeout")

    run_flow(scene, FakeStream(stalls_after=RECEIVED), drain=DRAIN)


# -- with Glance ----------------------------------------------------------------------------------


def puts(flow):
    return [body_of(sent) for sent in flow.sent if sent.startswith(b"PUT ")]


def test_glance_gets_it_anew_from_a_client_that_stalled(run_flow):
    async def scene(flow):
        client, scope = upload(*BEGUN, STALL + 20, *STEADY[140:])
        assert await flow.serve(client, scope)
        assert client.status == 204
        cut, whole = puts(flow)
        assert DATA[: RECEIVED - 10].startswith(cut[: RECEIVED - 10])
        assert whole == DATA
        assert flow.network.streams[1].closed
        assert flow.refusals == {}

    streams = [*telling("queued"), FakeStream(), *telling("saving", "queued"), accepting()]
    run_flow(scene, *streams, drain=DRAIN, glance=LOOK)


def test_glance_gets_it_anew_after_a_killed_worker_but_only_when_it_is_whole(run_flow):
    async def scene(flow):
        client, scope = upload(*STEADY)
        assert await flow.serve(client, scope)
        assert client.status == 204
        cut, whole = puts(flow)
        assert DATA.startswith(cut)
        assert whole == DATA

    streams = [*telling("queued"), FakeStream(Sent(RECEIVED), EOF), *telling("queued"), accepting()]
    run_flow(scene, *streams, drain=DRAIN, glance=LOOK)


def test_a_stall_that_the_worker_has_not_noticed_yet_is_told_as_the_clients(run_flow):
    async def scene(flow):
        client, scope = upload(*BEGUN, STALL + 20, *STEADY[140:])
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (408, "body_too_slow")
        assert b"still 'saving': its worker lives" in client.body

    streams = [*telling("queued"), FakeStream(), *telling(*["saving"] * 20)]
    run_flow(scene, *streams, drain=DRAIN, glance=LOOK)


def test_the_token_is_judged_while_the_body_comes(run_flow):
    """The server sees the head earlier than with a spool, and says so earlier."""

    async def scene(flow):
        client, scope = upload(*STEADY)
        began = loop_time()
        assert await flow.serve(client, scope)
        assert (client.status, client.code) == (401, "token_expired")
        assert loop_time() - began < 6

    streams = [*telling("queued"), FakeStream(Sent(1), answer(401, b"no"), EOF)]
    run_flow(scene, *streams, drain=DRAIN, glance=LOOK)


# -- as it comes ----------------------------------------------------------------------------------


@over_both_protocols
@by_both_framings
def test_stream_begins_at_once(run_flow, framing, protocol):
    async def scene(flow):
        client, scope = upload(*STEADY, framing=framing)
        task = flow.start(client, scope)
        await asyncio.sleep(1.05)
        assert DATA[:100] == body_of(flow.sent[0])
        assert await task
        assert (client.status, body_of(flow.sent[0])) == (204, DATA)

    run_flow(scene, accepting(), protocol=protocol, body=BodyMode.STREAM)


def chunks(data):
    """What chunks carry, and whether the last one is there."""
    body = b""
    while data and not data.startswith(b"0\r\n"):
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body, data == b"0\r\n\r\n"


def test_stream_of_unknown_length_is_chunked_to_a_server_of_http(run_flow):
    async def scene(flow):
        client, scope = put(*STEADY, target=TARGET)
        task = flow.start(client, scope)
        await asyncio.sleep(1.05)
        head, body = split_request(flow.sent[0])
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert length_of(head) is None
        assert chunks(body) == (DATA[:100], False)
        assert await task
        assert chunks(body_of(flow.sent[0])) == (DATA, True)
        assert flow.journal.live() == []

    run_flow(scene, FakeStream(Pause(20), TAKEN, EOF), body=BodyMode.STREAM)


def test_stream_of_unknown_length_is_spooled_for_uwsgi(run_flow):
    """Without a length it would take the body for empty."""

    async def scene(flow):
        client, scope = put(*STEADY, target=TARGET)
        task = flow.start(client, scope)
        await asyncio.sleep(9.95)
        assert flow.network.attempts == []
        assert await task
        head, body = split_request(flow.sent[0])
        assert (length_of(head), body) == (SIZE, DATA)

    run_flow(scene, accepting(), protocol="uwsgi", body=BodyMode.STREAM)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ((GONE,), "client_gone"),
        ((BadFraming("Bad."),), "bad_framing"),
        ((61, b"z"), "body_too_slow"),
    ],
)
def test_a_stream_that_fails_has_no_last_chunk(run_flow, script, code):
    async def scene(flow):
        client, scope = put(*BEGUN, *script, target=TARGET)
        assert await flow.serve(client, scope) is (code != "client_gone")
        assert chunks(body_of(flow.sent[0])) == (DATA[:RECEIVED], False)
        assert flow.refusals == {code: 1}

    run_flow(scene, FakeStream(), body=BodyMode.STREAM)


@pytest.mark.parametrize("last", [0.5, 1.0, 1.5], ids=["before", "just when", "after"])
def test_a_stream_that_ends_while_its_server_is_connected_to(run_flow, last):
    """Its head is made before the connection is there, and says "chunked": so it stays."""

    async def scene(flow):
        connect = flow.network.connect

        async def connect_slowly(address, timeout):
            await asyncio.sleep(1)
            return await connect(address, timeout)

        for server in flow.upstream.servers:
            server._connect = connect_slowly
        client, scope = put(b"foo", last, b"bar", target=TARGET)
        assert await flow.serve(client, scope)
        head, body = split_request(flow.sent[0])
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert length_of(head) is None
        assert chunks(body) == (b"foobar", True)

    run_flow(scene, FakeStream(Pause(5), TAKEN, EOF), body=BodyMode.STREAM)
