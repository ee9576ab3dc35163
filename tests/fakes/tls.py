"""A TLS connection of the server's with its client in memory; what they say is carried by hand."""

import asyncio
import contextlib
import ssl

from shim.server.certificates import TlsFiles, make_context
from shim.server.tls import TlsTransport
from shim.server.tls_pump import TlsIntake
from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.pumping import Line
from tests.fakes.transport import FakeTransport


def make_identity(folder):
    """A folder with a certificate for ``shim``, and who signed it."""
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

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, exc):
        self.calls.append("lost")


class Pair:
    """A transport and its client; ``talk`` carries what each has for the other."""

    def __init__(self, identity, *, below=None, version=None, **fake):
        self.below = below or FakeTransport(**fake)
        self.upper = Upper()
        context = make_context(TlsFiles(identity / "shim.pem", identity / "shim.key"))
        self.transport = TlsTransport(self.below, context, self.upper, self.upper)
        self.below.protocol = self.transport
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context(cafile=identity / "authority.pem")
        if version is not None:
            client.maximum_version = version
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
        self.hear()

    def hear(self):
        """Carry only what the server said."""
        self.to_client.write(self.below.received[self.taken :])
        self.taken = len(self.below.received)

    def send(self, data):
        self.client.write(data)
        self.talk()

    def sealed(self, *pieces):
        """The records that carry these pieces, which the caller is to deliver."""
        for piece in pieces:
            self.client.write(piece)
        return self.to_server.read()

    def goodbye(self):
        """The client's close_notify, to be delivered."""
        # It would wait for the server's.
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.unwrap()
        return self.to_server.read()


class TlsLine(Line):
    """A client's connection whose ciphertext goes over a real socket, once hands are shaken."""

    def __init__(self, identity, **options):
        super().__init__()
        self.pair = Pair(identity, below=_OnSocket(self.ours), **options).shake()
        self.pair.transport.pause_reading()

    @property
    def transport(self):
        return self.pair.transport

    def intake(self, poller, decoder):
        return TlsIntake(poller, self.transport, decoder)

    def take_back(self):
        """The loop reads again, also what no thread has."""
        self.transport.resume_reading()
        if self.unread:
            self.pair.below.arrive(self.ours.recv(1 << 20))


class _OnSocket(FakeTransport):
    """Has a socket to lend, but does not read from it."""

    def __init__(self, connection):
        super().__init__()
        self._connection = connection

    def fileno(self):
        return self._connection.fileno()
