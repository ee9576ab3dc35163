"""What a uWSGI's settings mean for uploads through the shim; and which ones cannot be seen."""

import ipaddress
from collections.abc import Iterator

from shim.app.groups import UpstreamSpec
from shim.config.load import Loaded
from shim.doctor import GLANCE_RATE, largest_image, told_size, told_time
from shim.doctor.uwsgi import Setup, Statistics, listener_of, number, parse_statistics, read_setup
from shim.errors import UpstreamFault
from shim.findings import Finding, Level
from shim.timing import UNLIMITED
from shim.upstream.address import Protocol
from shim.upstream.stats import read_statistics

# uWSGI's own defaults.
SOCKET_TIMEOUT = 4
BUFFER_SIZE = 4096
RELOAD_MERCY = 60
# Tokens of many roles; no more fits a uwsgi packet.
WANTED_BUFFER = 65535
_ON = ("true", "1", "on", "yes")


async def inspect_uwsgi(loaded: Loaded, group: UpstreamSpec) -> list[Finding]:
    """All findings about the uWSGI of an upstream; nothing where it is not known to be one."""
    statistics = await _ask(group)
    if statistics is None and all(server.protocol is not Protocol.UWSGI for server in group.servers):
        return []
    pid = statistics.master if statistics and _is_here(group) else _listener(group)
    if pid is None:
        setup = Setup(
            {}, why="nothing here says which process it is (by a unix socket, or stats on loopback)"
        )
    else:
        setup = read_setup(pid)
    found = [] if statistics is None else list(judge_statistics(statistics))
    return found + judge_setup(loaded, setup)


async def _ask(group: UpstreamSpec) -> Statistics | None:
    if group.sizing.stats is None:
        return None
    try:
        return parse_statistics(await read_statistics(group.sizing.stats))
    except UpstreamFault:
        # Whoever asks for the number of workers says it.
        return None


def _is_here(group: UpstreamSpec) -> bool:
    """Whether its stats server is on this machine; another one's pid would be a stranger's here."""
    place = group.sizing.stats.place if group.sizing.stats else None
    if place is None or place.socket_path:
        return place is not None
    try:
        return ipaddress.ip_address(str(place.host)).is_loopback
    except ValueError:
        return place.host == "localhost"


def _listener(group: UpstreamSpec) -> int | None:
    paths = [server.socket_path for server in group.servers if server.socket_path]
    return next((pid for path in paths if (pid := listener_of(path)) is not None), None)


def judge_statistics(statistics: Statistics) -> Iterator[Finding]:
    """What its counters tell."""
    if statistics.killed:
        text = (
            f"uWSGI's harakiri has killed a worker {statistics.killed} times since its start: each of these "
            "requests ended in a 502, and an image may be stuck in saving"
        )
        yield Finding(Level.WARNING, text, "a longer harakiri in uWSGI's ini")
    if statistics.waiting:
        text = f"{statistics.waiting} connections wait for a worker of uWSGI: something bypasses the shim"
        yield Finding(Level.NOTE, text)


def judge_setup(loaded: Loaded, setup: Setup) -> list[Finding]:
    """What its options mean; one finding where they are not visible."""
    if not setup.options:
        text = (
            f"uWSGI's settings are not visible: {setup.why}. Look yourself that harakiri, socket-timeout and "
            "buffer-size fit"
        )
        return [Finding(Level.NOTE, text, "as in deploy/glance/uwsgi.ini")]
    found = [
        *_harakiri(loaded, setup),
        *_socket_timeout(loaded, setup),
        *_buffer_size(setup),
        *_reload(loaded, setup),
        *_threads(loaded, setup),
    ]
    return found or [Finding(Level.FINE, f"uWSGI's settings fit ({setup.place})")]


def _harakiri(loaded: Loaded, setup: Setup) -> Iterator[Finding]:
    seconds = number(setup.options, "harakiri")
    size, name = largest_image(loaded)
    if seconds and seconds * GLANCE_RATE < size:
        yield Finding(
            Level.WARNING,
            f"harakiri = {seconds} kills the worker of every image over {told_size(seconds * GLANCE_RATE)}, "
            f"which then stays in saving; {name} takes {told_time(size / GLANCE_RATE)}",
            f"harakiri = {_rounded(size / GLANCE_RATE)} in uWSGI's ini",
        )


def _socket_timeout(loaded: Loaded, setup: Setup) -> Iterator[Finding]:
    timeouts = loaded.settings.timeouts
    seconds = number(setup.options, "socket-timeout") or SOCKET_TIMEOUT
    if seconds > timeouts.cut_through_stall or loaded.settings.body in ("spool", "handoff"):
        return
    stall = timeouts.cut_through_stall
    if stall == UNLIMITED:
        told, advice = "which has no end", "timeouts.cut_through_stall, to less than uWSGI's socket-timeout"
    else:
        # Three times as long, but for hours a minute more will do.
        wanted = max(stall + 60, 3 * min(stall, 600))
        told, advice = f"({told_time(stall)})", f"socket-timeout = {_rounded(wanted)} in uWSGI's ini"
    text = f"socket-timeout = {seconds} is not longer than timeouts.cut_through_stall {told}"
    yield Finding(Level.WARNING, f"{text}: uWSGI gives up on a slow client before the shim", advice)


def _buffer_size(setup: Setup) -> Iterator[Finding]:
    size = number(setup.options, "buffer-size") or BUFFER_SIZE
    if size < WANTED_BUFFER:
        text = f"buffer-size = {size}: a request with a larger head (a long token) gets no answer"
        yield Finding(Level.WARNING, text, f"buffer-size = {WANTED_BUFFER} in uWSGI's ini")


def _reload(loaded: Loaded, setup: Setup) -> Iterator[Finding]:
    mercy = number(setup.options, "worker-reload-mercy") or RELOAD_MERCY
    size, name = largest_image(loaded)
    if mercy * GLANCE_RATE < size:
        yield Finding(
            Level.NOTE,
            f"worker-reload-mercy = {mercy}: a reload kills the worker of every image over "
            f"{told_size(mercy * GLANCE_RATE)}; {name} takes {told_time(size / GLANCE_RATE)}",
            f"worker-reload-mercy = {_rounded(size / GLANCE_RATE)} in uWSGI's ini",
        )
    if _is_on(setup, "die-on-term") and "hook-master-start" not in setup.options:
        yield Finding(
            Level.WARNING,
            "die-on-term without hook-master-start: stopping the service kills uploads, and their images "
            "stay in saving",
            "hook-master-start = unix_signal:15 gracefully_kill_them_all in uWSGI's ini",
        )


def _threads(loaded: Loaded, setup: Setup) -> Iterator[Finding]:
    several = (number(setup.options, "threads") or 1) > 1
    if loaded.settings.service == "glance" and not several and not _is_on(setup, "enable-threads"):
        text = "no enable-threads: Glance's imports (stage, web-download) stand still"
        yield Finding(Level.WARNING, text, "enable-threads = true in uWSGI's ini")


def _is_on(setup: Setup, name: str) -> bool:
    return setup.options.get(name, "").lower() in _ON


def _rounded(seconds: float) -> int:
    """Up to whole minutes."""
    return int(-(-seconds // 60)) * 60
