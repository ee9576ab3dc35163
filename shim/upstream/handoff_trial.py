"""Tries the hand-off on a server before it is used, for ``check``: does it open spool files, and which way?

A harmless GET goes there with a body of one byte, as a file; a server that opens none gets the byte sent.
"""

from pathlib import Path

from shim.errors import ShimError
from shim.findings import Finding, Level
from shim.spool.body import Body
from shim.spool.disk import LocalDisk
from shim.timing import Seconds
from shim.upstream.address import Protocol, UpstreamAddress
from shim.upstream.group import Upstream
from shim.upstream.handoff import PATIENCE, Way
from shim.upstream.message import UpstreamRequest, UpstreamTimeouts
from shim.upstream.pool import Server
from shim.upstream.probe import PROBE_TIMEOUT
from shim.upstream.question import ask

_FINDINGS = {
    Way.DESCRIPTOR: Finding(Level.FINE, "opens spool files itself (hand-off, through /proc/PID/fd)"),
    Way.NAME: Finding(Level.FINE, "opens spool files itself (hand-off, by names that its group may read)"),
    Way.SENDING: Finding(
        Level.WARNING,
        'opens no spool files, so body = "handoff" sends bodies to it: let it run on this host as the user '
        "of the shim, or give spool.directory to a group that its user is in (chgrp, chmod 2750)",
    ),
}


async def try_hand_off(
    address: UpstreamAddress, directory: Path, path: bytes | None, *, timeout: Seconds = PROBE_TIMEOUT
) -> Finding:
    """What is to be said of the hand-off to one server; nothing is raised for its faults.

    Args:
        address: The server.
        directory: The spool.
        path: Of the request; None: ``/``.
        timeout: For each of connecting and answering, in seconds.
    """
    if address.protocol is not Protocol.UWSGI:
        text = 'opens no files: body = "handoff" needs the uwsgi protocol, and bodies are sent to it'
        return Finding(Level.WARNING, text)
    timeouts = UpstreamTimeouts.of_question(timeout)
    server = Server(address, timeouts, directory=directory)
    try:
        # A second time where the first way did not work.
        while (before := server.hand_off_way) is not Way.SENDING:
            await _ask_with_file(server, directory, path or b"/", timeout)
            if server.hand_off_way is before:
                break
    except ShimError as error:
        return Finding(Level.WARNING, f"the hand-off could not be tried: {error.for_operator}")
    finally:
        await server.close()
    return _FINDINGS[server.hand_off_way]


async def _ask_with_file(server: Server, directory: Path, path: bytes, timeout: Seconds) -> None:
    disk = LocalDisk(directory)
    body = Body(disk.create, memory_limit=0)
    try:
        await body.append(b"\0")
        await body.seal()
        request = UpstreamRequest("GET", path, [(b"host", b"localhost")], body=body, is_handed_off=True)
        upstream = Upstream("check", [server], connect_retry=0)
        await ask(upstream, request, patience=PATIENCE + 2 * timeout)
    finally:
        await body.close()
        disk.close()
