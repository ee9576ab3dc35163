"""The TLS transport over a fake one, with a real client in memory: what is held, dropped, and cut."""

import asyncio
import ssl

import pytest

from shim.server.tls import Tls
from tests.fakes.loops import run
from tests.fakes.tls import Pair, make_identity


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return make_identity(tmp_path_factory.mktemp("identity"))


def test_what_came_with_the_handshake_waits_while_reading_is_paused(identity):
    async def story():
        pair = Pair(identity)
        pair.upper.at_first = pair.transport.pause_reading
        while pair.transport.state is Tls.HANDSHAKE:
            try:
                pair.client.do_handshake()
                pair.client.write(b"early")
            except ssl.SSLWantReadError:
                pass
            pair.talk()
        assert (pair.upper.received, pair.transport.is_reading()) == (b"", False)
        pair.transport.resume_reading()
        await asyncio.sleep(0)
        assert pair.upper.received == b"early"

    run(story())


def test_many_records_come_as_one_piece(identity):
    async def story():
        pair = Pair(identity).shake()
        for _ in range(5):
            pair.client.write(b"x" * 10_000)
        pair.talk()
        assert pair.upper.calls == ["established", "data"]
        assert len(pair.upper.received) == 50_000

    run(story())


def test_after_the_goodbye_nothing_is_even_decrypted(identity):
    async def story():
        pair = Pair(identity).shake()
        pair.transport.write(b"answer")
        pair.transport.write_eof()
        assert pair.below.half_closed
        pair.talk()
        assert pair.client.read(100) == b"answer"
        assert pair.client.read(100) == b""  # close_notify
        pair.below.arrive(b"neither TLS nor anything else")
        assert not pair.below.aborted
        assert pair.upper.received == b""
        pair.transport.write(b"too late")
        assert len(pair.below.received) == pair.taken

    run(story())


def test_a_client_that_says_goodbye_has_gone(identity):
    async def story():
        pair = Pair(identity).shake()
        with pytest.raises(ssl.SSLWantReadError):
            pair.client.unwrap()
        pair.talk()
        assert pair.transport.is_closing()
        assert not pair.below.aborted

    run(story())


def test_an_altered_record_cuts(identity):
    async def story():
        pair = Pair(identity).shake()
        pair.client.write(b"body")
        record = bytearray(pair.to_server.read())
        record[-1] ^= 1
        pair.below.arrive(bytes(record))
        assert pair.below.aborted
        assert pair.upper.received == b""

    run(story())


def test_a_client_that_lets_messages_pile_up_is_cut(identity, monkeypatch):
    monkeypatch.setattr("shim.server.tls.MOST_UNSENT", 10_000)

    async def story():
        pair = Pair(identity).shake()
        pair.below._takes = 0
        pair.transport.write(b"x" * 5000)
        assert not pair.below.aborted
        pair.transport.write(b"x" * 5001)
        assert pair.below.aborted

    run(story())


def test_no_handshake(identity):
    async def story():
        pair = Pair(identity)
        pair.below.arrive(b"GET / HTTP/1.1\r\n\r\n")
        assert pair.upper.calls == ["HTTP_REQUEST"]
        assert pair.transport.state is Tls.ENDED

    run(story())


def test_what_others_ask_of_it(identity):
    async def story():
        pair = Pair(identity).shake()
        transport = pair.transport
        assert transport.get_extra_info("sslcontext") is not None
        assert transport.get_extra_info("peername") == ("192.0.2.7", 40000)
        assert transport.get_extra_info("nothing", 7) == 7
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() is None
        assert "TLSv1.3" in repr(transport)
        assert transport.get_protocol() is pair.upper
        pair.below.leave()
        await asyncio.sleep(0)
        assert pair.upper.calls[-1] == "lost"

    run(story())
