"""Servers that an operator has taken out: kept where all workers see it, also those that start later.

A file in the folder of this shim; who changes it tells the others to look, and they look now and then by
themselves. It ends with the shim: a restart begins with all servers.
"""

import contextlib
import errno
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from shim.ledger.locks import lock_within
from shim.timing import Seconds
from shim.upstream.group import Upstream

log = logging.getLogger("shim.app")

_FILE = "drained.json"
_LOCK = "drained.lock"
# Who changes something needs a millisecond or two; and the event loop stands meanwhile.
_PATIENCE: Seconds = 0.1

Drained = Mapping[str, frozenset[str]]
"""The names of drained servers, by upstream."""


class DrainBoard:
    """Which servers are drained, in this process and in the file that all share."""

    def __init__(self, upstreams: Mapping[str, Upstream], folder: Path | None = None) -> None:
        """Take whose servers they are, and where the other workers look (None: there are none)."""
        self._upstreams = upstreams
        self._folder = folder
        self._drained: Drained = {}

    def find(self, server: str, upstream: str | None) -> list[str]:
        """The upstreams that have a server of this name now, or only the given one of them."""
        return [
            name
            for name, group in self._upstreams.items()
            if upstream in (None, name) and any(member.name == server for member in group.roster)
        ]

    def put(self, upstream: str, server: str, *, drained: bool) -> None:
        """Drain a server, or take it back.

        Raises:
            OSError: The others could not be told, so nothing has changed.
        """
        with self._changing() as before:
            names = before.get(upstream, frozenset())
            after = {**before, upstream: names | {server} if drained else names - {server}}
            self._write(after)
        self._apply(after)

    def look(self) -> None:
        """See what others have changed."""
        try:
            drained = self._read()
        except (OSError, ValueError) as error:
            log.warning("Which servers are drained cannot be read, and stays as it was: %s", error)
            return
        if drained != self._drained:
            self._apply(drained)

    def _apply(self, drained: Drained) -> None:
        self._drained = drained
        for name, upstream in self._upstreams.items():
            upstream.take_out(drained.get(name, frozenset()))

    # -- the file ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Drained]:
        """What is drained; nobody else changes it during the block."""
        if self._folder is None:
            yield self._drained
            return
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Held for moments only, and by the kernel taken from who dies; not from who hangs.
            if not lock_within(descriptor, 0, _PATIENCE):
                raise OSError(errno.EAGAIN, f"another one keeps {_LOCK}")
            yield self._read()
        finally:
            os.close(descriptor)

    def _read(self) -> Drained:
        if self._folder is None:
            return self._drained
        try:
            told = json.loads((self._folder / _FILE).read_bytes())
        except FileNotFoundError:
            return {}
        return {upstream: frozenset(servers) for upstream, servers in told.items()}

    def _write(self, drained: Drained) -> None:
        if self._folder is None:
            return
        new = self._folder / f"{_FILE}.{os.getpid()}.new"
        new.write_text(json.dumps({upstream: sorted(servers) for upstream, servers in drained.items()}))
        new.replace(self._folder / _FILE)
