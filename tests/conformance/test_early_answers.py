"""Answers that come before the body has been read (case 14).

The server decides from the head alone, answers and closes. The client gets that answer every time,
however much of the body was still under way.
"""

import socket
import threading

import pytest

from tests.support import replies
from tests.support.client import chunked, get, put, put_chunked
from tests.support.rig import Rig, only
from tests.support.wire import eventually

MIB = 1 << 20
FAST = "http-tcp-plain"
ROUNDS = 3
STATUSES = [401, 404, 409, 413, 415]
REASON = b"<html><title>said early</title>" + b"." * 3000


def assert_relayed(rig: Rig, request: bytes, status: int) -> None:
    answer = rig.ask(request)
    assert (answer.status, answer.body, answer.complete) == (status, REASON, True), answer
    assert answer.header("X-Early") == "yes"


@pytest.mark.parametrize(
    ("size", "framing"),
    [
        pytest.param(4 * MIB, "chunked", id="4 MiB chunked"),
        pytest.param(4 * MIB, "length", id="4 MiB length"),
        pytest.param(100_000, "chunked", id="100 kB chunked"),
        pytest.param(6, "chunked", id="6 bytes chunked"),
        pytest.param(6, "length", id="6 bytes length"),
    ],
)
def test_early_answer_reaches_the_client(rig: Rig, size, framing):
    body = bytes(size)
    request = put("/x", body) if framing == "length" else put_chunked("/x", chunked(body, MIB))
    turns = STATUSES * (1 if size > MIB else 3)
    rig.stub.answer(*[replies.early(status, REASON, "X-Early: yes", "Connection: close") for status in turns])
    for status in turns:
        assert_relayed(rig, request, status)
    assert len(rig.stub.requests) == len(turns), "a request was sent again"


FRAMED = {
    "length": replies.answer_head(409, f"Content-Length: {len(REASON)}", "X-Early: yes") + REASON,
    "chunked": replies.answer_head(409, "Transfer-Encoding: chunked", "X-Early: yes") + chunked(REASON, 1000),
}


@pytest.mark.parametrize("framed", FRAMED)
def test_early_answer_in_every_framing(rig: Rig, framed):
    rig.stub.answer(*[replies.raw(FRAMED[framed], read=False)] * ROUNDS)
    for _ in range(ROUNDS):
        assert_relayed(rig, put_chunked("/x", chunked(bytes(4 * MIB), MIB)), 409)
    assert len(rig.stub.requests) == ROUNDS


@pytest.mark.parametrize("framed", FRAMED)
def test_early_answer_of_a_server_that_neither_reads_nor_closes(rig: Rig, gate, framed):
    def reply(exchange):
        exchange.send(FRAMED[framed])
        exchange.wait(gate)
        exchange.wait_end()

    rig.stub.answer(reply)
    assert_relayed(rig, put_chunked("/x", chunked(bytes(8 * MIB), MIB)), 409)
    gate.set()
    first = rig.stub.requests[0]
    eventually(lambda: first.ended, "the shim gives up the connection, as its body was not sent whole")
    assert rig.ask(get("/y")).status == 200
    assert rig.stub.requests[1].connection != first.connection


@pytest.mark.parametrize("count", [1, MIB])
def test_answer_after_a_part_of_the_body(rig: Rig, count):
    def reply(exchange):
        exchange.read_body(count)
        exchange.send(replies.answer_head(413, f"Content-Length: {len(REASON)}", "X-Early: yes"), REASON)
        exchange.close()

    rig.stub.answer(*[reply] * ROUNDS)
    for _ in range(ROUNDS):
        assert_relayed(rig, put_chunked("/x", chunked(bytes(4 * MIB), MIB)), 413)


@only("http-unix", "uwsgi-unix")
def test_answer_that_comes_after_the_pipe_broke(rig: Rig, gate):
    """A server that closes its reading side first: sending fails before the answer is there."""

    def reply(exchange):
        exchange.sock.shutdown(socket.SHUT_RD)
        exchange.wait(gate)
        exchange.send(FRAMED["length"])
        exchange.close()

    rig.stub.answer(reply)
    with rig.client() as client:
        client.send(put_chunked("/x", chunked(bytes(4 * MIB), MIB)))
        rig.stub.wait_requests(complete=False)
        assert client.quiet(0.1)
        gate.set()
        answer = client.answer()
    assert (answer.status, answer.body, answer.complete) == (409, REASON, True)
    assert len(rig.stub.requests) == 1


def test_client_connection_serves_on_after_an_early_answer(rig: Rig):
    rig.stub.answer(replies.early(409, REASON))
    with rig.client() as client:
        client.send(put_chunked("/x", chunked(bytes(4 * MIB), MIB)))
        assert client.answer().status == 409
        client.send(get("/y"))
        assert client.answer().body == b"GET /y"


def test_early_answers_to_several_at_once(rig: Rig):
    rig.stub.answer(*[replies.early(409, REASON, "X-Early: yes")] * 8)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            assert_relayed(rig, put_chunked("/x", chunked(bytes(2 * MIB), MIB)), 409)
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
