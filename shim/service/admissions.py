"""Which uploads Glance would have taken a moment ago, so that a repeated one need not ask again.

Only admissions are kept, never refusals: what was refused may be allowed by now, while Glance itself
still judges what was admitted. Tokens are kept as keyed digests, for seconds.
"""

import hashlib
import os
from collections import OrderedDict

from shim.timing import Clock, Seconds, monotonic
from shim.upstream.message import UpstreamRequest
from shim.wire.headers import get_all

KEPT_FOR: Seconds = 5.0
MOST_KEPT = 4096

# What tells Glance who asks, under keystone or without it.
_CREDENTIALS = (b"x-auth-token", b"x-service-token", b"authorization", b"cookie")


class Admissions:
    """Who may send data to which image, and whose image it is."""

    def __init__(self, *, clock: Clock = monotonic) -> None:
        self._clock = clock
        # Nobody who reads our memory dump or log finds tokens by trying likely ones.
        self._secret = os.urandom(32)
        self._owners: OrderedDict[bytes, tuple[str, Seconds]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners)

    def key(self, upstream: str, question: UpstreamRequest) -> bytes:
        """What an admission is kept under: upstream, image, and who asks."""
        digest = hashlib.blake2b(key=self._secret)
        parts = [upstream.encode(), question.target]
        parts += [value for name in _CREDENTIALS for value in (name, *get_all(question.headers, name))]
        for part in parts:
            # With their lengths: no two lists of parts may run together into the same bytes.
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def owner(self, key: bytes) -> str | None:
        """The image's owner, where this was admitted lately."""
        owner, until = self._owners.get(key, ("", 0.0))
        return owner if self._clock() < until else None

    def add(self, key: bytes, owner: str) -> None:
        """Keep an admission for ``KEPT_FOR`` seconds."""
        self._owners[key] = (owner, self._clock() + KEPT_FOR)
        self._owners.move_to_end(key)
        # All are kept equally long, so the first ones are the oldest.
        while len(self._owners) > MOST_KEPT or self._is_outdated(next(iter(self._owners))):
            self._owners.popitem(last=False)

    def forget(self, key: bytes) -> None:
        """Drop an admission: with data on its way the image will be another."""
        self._owners.pop(key, None)

    def _is_outdated(self, key: bytes) -> bool:
        return self._owners[key][1] <= self._clock()
