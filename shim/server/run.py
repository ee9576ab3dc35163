"""A worker: runs the two listeners under uvicorn until it is told to end, and then drains them.

uvicorn raises a captured signal again after its shutdown; here signals and orders are ours, so that an
asked-for end is exit status 0, readiness ends before service, and the admin listener outlives the drain.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

from shim.admission.connections import ConnectionGate
from shim.admission.drain import Drain
from shim.asgi import Application
from shim.poller import Poller
from shim.server.addresses import ListenAddress
from shim.server.admin_connection import AdminConnection
from shim.server.certificates import CertificateFault, ServerCertificate, TlsFiles
from shim.server.channel import Beat
from shim.server.connection_options import ConnectionOptions
from shim.server.entrance import EntranceOptions, entered_by
from shim.server.leaving import Leaving, Listener
from shim.server.listen import BACKLOG, ListenFailed
from shim.server.plan import Station
from shim.server.protocol import ClientConnection
from shim.timing import UNLIMITED, Seconds, cancel_and_wait
from shim.wire.peer import TrustedProxies

log = logging.getLogger("shim.server")

# libuv takes one connection a turn from each descriptor that it watches. With one alone, who comes behind
# five hundred uploads that connect in the same moment waits for five hundred turns, full of their work.
TAKEN_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where to listen and how to end; times in seconds (``timeouts.drain``, ``timeouts.drain_delay``).

    Attributes:
        tls: The certificate of the proxied listener; None: it is plain.
        proxy_protocol: Who connects to it with a PROXY header, and nobody else; None: it expects none.
    """

    listen: Sequence[ListenAddress]
    admin_listen: Sequence[ListenAddress] = ()
    socket_mode: int = 0o660
    reuse_port: bool = False
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    drain: Seconds = 600.0
    drain_delay: Seconds = 0.0
    tls: TlsFiles | None = None
    proxy_protocol: TrustedProxies | None = None


@dataclass(frozen=True, slots=True)
class Duties:
    """What a worker has to run.

    Attributes:
        poller: Reads the bodies that go to disk; without one the event loop does.
        relays: Moves large answers; without it the event loop does.
        presence: Runs beside the listeners, from before the first request to after the last.
        load: Uploads under way, and bytes that they hold.
        end_streams: Ends the answers of the admin listener that have no end of their own.
    """

    application: Application
    admin: Application
    drain: Drain
    gate: ConnectionGate
    poller: Poller | None = None
    relays: Poller | None = None
    presence: Callable[[], contextlib.AbstractAsyncContextManager[None]] = contextlib.nullcontext
    load: Callable[[], tuple[int, int]] = lambda: (0, 0)
    end_streams: Callable[[], None] = lambda: None


def run(options: RunOptions, duties: Duties, station: Station) -> None:
    """Serve on the station's sockets until it is told to end, or has no supervisor any more.

    Raises:
        ListenFailed: The certificate cannot be used.
    """
    certificate = _certificate(options.tls)
    _spare_collections()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(options, duties, station, certificate))


def _spare_collections() -> None:
    """Let the garbage collector look at requests only, and not after every few of them.

    What is there now lives as long as the process. A request makes some hundred objects, hardly any in
    rings; by Python's defaults they were looked through every third request (a twentieth of its time).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _certificate(files: TlsFiles | None) -> ServerCertificate | None:
    try:
        return None if files is None else ServerCertificate(files)
    except CertificateFault as fault:
        raise ListenFailed(f"server.tls: {fault}") from fault


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handling, and with word of its start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    options: RunOptions, duties: Duties, station: Station, certificate: ServerCertificate | None
) -> None:
    main = _Server(_main_config(options, duties, certificate))
    control = _Server(_admin_config(options, duties))
    leaving = Leaving(Listener(main), Listener(control), duties.drain, options.drain, options.drain_delay)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.drain)
    async with duties.presence(), asyncio.TaskGroup() as group:
        following = group.create_task(_follow_orders(leaving, station))
        serving = group.create_task(main.serve(_handles(station.listeners)))
        if station.admin_listeners:
            group.create_task(control.serve([*station.admin_listeners]))
        beside = [following, group.create_task(_beat(main, duties, station))]
        if certificate is not None:
            beside.append(group.create_task(certificate.watch()))
        await serving
        await _end_tasks(main)
        _give_up_connections(main)
        duties.end_streams()
        control.should_exit = True
        for task in beside:
            await cancel_and_wait(task)
        await leaving.settle()
    station.post.close()


def _handles(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """The listeners, each as often as connections are to be taken from it in one turn of the loop."""
    often = 1 if uvloop is None else TAKEN_AT_ONCE
    return [handle for listener in listeners for handle in (listener, *_duplicates(listener, often - 1))]


def _duplicates(listener: socket.socket, number: int) -> list[socket.socket]:
    return [listener.dup() for _ in range(number)]


async def _follow_orders(leaving: Leaving, station: Station) -> None:
    async for order in station.post.orders():
        leaving.follow(order)
    log.warning("The supervisor has gone; requests under way may end")
    leaving.drain()


async def _beat(main: _Server, duties: Duties, station: Station) -> None:
    """Give signs of life, the first one when the listeners are up; none come while the loop is held up."""
    await main.listening.wait()
    while True:
        uploads, held = duties.load()
        station.post.tell(Beat(uploads, held))
        await asyncio.sleep(station.beat)


async def _end_tasks(main: _Server) -> None:
    """Cut off what still runs, and wait for its end: it has files and leases to give back."""
    while tasks := set(main.server_state.tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _give_up_connections(main: _Server) -> None:
    """End those whose time is over: closed with the process, an answer that is not whole would look so."""
    for connection in list(main.server_state.connections):
        if isinstance(connection, ClientConnection):
            connection.give_up()


def _main_config(
    options: RunOptions, duties: Duties, certificate: ServerCertificate | None
) -> uvicorn.Config:
    protocol = functools.partial(
        ClientConnection,
        options=options.connection,
        poller=duties.poller,
        relays=duties.relays,
        gate=duties.gate,
    )
    entrance = EntranceOptions(
        certificate, options.proxy_protocol, options.connection.header_timeout, duties.gate
    )
    return uvicorn.Config(
        duties.application,
        http=entered_by(entrance, protocol),  # type: ignore[arg-type]
        # uvicorn says whole seconds, and gives them to wait_for, which takes parts of them too.
        timeout_graceful_shutdown=None if options.drain == UNLIMITED else options.drain,  # type: ignore[arg-type]
        **_COMMON,
    )


def _admin_config(options: RunOptions, duties: Duties) -> uvicorn.Config:
    return uvicorn.Config(
        duties.admin,
        http=functools.partial(AdminConnection, options=options.connection),  # type: ignore[arg-type]
        timeout_graceful_shutdown=1,
        **_COMMON,
    )


_COMMON: dict[str, Any] = {
    "interface": "asgi3",
    # What lives as long as the worker is its ``presence``.
    "lifespan": "off",
    # An upgrade is a request like any other: no library for websockets is looked for.
    "ws": "none",
    # Log lines are ours, and set up by now.
    "log_config": None,
    "access_log": False,
    # Which proxies are believed is decided by our own rules (``TrustedProxies``).
    "proxy_headers": False,
    # An answer has the Server field of the service behind, or none.
    "server_header": False,
    "backlog": BACKLOG,
}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    # uvloop has no wheel for every system that Python has; asyncio's own loop does the same, slower.
    return asyncio.new_event_loop if uvloop is None else uvloop.new_event_loop
