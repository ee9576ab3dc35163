"""Timeouts that contradict each other, or the size of the images that they are to wait for."""

from collections.abc import Iterator

from shim.config.load import Loaded
from shim.config.settings import Settings
from shim.doctor import GLANCE_RATE, is_default, largest_image, told_time
from shim.findings import Finding, Level
from shim.timing import UNLIMITED

# What proxies in front grant: an idle connection (nginx, Apache, HAProxy); a pause (the shipped files).
FRONT_IDLE = 60.0
FRONT_CLIENT = 75.0
# A gigabit a second: few clients send faster than that.
_FAST_CLIENT = 125_000_000


def inspect_timeouts(loaded: Loaded) -> Iterator[Finding]:
    """All contradictions; or that there is none."""
    settings = loaded.settings
    found = [
        *_towards_glance(loaded),
        *_towards_clients(loaded),
        *_towards_fronts(settings),
    ]
    yield from found or [Finding(Level.FINE, "do not contradict each other")]


def _towards_glance(loaded: Loaded) -> Iterator[Finding]:
    timeouts = loaded.settings.timeouts
    size, name = largest_image(loaded)
    needed = size / GLANCE_RATE
    if not isinstance(timeouts.response, str) and timeouts.response < needed:
        yield Finding(
            Level.WARNING,
            f"timeouts.response ({told_time(timeouts.response)}) is shorter than Glance may take for {name}: "
            f"{told_time(needed)} at 50 MiB/s. Such an upload ends with 504",
            'timeouts.response = "auto"',
        )
    # Where no size was named the default stands without a remark: it would be made of every configuration.
    if timeouts.drain < needed and not (
        is_default(loaded, "spool", "max_body") and is_default(loaded, "timeouts", "drain")
    ):
        yield Finding(
            Level.WARNING,
            f"timeouts.drain ({told_time(timeouts.drain)}) is shorter than {name} takes to be stored "
            f"({told_time(needed)}): it is cut at a restart",
            f'timeouts.drain = "{_whole_minutes(needed)}min", TimeoutStopSec longer',
        )
    if timeouts.connect_retry and timeouts.connect_retry < timeouts.connect:
        yield Finding(
            Level.NOTE,
            f"timeouts.connect_retry ({told_time(timeouts.connect_retry)}) is shorter than one attempt "
            f"(timeouts.connect, {told_time(timeouts.connect)})",
            f'timeouts.connect_retry = "{2 * timeouts.connect:g}s"',
        )


def _towards_clients(loaded: Loaded) -> Iterator[Finding]:
    timeouts = loaded.settings.timeouts
    size, name = largest_image(loaded)
    needed = size / _FAST_CLIENT
    if timeouts.body_total < needed:
        yield Finding(
            Level.WARNING,
            f"timeouts.body_total ({told_time(timeouts.body_total)}) is shorter than {name} takes at a "
            f"gigabit/s ({told_time(needed)}): no client gets it through",
            'timeouts.body_total = "unlimited"',
        )
    if timeouts.body_total < timeouts.body_idle:
        yield Finding(
            Level.WARNING,
            f"timeouts.body_idle ({told_time(timeouts.body_idle)}) never strikes: timeouts.body_total "
            f"({told_time(timeouts.body_total)}) comes first",
            f'timeouts.body_idle = "{timeouts.body_total / 2:g}s"',
        )
    if timeouts.drain < timeouts.body_total < UNLIMITED:
        yield Finding(
            Level.NOTE,
            f"timeouts.drain ({told_time(timeouts.drain)}) is shorter than timeouts.body_total "
            f"({told_time(timeouts.body_total)}): an upload may take longer than a restart waits for it",
            f'timeouts.drain = "{_whole_minutes(timeouts.body_total)}min", TimeoutStopSec longer',
        )
    if not timeouts.linger:
        yield Finding(
            Level.WARNING,
            "timeouts.linger is 0: a client that is still sending reads a reset instead of its refusal",
            'timeouts.linger = "30s"',
        )


def _towards_fronts(settings: Settings) -> Iterator[Finding]:
    timeouts = settings.timeouts
    if timeouts.keepalive <= FRONT_IDLE:
        yield Finding(
            Level.WARNING,
            f"timeouts.keepalive ({told_time(timeouts.keepalive)}) is not longer than what proxies in front "
            "grant idle connections (60 s): now and then one sends into a connection that is being closed",
            'timeouts.keepalive = "75s"',
        )
    if settings.server.trusted_proxies and timeouts.body_idle >= FRONT_CLIENT:
        yield Finding(
            Level.NOTE,
            f"timeouts.body_idle ({told_time(timeouts.body_idle)}): the proxy in front gives up first where "
            "its timeout for clients is 75 s, as in the shipped files, and the client reads no reason",
            "a longer client_body_timeout (nginx), Timeout (Apache), timeout client (HAProxy)",
        )


def _whole_minutes(seconds: float) -> int:
    return int(-(-seconds // 60))
