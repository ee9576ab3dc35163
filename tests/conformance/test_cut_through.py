"""Bodies that are forwarded while they still come in, over real sockets.

``stream`` forwards at once, so that a test knows what the server has when its client goes wrong; that
``auto`` begins before the end as well is shown once.
"""

import hashlib
import random
import time
from base64 import b64encode

import pytest

from tests.support import replies
from tests.support.client import LAST, chunk, chunked, head, put
from tests.support.rig import Rig, only
from tests.support.series import series
from tests.support.wire import eventually

MIB = 1 << 20
FAST = "uwsgi-unix-fast"
SIZE = 2 * MIB
PART = SIZE // 4
DATA = random.Random(10).randbytes(SIZE)
STREAM = {"body": "stream"}
IMPATIENT = {"body": "stream", "timeouts.cut_through_stall": "300ms"}
FRAMINGS = {
    "length": f"Content-Length: {SIZE}",
    "size declared": f"Transfer-Encoding: chunked\r\nX-Openstack-Image-Size: {SIZE}",
    "unknown": "Transfer-Encoding: chunked",
}
known = pytest.mark.parametrize(
    "framing", ["length", pytest.param("size declared", marks=pytest.mark.more)], ids=str
)


@pytest.fixture
def rig(rig_with) -> Rig:
    return rig_with(STREAM)


def begin(framing: str, *headers: str) -> bytes:
    return head("PUT", "/x", FRAMINGS[framing], *headers)


def part(framing: str, data: bytes) -> bytes:
    return data if framing == "length" else chunk(data)


def await_received(rig: Rig, size: int):
    """The one request upstream, once so many bytes of its body have come there."""
    (seen,) = rig.stub.wait_requests(complete=False)
    eventually(lambda: seen.received >= size, f"{size} bytes are upstream")
    return seen


def assert_cut(rig: Rig) -> None:
    """The server got the right bytes but the last, and then the end of the connection."""
    (seen,) = rig.stub.requests
    eventually(lambda: seen.ended, "the server's connection is cut")
    assert not seen.complete
    assert seen.received < SIZE
    assert DATA.startswith(seen.body)


# -- in order -------------------------------------------------------------------------------------


def assert_forwarded_part_by_part(rig: Rig, framing):
    """However the parts change hands inside the shim, none stays behind until the next."""
    with rig.client() as client:
        client.send(begin(framing))
        for start in range(0, SIZE, PART):
            client.send(part(framing, DATA[start : start + PART]))
            seen = await_received(rig, min(start + PART, SIZE - 1))
        if framing != "length":
            client.send(LAST)
        assert client.answer().status == 200
    assert rig.stub.only() is seen
    assert (seen.received, seen.sha256) == (SIZE, hashlib.sha256(DATA).hexdigest())
    return seen


@pytest.mark.parametrize("framing", ["length", pytest.param("size declared", marks=pytest.mark.more)])
def test_every_part_is_forwarded_before_the_next_has_come(rig: Rig, framing):
    seen = assert_forwarded_part_by_part(rig, framing)
    assert (seen.length, seen.codings) == (str(SIZE), [])


@only("http-tcp", "http-unix")
def test_every_part_of_unknown_length_is_a_chunk(rig: Rig):
    seen = assert_forwarded_part_by_part(rig, "unknown")
    assert (seen.length, seen.codings) == (None, ["chunked"])


@only("uwsgi-tcp", "uwsgi-unix")
def test_uwsgi_gets_a_length_in_any_case(rig: Rig):
    with rig.client() as client:
        client.send(begin("unknown"), chunked(DATA, PART)[:-1])
        assert client.quiet(0.1)
        assert rig.stub.requests == []
        client.send(LAST[-1:])
        assert client.answer().status == 200
    seen = rig.stub.only()
    assert (seen.length, seen.sha256) == (str(SIZE), hashlib.sha256(DATA).hexdigest())


