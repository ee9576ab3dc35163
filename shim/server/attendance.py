"""A connection among those that are open: in uvicorn's set of them, which a drain goes by, and at the gate.

A connection is counted from its first moment, first as an entrance and then as what speaks HTTP; where too
many are open it stays as a guest, to be told so (``ConnectionGate``).
"""

import asyncio

from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate, ConnectionPlace
from shim.errors import ShimError


class Attendance:
    """One connection's, from ``begin`` to ``end``."""

    __slots__ = ("_connection", "_gate", "_place", "_state")

    def __init__(self, connection: asyncio.Protocol, state: ServerState, gate: ConnectionGate) -> None:
        """Take whose it is, and who counts."""
        self._connection = connection
        self._state = state
        self._gate = gate
        self._place: ConnectionPlace | None = None

    @property
    def has_place(self) -> bool:
        """Whether it is counted, if only as a guest; without a place it is not even to be answered."""
        return self._place is not None

    def begin(self, address: str | None) -> ShimError | None:
        """Be counted, for the client at ``address`` (None: it has none, as on a unix socket).

        Returns:
            Why the connection is not served, where it is a guest, or has no place at all.
        """
        # uvicorn's type names its own protocols; what it asks of them ours has as well.
        self._state.connections.add(self._connection)  # type: ignore[arg-type]
        try:
            self._place = self._gate.admit(address)
        except ShimError as refusal:
            self._place = self._gate.admit_guest()
            return refusal
        return None

    def end(self) -> None:
        """Be counted no more; a second call changes nothing."""
        self._state.connections.discard(self._connection)
        if self._place is not None:
            self._place.give_back()
