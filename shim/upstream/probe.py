"""Asks a server whether it is there: a uwsgi ping, a health check over HTTP, or only a connection.

A server that takes the connection but does not answer in time is busy, and up: a worker answers the
ping, so it queues behind uploads. The same holds for an application in this process that is loaded.
"""

from shim.errors import NoDescriptor, NoUpstream, ResponseTimeout, UpstreamFault
from shim.timing import Seconds, deadline
from shim.upstream.address import Protocol, UpstreamAddress, join_host_port
from shim.upstream.application import ApplicationServer
from shim.upstream.exchange import UpstreamServer
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.loading import load_application
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.network import NetworkStream, connect
from shim.upstream.pool import Server
from shim.upstream.question import ask
from shim.upstream.wsgi_values import WsgiApplication
from shim.wire.uwsgi import PING, PONG_MODIFIER

PROBE_TIMEOUT: Seconds = 2.0
_FIRST_SERVER_ERROR = 500
_PONG_SIZE = 4


async def probe(address: UpstreamAddress, path: bytes | None, *, timeout: Seconds = PROBE_TIMEOUT) -> Health:
    """Probe one server; never raises for a server's fault.

    Args:
        address: The server.
        path: What to ask for over HTTP; None: connecting is enough.
        timeout: For each of connecting and answering, in seconds.
    """
    try:
        if address.application is not None:
            return await _load_and_call(address, path, timeout)
        if address.protocol is Protocol.UWSGI:
            return await _ping(address, timeout)
        if path is None:
            (await connect(address, timeout)).close()
            return Health(Sign.IS_THERE, "takes connections")
        return await _ask(address, path, timeout)
    except UpstreamFault as error:
        return _down(error)


async def _ping(address: UpstreamAddress, timeout: Seconds) -> Health:
    stream = await connect(address, timeout)
    try:
        async with deadline(timeout, lambda: ResponseTimeout("no answer to the ping")):
            await stream.write(PING, timeout)
            answer = await _read_pong(stream)
    except ResponseTimeout:
        return Health(Sign.BUSY, "busy: takes connections, but no worker answers the ping")
    finally:
        stream.close()
    if len(answer) == _PONG_SIZE and answer[0] == PONG_MODIFIER:
        return Health(Sign.ANSWERS, "answers the ping")
    return Health(Sign.DOWN, "does not speak the uwsgi protocol: no answer to the ping")


async def _read_pong(stream: NetworkStream) -> bytes:
    answer = b""
    while len(answer) < _PONG_SIZE:
        data = await stream.read(_PONG_SIZE - len(answer))
        if not data:
            break
        answer += data
    return answer


async def _ask(address: UpstreamAddress, path: bytes, timeout: Seconds) -> Health:
    server = Server(address, UpstreamTimeouts.of_question(timeout))
    busy = "takes connections, but does not answer the health check"
    return await _ask_server(server, path, timeout, busy=busy)


async def _load_and_call(address: UpstreamAddress, path: bytes | None, timeout: Seconds) -> Health:
    assert address.application is not None
    try:
        application = load_application(address.application)
    except NoUpstream as error:
        # The first line only: the traceback is for whoever starts the shim.
        return Health(Sign.DOWN, error.detail)
    return await ApplicationProbe(address, application, timeout=timeout).ask(path)


class ApplicationProbe:
    """Asks an application in this process, again and again.

    On one thread of its own: a health check that hangs must not take one thread after the other from
    requests, and one that works must not wait behind uploads.
    """

    def __init__(
        self, address: UpstreamAddress, application: WsgiApplication, *, timeout: Seconds = PROBE_TIMEOUT
    ) -> None:
        """Take the loaded application, and how long it may take to answer, in seconds."""
        self._server = ApplicationServer(
            address, application, UpstreamTimeouts.of_question(timeout), threads=1
        )
        self._timeout = timeout

    async def ask(self, path: bytes | None) -> Health:
        """What the application says; never raises for its faults. None: that it is loaded is enough."""
        if path is None:
            return Health(Sign.IS_THERE, "is loaded")
        busy = "is loaded, but does not answer the health check"
        return await _ask_server(self._server, path, self._timeout, busy=busy)


async def _ask_server(server: UpstreamServer, path: bytes, timeout: Seconds, *, busy: str) -> Health:
    upstream = Upstream("probe", [server], connect_retry=0)
    request = UpstreamRequest("GET", path, [(b"host", _host_of(server.address).encode("ascii"))])
    try:
        # Twice: to take no connection in time is one thing, and to answer late, or without an end, another.
        reply = await ask(upstream, request, patience=2 * timeout)
    except ResponseTimeout:
        return Health(Sign.BUSY, f"busy: {busy}")
    except UpstreamFault as error:
        return _down(error)
    finally:
        await upstream.close()
    sign = Sign.ANSWERS if reply.status < _FIRST_SERVER_ERROR else Sign.FAILS
    return Health(sign, f"answers the health check with {reply.status}")


def _down(fault: UpstreamFault) -> Health:
    sign = Sign.UNTRIED if isinstance(fault, NoDescriptor) else Sign.DOWN
    return Health(sign, fault.for_operator)


def _host_of(address: UpstreamAddress) -> str:
    """What the Host field says: the server's own address, without an IPv6 zone, that only we know."""
    if address.host is None or address.port is None:
        return "localhost"
    return join_host_port((address.name or address.host).partition("%")[0], address.port)
