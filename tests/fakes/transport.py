"""A client's connection as asyncio's transports behave: what arrives while reading is paused waits in the
kernel, what is written waits until the client takes it, and a close with bytes unread is a reset.
"""

import asyncio
from typing import Any

READ_SIZE = 256 * 1024


class FakeTransport(asyncio.Transport):
    """The server's side of one client connection; ``arrive`` and ``leave`` are the client's.

    Args:
        takes: Bytes that the client takes before it reads no more; None: all.
        can_half_close: False for TLS.
    """

    def __init__(self, *, takes: int | None = None, can_half_close: bool = True) -> None:
        super().__init__(
            {"peername": ("192.0.2.7", 40000), "sockname": ("192.0.2.1", 9292), "sslcontext": None}
        )
        self.writes = 0
        self.loop = asyncio.get_running_loop()
        self.protocol: Any = None
        self.received = b""  # what the client got
        self.buffer = b""  # written, but not taken by the client yet
        self.kernel = b""  # arrived, but not read by the server yet
        self.reads = 0
        self.high = 64 * 1024
        self.half_closed = False
        self.closing = False
        self.lost = False
        self.aborted = False
        self.reset = False
        self.options: list[tuple[int, int, bytes]] = []
        self._reading = True
        self._takes = takes
        self._can_half_close = can_half_close
        self._writing_paused = False
        self._eof_arrived = False
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    # -- the client's side ------------------------------------------------------------------------

    def arrive(self, data: bytes) -> None:
        """Bytes of the client come in."""
        assert not self._eof_arrived
        self.kernel += data
        self._pump()

    def arrive_eof(self) -> None:
        """The client closes its sending side, or all of its socket."""
        self._eof_arrived = True
        self._pump()

    def leave(self, error: Exception | None = None) -> None:
        """The connection breaks, noticed at once."""
        self._lose(error)

    def take(self, size: int | None = None) -> None:
        """The client reads ``size`` bytes more of what it is sent (None: all from now on)."""
        self._takes = None if size is None or self._takes is None else self._takes + size
        self._flush()

    async def until_received(self, end: bytes) -> bytes:
        """Wait until the client has got ``end``; all that it got."""
        while end not in self.received:
            self._news.clear()
            await self._news.wait()
        return self.received

    async def until_over(self) -> bytes:
        """Wait until the server has closed; everything that the client got."""
        await self._over.wait()
        return self.received

    @property
    def ended(self) -> bool:
        """Whether the server has ended its sending side, alone or with all of the connection."""
        return self.half_closed or self.closing

    # -- the transport ----------------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take the high-water mark."""
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        """Bytes not taken yet."""
        return len(self.buffer)

    def write(self, data: Any) -> None:
        """Send; after an end of the sending side it is a fault."""
        assert not self.half_closed, "written after write_eof"
        assert len(data), "an empty write"
        self.writes += 1
        if self.closing:
            return
        self.buffer += bytes(data)
        self._flush()
        if len(self.buffer) > self.high and not self._writing_paused:
            self._writing_paused = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Whether the sending side can be ended alone."""
        return self._can_half_close

    def write_eof(self) -> None:
        """End the sending side."""
        assert self._can_half_close
        self.half_closed = True

    def is_reading(self) -> bool:
        """Whether arriving bytes are handed over."""
        return self._reading

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel."""
        assert not self.closing
        assert self._reading, "paused twice"
        self._reading = False

    def resume_reading(self) -> None:
        """Hand over what has arrived, soon."""
        assert not self.closing
        assert not self._reading, "resumed twice"
        self._reading = True
        self.loop.call_soon(self._pump)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self.closing

    def close(self) -> None:
        """Close once all is sent."""
        if self.closing:
            return
        self.closing = True
        self._reading = False
        if not self.buffer:
            self._lose(None)

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self.aborted = True
        self.closing = True
        self.buffer = b""
        self._lose(None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The socket is the transport itself, as far as options are concerned."""
        return self if name == "socket" else super().get_extra_info(name, default)

    # -- as the socket ----------------------------------------------------------------------------

    def fileno(self) -> int:
        """There is no descriptor."""
        return -1

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """Remember an option."""
        self.options.append((level, option, value))

    def getpeername(self) -> Any:
        """The client's address."""
        return super().get_extra_info("peername")

    def getsockname(self) -> Any:
        """The server's address."""
        return super().get_extra_info("sockname")

    def _pump(self) -> None:
        while self._reading and self.kernel and not self.closing:
            data, self.kernel = self.kernel[:READ_SIZE], self.kernel[READ_SIZE:]
            self.reads += 1
            self.protocol.data_received(data)
        if self._reading and self._eof_arrived and not self.kernel and not self.closing:
            self._reading = False
            if not self.protocol.eof_received():
                self.close()

    def _flush(self) -> None:
        size = len(self.buffer) if self._takes is None else min(self._takes, len(self.buffer))
        self.received += self.buffer[:size]
        self._news.set()
        self.buffer = self.buffer[size:]
        if self._takes is not None:
            self._takes -= size
        if self._writing_paused and len(self.buffer) <= self.high // 4:
            self._writing_paused = False
            self.protocol.resume_writing()
        if self.closing and not self.buffer and not self.lost:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self.lost:
            return
        self.lost = self.closing = True
        self._reading = False
        # The kernel answers bytes that nobody read with a reset; the client may lose what it was sent.
        self.reset = bool(self.kernel)
        self.loop.call_soon(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)
        self._over.set()
