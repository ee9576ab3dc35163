"""TLS as a transport over a plain one: OpenSSL works on memory, and the connection's ends stay ours.

The loops' own TLS transports cannot stop sending and go on reading, and take the first byte of a
connection for TLS, where a PROXY header may stand (``docs/decisions/0014``). A pump may borrow what decrypts.
"""

import asyncio
import enum
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from shim.server.records import MOST_IN_MEMORY, Records

# An answer leaves its own limit in the transport, and what it writes at once. More is messages of TLS
# itself (key updates) that a client asked for without end and does not read.
MOST_UNSENT = 8 * 1024 * 1024


class Tls(enum.Enum):
    """How far a TLS connection is."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    ENDED = "ended"  # close_notify is sent: what still comes is not even decrypted


class Handshake(Protocol):
    """Who waits for the end of a handshake."""

    def established(self) -> None:
        """The transport can be used; ``set_protocol`` says by whom."""
        ...

    def failed(self, error: ssl.SSLError) -> None:
        """There will be no connection; an alert is on its way, and the transport to be closed."""
        ...


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """The server's side of one TLS connection: a protocol to the transport below, a transport to ours.

    Attributes:
        records: Its TLS itself, which may be lent to a pump with the socket.
    """

    def __init__(
        self, below: asyncio.Transport, context: ssl.SSLContext, protocol: asyncio.Protocol, shake: Handshake
    ) -> None:
        """Take the plain transport, and who is told of the connection's loss and of the handshake's end."""
        super().__init__()
        self._below = below
        self._context = context
        self._protocol = protocol
        self._shake = shake
        self.records = Records(context)
        self._is_paused = False
        self.state = Tls.HANDSHAKE

    def __repr__(self) -> str:
        return f"<TlsTransport {self.state.value} {self.records.session.version() or ''}>"

    # -- the calls of the transport below ---------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take encrypted bytes."""
        for start in range(0, len(data), MOST_IN_MEMORY):
            if self.state is Tls.ENDED:
                return
            self.records.feed(memoryview(data)[start : start + MOST_IN_MEMORY])
            if self.state is Tls.HANDSHAKE:
                self._go_on_shaking()
            else:
                self._deliver_unless_paused()

    def eof_received(self) -> None:
        """The client will send no more: it is taken for gone (returning None closes the transport)."""
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.state = Tls.ENDED
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._protocol.resume_writing()

    # -- reading ----------------------------------------------------------------------------------

    def _go_on_shaking(self) -> None:
        try:
            self.records.shake_hands()
        except ssl.SSLWantReadError:
            self.flush()
        except ssl.SSLError as error:
            self.flush()
            self.state = Tls.ENDED
            self._shake.failed(error)
        else:
            self.flush()
            self.state = Tls.OPEN
            self._shake.established()
            self._deliver_unless_paused()

    def _deliver_unless_paused(self) -> None:
        if not self._is_paused:
            self._deliver()

    def _deliver(self) -> None:
        """Hand on all that is decrypted, at once: what is left would have nobody to remind of it."""
        if self.state is not Tls.OPEN:
            return
        pieces: list[bytes] = []
        try:
            while piece := self.records.read():
                pieces.append(piece)
            is_over = True
        except ssl.SSLWantReadError:
            is_over = False
        except ssl.SSLError:
            # Altered on its way, or no TLS at all: nothing of it can be believed.
            self.abort()
            return
        self.flush()
        if pieces:
            self._protocol.data_received(b"".join(pieces))
        if is_over:
            # A client that says goodbye has gone, as one that sends FIN (docs/decisions/0005).
            self._protocol.eof_received()
            self.close()

    def pause_reading(self) -> None:
        """Deliver no more."""
        self._is_paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again, also what came before."""
        self._is_paused = False
        self._below.resume_reading()
        if self.records.has_news:
            asyncio.get_running_loop().call_soon(self._deliver_unless_paused)

    def settle(self) -> bool:
        """Deliver what has come, though reading is paused; whether another may read on from the socket.

        What is left then is a part of a record, which only what follows it makes readable.
        """
        self._deliver()
        return self.state is Tls.OPEN and not self._below.is_closing()

    def is_reading(self) -> bool:
        """Whether bytes are delivered."""
        return not self._is_paused

    # -- writing ----------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Encrypt and send."""
        if self.state is not Tls.OPEN or self._below.is_closing():
            return
        left = memoryview(data)
        try:
            while left:
                # A record at a time: OpenSSL is told to return after each.
                left = left[self.records.write(left) :]
                if self.records.unsent >= MOST_IN_MEMORY:
                    self.flush()
        except ssl.SSLError:
            self.abort()
            return
        self.flush()

    def flush(self) -> None:
        """Send what waits to be sent, also what TLS itself has to say."""
        unsent = self.records.take_unsent()
        if not unsent or self._below.is_closing():
            return
        self._below.write(unsent)
        if self._below.get_write_buffer_size() > MOST_UNSENT:
            self.abort()

    # -- ends -------------------------------------------------------------------------------------

    def can_write_eof(self) -> bool:
        """Whether sending can end while reading goes on."""
        return self._below.can_write_eof()

    def write_eof(self) -> None:
        """close_notify and FIN after what was written; what comes from now on is thrown away."""
        self._say_goodbye()
        self._below.write_eof()

    def close(self) -> None:
        """Close after what was written, and close_notify."""
        if not self._below.is_closing():
            self._say_goodbye()
            self._below.close()

    def abort(self) -> None:
        """Close at once: without close_notify, so that the client sees a cut."""
        self.state = Tls.ENDED
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._below.is_closing()

    def _say_goodbye(self) -> None:
        if self.state is Tls.OPEN:
            self.records.say_goodbye()
            self.flush()
        self.state = Tls.ENDED

    # -- what a transport is asked ----------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes from now on to another protocol."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what comes."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection; ``sslcontext`` is how others see that it is TLS."""
        own: dict[str, Callable[[], Any]] = {
            "sslcontext": lambda: self._context,
            "ssl_object": lambda: self.records.session,
            "cipher": self.records.session.cipher,
            "peercert": self.records.session.getpeercert,
        }
        return own[name]() if name in own else self._below.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that the kernel has not taken yet."""
        return self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """When writing is paused and resumed."""
        return self._below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say when writing is paused and resumed."""
        self._below.set_write_buffer_limits(high, low)
