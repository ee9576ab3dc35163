"""A connection among those that are open: counted from its first moment, and given back whatever it was."""

import asyncio

import pytest
from uvicorn.server import ServerState

from shim.admission.connections import ConnectionGate
from shim.errors import ProjectLimit, QueueFull
from shim.server.attendance import Attendance


class Lobby:
    """A gate with room for one, and uvicorn's set behind it."""

    def __init__(self, **limits):
        self.state = ServerState()
        self.gate = ConnectionGate(**limits)

    def attendance(self):
        return Attendance(asyncio.Protocol(), self.state, self.gate)

    @property
    def counted(self):
        """Connections that a drain waits for, and those that the gate counts."""
        return len(self.state.connections), self.gate.open


def test_places_guests_and_a_flood():
    lobby = Lobby(limit=1)
    served, guest, flood = (lobby.attendance() for _ in range(3))
    assert (served.begin("192.0.2.1"), served.has_place) == (None, True)
    assert isinstance(guest.begin("192.0.2.2"), QueueFull)
    assert guest.has_place, "it is to be told so"
    assert isinstance(flood.begin("192.0.2.3"), QueueFull)
    assert not flood.has_place
    # Also without a place: it is open until its transport has been closed.
    assert lobby.counted == (3, 1)
    for one in (flood, guest, served):
        one.end()
    assert lobby.counted == (0, 0)
    assert lobby.attendance().begin(None) is None


@pytest.mark.parametrize("times", [1, 2])
def test_what_has_ended_gives_back_once(times):
    lobby = Lobby(share=1)
    first, second = lobby.attendance(), lobby.attendance()
    first.begin("192.0.2.1")
    assert isinstance(second.begin("192.0.2.1"), ProjectLimit)
    for _ in range(times):
        first.end()
    third = lobby.attendance()
    assert third.begin("192.0.2.1") is None
    assert lobby.counted == (2, 1)


def test_one_that_never_began():
    lobby = Lobby(limit=1)
    lobby.attendance().end()
    assert lobby.counted == (0, 0)
