"""A connection to the admin listener: uvicorn's own with limits, which can be cut, and may know its client.

What an operator does is written down with a name; behind a unix socket the kernel knows one. uvicorn closes
a connection only once all is sent, which to who does not read is never; and it takes heads of any size, for
any time, on any number of connections, before anything asks for a token.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shim.asgi import ABORT, LOCAL_PEER
from shim.local_peer import LocalPeer, read_local_peer
from shim.server.connection_options import ConnectionOptions
from shim.timing import Alarm

# Bytes after a whole head, up to the end of the next one: it, and a body, which no admin call has a use for.
MOST_UNREAD = 64 * 1024
# Requests that wait for the answer before theirs: uvicorn reads on, whatever is in line.
MOST_PIPELINED = 16
# Of a process. Dashboards and probes are a handful, and their descriptors are not there for uploads.
MOST_CONNECTIONS = 256

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class AdminConnection(HttpToolsProtocol):
    """Puts its abort into the scope's extensions, and a ``LocalPeer`` where there is one.

    A head has ``header_timeout``, from the connection's begin or the last answer. An answer has no limit, but
    where its client does not read, and at the end, it has ``linger_timeout`` to take what was sent.
    """

    _peer: LocalPeer | None  # of ``connection_made``

    def __init__(self, *arguments: Any, options: ConnectionOptions, **named: Any) -> None:
        """Take uvicorn's arguments, and how long to wait."""
        super().__init__(*arguments, **named)
        self._options = options
        self._alarm = Alarm(self.loop)
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who has connected: at that moment, whoever has the socket later."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        self._peer = None if connection is None else read_local_peer(connection)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._set_alarm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._alarm.close()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as it is not too much for a head."""
        self._unread += len(data)
        if self._unread > MOST_UNREAD:
            self._refuse()
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins: uvicorn makes its scope here."""
        super().on_message_begin()
        offers: dict[str, Any] = {ABORT: self.transport.abort}
        if self._peer is not None:
            offers[LOCAL_PEER] = self._peer
        # ASGI leaves the values of extensions to servers; uvicorn's types know none.
        self.scope["extensions"] = offers

    def on_headers_complete(self) -> None:
        """A head is whole: its answer may take its time, a live view has no end."""
        super().on_headers_complete()
        self._unread = 0
        self._set_alarm()
        if len(self.pipeline) > MOST_PIPELINED:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """The next head, or the end, has to come in time."""
        # uvicorn's time between requests ends with the first byte of the next one.
        super().on_response_complete()
        self._set_alarm()

    def pause_writing(self) -> None:
        """The client reads too slowly, or not at all: the answer waits for it."""
        super().pause_writing()
        self._set_alarm()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._set_alarm()

    @property
    def _is_answered(self) -> bool:
        """Whether no request waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _set_alarm(self) -> None:
        """Give what is waited for now its time; an answer is waited for without an end."""
        if self._is_answered:
            self._alarm.set(self._options.header_timeout, self._close)
        elif self.flow.write_paused:
            self._alarm.set(self._options.linger_timeout, self.transport.abort)
        else:
            self._alarm.stop()

    def _close(self) -> None:
        self.transport.close()
        self._alarm.set(self._options.linger_timeout, self.transport.abort)

    def _refuse(self) -> None:
        """It is too much: in the middle of an answer there is no place for another one."""
        if self._is_answered:
            self.transport.write(_TOO_LARGE)
            self._close()
        else:
            self.transport.abort()