@only("http-tcp", "uwsgi-unix")
def test_auto_begins_before_the_end(rig_with):
    """It is slow enough to be seen, and fast enough that a server at its first guess takes as long."""
    rig = rig_with({"body": "auto"})
    size = 64 * MIB
    data = random.Random(11).randbytes(MIB)
    with rig.client() as client:
        client.send(head("PUT", "/x", f"Content-Length: {size}"))
        for _ in range(size // MIB - 1):
            client.send(data)
            time.sleep(0.01)
        # Without another byte of the client: its last part is not needed to begin.
        client.send(data[:-1])
        (seen,) = rig.stub.wait_requests(complete=False)
        eventually(lambda: seen.received == size - 1, "all that has come is upstream")
        client.send(data[-1:])
        assert client.answer().status == 200
    assert (seen.length, seen.sha256) == (str(size), hashlib.sha256(data * 64).hexdigest())


def test_a_connection_serves_on(rig: Rig):
    with rig.client() as client:
        for _ in range(3):
            client.send(put("/x", DATA))
            assert client.answer().status == 200
    assert [seen.received for seen in rig.stub.wait_requests(3)] == [SIZE] * 3


# -- the client goes wrong ------------------------------------------------------------------------


@known
@pytest.mark.parametrize("leave", ["finish", pytest.param("reset", marks=pytest.mark.more)])
@series("size", [PART, SIZE - 1])
def test_a_client_that_leaves(rig: Rig, framing, leave, size):
    with rig.client() as client:
        client.send(begin(framing), part(framing, DATA[:size]))
        await_received(rig, size)
        getattr(client, leave)()
        assert_cut(rig)


WRONG = {
    "malformed": (DATA[:PART], b"x\r\n", "bad_framing"),
    "malformed after its last byte": (DATA, b"x\r\n", "bad_framing"),
    "malformed trailer": (DATA, b"0\r\nno trailer\r\n\r\n", "bad_framing"),
    "too short": (DATA[:-1], LAST, "size_mismatch"),
    "far too short": (DATA[:PART], LAST, "size_mismatch"),
    "too long": (DATA, chunk(b"z") + LAST, "size_mismatch"),
}


@series("wrong", WRONG)
def test_a_body_that_is_not_what_was_declared(rig: Rig, wrong):
    data, end, code = WRONG[wrong]
    with rig.client() as client:
        client.send(begin("size declared"), chunk(data))
        await_received(rig, min(len(data), SIZE - 1))
        client.send(end)
        rig.assert_problem(client.answer(), code)
        assert client.ending() == "fin"
    assert_cut(rig)


ALTERED = f"Content-Digest: sha-256=:{b64encode(hashlib.sha256(DATA + b'?').digest()).decode()}:"


@known
def test_a_body_that_was_altered_on_its_way(rig: Rig, framing):
    """The server lacks its last byte for ever, however long that takes."""
    with rig.client() as client:
        client.send(begin(framing, ALTERED), part(framing, DATA[:-1]))
        await_received(rig, SIZE - 1)
        client.send(part(framing, DATA[-1:]), LAST if framing != "length" else b"")
        rig.assert_problem(client.answer(), "size_mismatch")
        assert client.ending() == "fin"
    assert_cut(rig)


@only("http-tcp")
def test_a_stream_of_unknown_length_that_was_altered(rig: Rig):
    """All its bytes may be upstream, but never the chunk that ends them."""
    with rig.client() as client:
        client.send(begin("unknown", ALTERED), chunk(DATA))
        seen = await_received(rig, SIZE)
        client.send(LAST)
        rig.assert_problem(client.answer(), "size_mismatch")
    eventually(lambda: seen.ended, "the server's connection is cut")
    assert not seen.complete


@only("http-tcp", "uwsgi-unix")
def test_a_client_that_keeps_the_server_waiting(rig_with):
    rig = rig_with(IMPATIENT)
    with rig.client() as client:
        client.send(begin("length"), DATA[:PART])
        await_received(rig, PART)
        answer = client.answer()
        rig.assert_problem(answer, "body_too_slow")
        assert "kept the server waiting" in answer.problem["detail"]
    assert_cut(rig)


# -- the server goes its own way ------------------------------------------------------------------


@known
@pytest.mark.parametrize("status", [401, pytest.param(409, marks=pytest.mark.more)])
def test_an_early_answer_while_the_client_still_sends(rig: Rig, framing, status):
    rig.stub.answer(replies.early(status, b"no", "X-Early: yes"))
    with rig.client() as client:
        client.send(begin(framing), part(framing, DATA[:PART]))
        answer = client.answer()
        assert (answer.status, answer.body, answer.complete) == (status, b"no", True)
        # Nobody wants the rest; it does no harm either.
        client.offer(part(framing, DATA[PART:]))
    assert len(rig.stub.requests) == 1


@only("http-tcp", "uwsgi-unix")
def test_a_client_that_reads_only_when_it_has_sent_all(rig: Rig):
    """The answer fits no buffer, nor does the body: one of both has to be taken first."""
    body = bytes(16 * MIB)
    answer_head = replies.answer_head(409, f"Content-Length: {len(body)}")
    # It stays until the shim has gone: to close with bytes unread would destroy its own answer.
    rig.stub.answer(replies.raw(answer_head, body, read=False, end="wait"))
    with rig.client() as client:
        client.send(head("PUT", "/x", f"Content-Length: {len(body)}"), DATA[:PART])
        rig.stub.wait_requests(complete=False)
        client.send(body[PART:])
        answer = client.answer()
    assert (answer.status, len(answer.body)) == (409, len(body))


def test_a_server_that_dies(rig: Rig):
    rig.stub.answer(replies.vanish(PART))
    with rig.client() as client:
        client.send(begin("length"), DATA[:PART])
        rig.assert_problem(client.answer(), "upstream_closed")
    assert len(rig.stub.requests) == 1
