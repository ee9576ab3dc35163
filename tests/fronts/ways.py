"""Ways for a client to the shim: straight, or through one of the fronts, over TCP or the shim's unix socket.

A way takes its shim with it, for a mount is a matter of both; one that cannot be had here is skipped aloud.
"""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fronts.authority import Authority
from tests.fronts.behind import ShimBehind
from tests.fronts.client import ELSEWHERE, FrontClient
from tests.fronts.fronts import FRONTS, Changes, start_front
from tests.support.shim import Settings
from tests.support.wire import PATIENCE

NOTHING = "nothing"
"""The way straight to the shim."""

WAYS = (NOTHING, *FRONTS)


@dataclass(frozen=True)
class Way:
    """How clients get to a shim.

    Attributes:
        name: One of ``WAYS``.
        url: Where they find Glance.
        port: Of it.
        context: For TLS; None without.
        mount: The path below which Glance is.
        log: Of the front.
    """

    name: str
    url: str
    port: int
    context: ssl.SSLContext | None
    mount: str
    shim: ShimBehind
    log: Path

    @property
    def scheme(self) -> str:
        """What clients speak."""
        return "https" if self.context else "http"

    @property
    def host(self) -> str:
        """What clients ask for."""
        return f"127.0.0.1:{self.port}"

    def connect(self, *, source: str = ELSEWHERE, patience: float = PATIENCE) -> FrontClient:
        """A raw connection."""
        return FrontClient(self.port, self.context, source=source, patience=patience)


@contextlib.contextmanager
def open_way(
    name: str,
    folder: Path,
    authority: Authority,
    upstream: str,
    *,
    link: str = "tcp",
    settings: Settings | None = None,
    changes: Changes | None = None,
) -> Iterator[Way]:
    """A shim in front of ``upstream``, and a front before it.

    Args:
        name: One of ``WAYS``.
        folder: For all their files; Apache's user must be able to enter it.
        authority: For the front's certificate.
        upstream: As the shim takes it.
        link: Between the two: ``tcp`` or ``unix``.
        settings: Of the shim, over the product's defaults.
        changes: Of the front's configuration.
    """
    if name != NOTHING and not FRONTS[name].is_installed:
        pytest.skip(f"{name} is not installed")
    mount = "" if name == NOTHING else FRONTS[name].mount
    with contextlib.ExitStack() as stack:
        shim = stack.enter_context(ShimBehind(folder / "shim", upstream, mount=mount, settings=settings))
        if name == NOTHING:
            yield Way(name, f"http://127.0.0.1:{shim.port}", shim.port, None, mount, shim, shim.log)
            return
        front = start_front(name, folder / name, authority, shim.address_of(link), changes=changes)
        stack.enter_context(front)
        yield Way(name, front.url, front.port, front.context, mount, shim, front.log)
