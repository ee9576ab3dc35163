"""The body of a request on the short way: all of it is here, and small enough to stay in memory.

It has its part of the spool's budget like any other, from before it is asked for until its answer is given.
"""

from typing import NamedTuple

from shim.admission.gate import COUNTED_FROM
from shim.routes.route import BodyMode, Route
from shim.short_way import ShortClient
from shim.spool.budget import Lease
from shim.spool.store import Store
from shim.upstream.message import BytesBody

# What goes up whole, with its length; the other ways begin before the body's end, or have it in a file.
_WHOLE = frozenset({BodyMode.AUTO, BodyMode.SPOOL})


class HeldBody(NamedTuple):
    """A body in memory, and its lease."""

    body: BytesBody
    lease: Lease
    store: Store

    def release(self) -> None:
        """Give the lease back; a second call changes nothing."""
        if self.lease.size:
            self.store.count(-self.body.length)
            self.lease.release()


def hold_body(
    store: Store, route: Route, project: str, client: ShortClient, length: int | None
) -> HeldBody | None:
    """Take a body of a declared ``length`` (None: not declared); None where it does not fit the short way.

    Raises:
        LimitReached: It has no place; nobody was asked for it.
    """
    most = min(COUNTED_FROM, store.memory_limit)
    if route.body not in _WHOLE or (length is not None and length > most):
        return None
    limit, lease = store.lease(length, route.max_body, project)
    try:
        data = client.body_now(int(min(most, limit)))
        if data is not None:
            lease.cover(len(data))
            store.count(len(data))
            return HeldBody(BytesBody(data), lease, store)
    except BaseException:
        lease.release()
        raise
    lease.release()
    return None
