"""The TLS transport over a fake one, with a real client in memory: what is held, dropped, and cut."""

import asyncio
import ssl

import pytest

from shim.server.certificates import TlsFiles, make_context
from shim.server.tls import Tls, TlsTransport
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.loops import run
from tests.fakes.transport import FakeTransport


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity")
    make_authority(folder)
    make_certificate(folder, "shim", "DNS:shim")
    return folder


class Upper(asyncio.Protocol):
    """What stands above: remembers, and does as told at the handshake's end."""

    def __init__(self):
        self.received = b""
        self.calls = []
        self.at_first = lambda: None

    def established(self):
        self.calls.append("established")
        self.at_first()

    def failed(self, error):
        self.calls.append(error.reason)

    def data_received(self, data):
        self.calls.append("data")
        self.received += data

    def connection_lost(self, exc):
        self.calls.append("lost")


class Pair:
    """A transport and its client; ``talk`` carries what each has for the other."""

    def __init__(self, identity, **fake):
        self.below = FakeTransport(**fake)
        self.upper = Upper()
        context = make_context(TlsFiles(identity / "shim.pem", identity / "shim.key"))
        self.transport = TlsTransport(self.below, context, self.upper, self.upper)
        self.below.protocol = self.transport
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=identity / "authority.pem")
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname="shim")
        self.taken = 0

    def shake(self):
        while True:
            try:
                self.client.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.talk()
        self.talk()
        return self

    def talk(self):
        self.below.arrive(self.to_server.read())
        self.to_client.write(self.below.received[self.taken :])
        self.taken = len(self.below.received)

    def send(self, data):
        self.client.write(data)
        self.talk()


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
