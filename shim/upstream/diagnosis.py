"""Looks at a server before it is used, for ``check``: not only whether it is there, but the traps it sets.

Each finding says what it means and what to set. Only harmless requests are sent: pings, and the health
check with heads as large as tokens make them.
"""

from collections.abc import Iterator
from dataclasses import replace

from shim.errors import ShimError, UpstreamClosed, UpstreamFault
from shim.findings import Finding, Level
from shim.timing import Seconds
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.pool import Server
from shim.upstream.probe import PROBE_TIMEOUT, probe
from shim.upstream.question import Reply, ask

# A keystone token of many roles has some KiB, and clients send more beside it. uWSGI's buffer-size is 4096
# by default; gunicorn and Apache take 8190 bytes in a field, so no field here is longer than that.
HEAD_SIZES = (5 * 1024, 15 * 1024, 40 * 1024)
_LONGEST_FIELD = 5 * 1024

_NOT_FOUND = 404
_HEAD_REFUSALS = frozenset({400, 413, 431})


async def diagnose(
    address: UpstreamAddress, path: bytes | None, *, mount: str = "", timeout: Seconds = PROBE_TIMEOUT
) -> list[Finding]:
    """What is to be said of one server; nothing is raised for its faults.

    Args:
        address: The server.
        path: What a health check asks for; None: nothing is known to answer, so heads are not tried.
        mount: SCRIPT_NAME of the application.
        timeout: For each question, in seconds.
    """
    health = await probe(address, path, timeout=timeout)
    if address.protocol is Protocol.WSGI:
        return [_of_health(health)]
    if not health.answered and (mistaken := await _find_other_protocol(address, path, timeout)):
        return [mistaken]
    if health.sign is Sign.DOWN:
        # Another protocol has been looked for by now.
        reason = health.reason.rstrip(".")
        return [Finding(Level.FAULT, f"{reason}. Is it running, at this address, and may this user connect?")]
    findings = [_of_health(health)]
    if health.answered and path is not None:
        questions = _Questions(address, path, mount, timeout)
        findings += await questions.check_place()
        findings += await questions.check_heads()
    return findings


def _of_health(health: Health) -> Finding:
    return Finding(Level.FINE if health.up else Level.FAULT, health.reason)


async def _find_other_protocol(
    address: UpstreamAddress, path: bytes | None, timeout: Seconds
) -> Finding | None:
    """The mistake of a URL whose server speaks the other protocol, which it shows by silence or a cut."""
    if address.tls:
        return None
    if address.protocol is Protocol.UWSGI:
        other = replace(address, protocol=Protocol.HTTP)
        try:
            await _Questions(other, path or b"/", "", timeout).ask(0)
        except UpstreamFault:
            return None
        speaks = "HTTP here, not the uwsgi protocol (uWSGI's http-socket or http option)"
    else:
        other = replace(address, protocol=Protocol.UWSGI)
        if not (await probe(other, None, timeout=timeout)).answered:
            return None
        speaks = "the uwsgi protocol here, not HTTP (uWSGI's socket option)"
    return Finding(Level.FAULT, f"speaks {speaks}: write {other} instead")


class _Questions:
    """Health checks with something added."""

    def __init__(self, address: UpstreamAddress, path: bytes, mount: str, timeout: Seconds) -> None:
        timeouts = UpstreamTimeouts.of_question(timeout)
        self._upstream = Upstream("check", [Server(address, timeouts)], mount=mount, connect_retry=0)
        self._path = path
        self._mount = mount
        self._timeout = timeout

    async def ask(self, size: int) -> Reply:
        """Ask for the health check with a head of ``size`` bytes more; raises UpstreamFault, HeadTooLarge."""
        request = UpstreamRequest(
            "GET",
            self._mount.encode("ascii") + self._path,
            [(b"host", b"localhost"), *_padding(size)],
            mount=self._mount,
        )
        return await ask(self._upstream, request, patience=self._timeout)

    async def check_place(self) -> list[Finding]:
        """A service that is not where the shim looks for it answers 404 to everything."""
        try:
            status = (await self.ask(0)).status
        except UpstreamFault as fault:
            return [Finding(Level.WARNING, f"health check: {fault.for_operator}")]
        if status != _NOT_FOUND:
            return []
        where = f"under the mount {self._mount!r}" if self._mount else "at its root (no mount is set)"
        text = (
            f"answers 404 to {self._path.decode('ascii')} {where}: if Glance lives under another path, set "
            "mount in its [upstreams.NAME] table; if its pipeline has no health check, all is well"
        )
        return [Finding(Level.WARNING, text)]

    async def check_heads(self) -> list[Finding]:
        """How large a head it takes, if that is less than tokens may need."""
        for size in HEAD_SIZES:
            try:
                status = (await self.ask(size)).status
            except UpstreamClosed:
                return [Finding(Level.WARNING, _dropped(size))]
            except ShimError as error:
                return [Finding(Level.WARNING, f"head of {size // 1024} KiB: {error.for_operator}")]
            if status in _HEAD_REFUSALS:
                text = f"refuses a head of {size // 1024} KiB with {status}"
                return [Finding(Level.WARNING, f"{text}: requests with large tokens will fail")]
        return []


def _dropped(size: int) -> str:
    return (
        f"drops a request whose head has {size // 1024} KiB, without an answer: requests with large tokens "
        "will fail. Set buffer-size = 65535 in uWSGI (its default is 4096)"
    )


def _padding(size: int) -> Iterator[tuple[bytes, bytes]]:
    for number, start in enumerate(range(0, size, _LONGEST_FIELD)):
        yield b"x-glance-shim-check-%d" % number, b"x" * min(_LONGEST_FIELD, size - start)
