"""Runs the two listeners under uvicorn until a signal, and then drains them.

uvicorn raises a captured signal again after its shutdown; here the signals are ours, so that an asked-for
end is exit status 0, readiness ends before service, and the admin listener outlives the drain.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

from shim.admission.drain import Drain
from shim.asgi import Application
from shim.poller import Poller
from shim.server.addresses import ListenAddress
from shim.server.certificates import CertificateFault, ServerCertificate, TlsFiles
from shim.server.entrance import EntranceOptions, entered_by
from shim.server.listen import ListenFailed, open_listeners, place_of
from shim.server.protocol import ClientConnection, ConnectionOptions
from shim.timing import UNLIMITED, Seconds
from shim.wire.forwarding import TrustedProxies

log = logging.getLogger("shim.server")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    drain: Seconds = 600.0
    drain_delay: Seconds = 0.0
    tls: TlsFiles | None = None
    proxy_protocol: TrustedProxies | None = None


def run(
    options: RunOptions,
    application: Application,
    admin: Application,
    drain: Drain,
    *,
    poller: Poller | None = None,
    relays: Poller | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    A ``poller`` reads the bodies that go to disk, ``relays`` moves large answers; without them the event
    loop does.

    Raises:
        ListenFailed: An address cannot be listened on.
    """
    with (
        open_listeners(options.listen, options.socket_mode) as listeners,
        open_listeners(options.admin_listen, options.socket_mode) as admin_listeners,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        certificate = _certificate(options.tls)
        _spare_collections()
        main = _Server(_main_config(options, application, poller, relays, certificate))
        control = _Server(_admin_config(admin))
        sockets = {main: listeners, control: admin_listeners}
        runner.run(_serve(main, control, drain, options.drain_delay, sockets, certificate=certificate))


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
    """uvicorn's server without its signal handling."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    main: _Server,
    control: _Server,
    drain: Drain,
    delay: Seconds,
    listeners: Mapping[_Server, list[socket.socket]],
    *,
    certificate: ServerCertificate | None,
) -> None:
    asked = _watch_signals(main)
    places = {
        "listen": [place_of(listener) for listener in listeners[main]],
        "admin": [place_of(listener) for listener in listeners[control]],
    }
    log.info("Listening on %s", ", ".join(places["listen"]), extra={"fields": places})
    async with asyncio.TaskGroup() as group:
        group.create_task(_drain_when_asked(asked, drain, main, delay))
        serving = group.create_task(main.serve(listeners[main]))
        watching = group.create_task(certificate.watch()) if certificate is not None else None
        if listeners[control]:
            group.create_task(control.serve(listeners[control]))
        await serving
        await _end_tasks(main)
        control.should_exit = True
        if watching is not None:
            watching.cancel()
    _ignore_signals()
    log.info("Ended")


async def _drain_when_asked(asked: asyncio.Event, drain: Drain, main: _Server, delay: Seconds) -> None:
    await asked.wait()
    log.info("Draining: not ready any more, requests under way may end")
    drain.leave()
    await asyncio.sleep(delay)
    drain.begin()
    main.should_exit = True


async def _end_tasks(main: _Server) -> None:
    """Wait for requests that were cut off: they still have files and leases to give back."""
    while tasks := set(main.server_state.tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _ignore_signals() -> None:
    """From here on the end is certain; another signal must not turn its exit status into a failure."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _watch_signals(main: _Server) -> asyncio.Event:
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            # The second time means now.
            main.should_exit = main.force_exit = True
        asked.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, ask)
    return asked


def _main_config(
    options: RunOptions,
    application: Application,
    poller: Poller | None,
    relays: Poller | None,
    certificate: ServerCertificate | None,
) -> uvicorn.Config:
    protocol = functools.partial(ClientConnection, options=options.connection, poller=poller, relays=relays)
    entrance = EntranceOptions(certificate, options.proxy_protocol, options.connection.header_timeout)
    return uvicorn.Config(
        application,
        http=entered_by(entrance, protocol),  # type: ignore[arg-type]
        timeout_graceful_shutdown=None if options.drain == UNLIMITED else round(options.drain),
        **_COMMON,
    )


def _admin_config(admin: Application) -> uvicorn.Config:
    return uvicorn.Config(
        admin,
        http="httptools",
        timeout_graceful_shutdown=1,
        **_COMMON,
    )


_COMMON: dict[str, Any] = {
    "interface": "asgi3",
    "lifespan": "off",
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,
    "server_header": False,
    "backlog": 2048,
}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    # uvloop has no wheel for every system that Python has; asyncio's own loop does the same, slower.
    return asyncio.new_event_loop if uvloop is None else uvloop.new_event_loop
