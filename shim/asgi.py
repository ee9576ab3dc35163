"""The border to ASGI: its types, and what our own server offers beyond it.

The application runs under any ASGI server; under ours, ``scope["extensions"]`` carries an ``Inbound``,
and each of its offers is noticed in one line and falls back to plain ASGI where it is absent.
"""

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from shim.local_peer import LocalPeer

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

INBOUND = "glance_shim.inbound"
LOCAL_PEER = "glance_shim.local_peer"
ABORT = "glance_shim.abort"
# In a message of the body: how many bytes are known to come after it, at least.
TO_COME = "glance_shim.to_come"


class BodySink(Protocol):
    """Where a pump puts a body; used by one thread at a time.

    Attributes:
        room: Bytes that it takes in all.
        written: Bytes that it has taken.
        is_awaited: Whether somebody waits for the next bytes.
    """

    room: int
    written: int
    is_awaited: bool

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Add pieces that fit, on the calling thread."""
        ...

    def finish(self) -> None:
        """The body has ended, on the calling thread."""
        ...


class BodyPump(Protocol):
    """The fast way in: reads the rest of a request's body away from the event loop."""

    @property
    def waited(self) -> float:
        """Seconds that the client was waited for, in all."""
        ...

    @property
    def quiet(self) -> float:
        """Seconds of them since its last byte."""
        ...

    async def fill(self, sink: BodySink) -> tuple[bool, bytes]:
        """Read until the body ends or the sink is full.

        Returns:
            Whether the body has ended, and bytes of it that did not fit the sink.

        Raises:
            ClientFault: The client left, or the body is malformed.
            LimitReached: The sink failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class AnswerSource:
    """The rest of an answer's body, still in the socket that it comes from; lent to who moves it unread.

    Attributes:
        descriptor: The socket's; nobody else reads from it meanwhile.
        size: Bytes that are still to come.
        idle: Seconds for which the sender may be silent.
        silent: The error where it was.
    """

    descriptor: int
    size: int
    idle: float
    silent: Exception


@dataclass(frozen=True, slots=True)
class Movement:
    """How far an answer was moved.

    Attributes:
        taken: Bytes that were taken from the source.
        held: Those of them that its client has not taken, where it fell behind: they are to be sent next.
    """

    taken: int
    held: bytes = b""


# Told while an answer is moved, and now and then while nothing moves: bytes that the client has taken, and
# the seconds for which it was waited for, in all; whether the client keeps up, so that the moving goes on.
Moved: TypeAlias = Callable[[int, float], bool]
# Takes what is to be called when the client leaves; None: nothing any more.
WatchClient: TypeAlias = Callable[[Callable[[], None] | None], None]
MoveAnswer: TypeAlias = Callable[[AnswerSource, Moved], Awaitable[Movement | None]]
TakeOver: TypeAlias = Callable[[], contextlib.AbstractContextManager[BodyPump] | None]
# What ``receive()`` would give at once; None where it would wait, or fail.
ReceiveNow: TypeAlias = Callable[[], Message | None]
Fields: TypeAlias = Sequence[tuple[bytes, bytes]]


class UnderWay(Protocol):
    """A request that was begun on the short way, for the application that goes on with it."""

    def stop(self) -> None:
        """Wait no more for its answer: nobody is called back from now on."""
        ...

    def give_up(self) -> None:
        """Nobody goes on with it; without effect where somebody does, or has done."""
        ...


class Inbound(NamedTuple):
    """What the shim's own server knows of a request beyond the ASGI scope; a tuple, for each request has one.

    Attributes:
        target: The request target byte for byte as it came; ASGI drops a lone trailing ``?``.
        refusal: Set where the head itself is refused (malformed, too large, too slow): the
            application answers it like any error of its own, so that all answers look alike.
        take_over: Gives a pump for the rest of the body, once all of it that came before was received;
            None where this connection offers none. Leaving the block gives the socket back.
        move_answer: Moves the rest of an answer's body to the client, as far as the client keeps up; gives
            None where that does not pay or is not possible, and nothing was moved.
        watch_client: Tells of the client's leaving without a task that waits in ``receive()`` for it.
        under_way: The request was begun on the short way, and is to be gone on with.
        receive_now: Gives the part of the body that is here already, or in the socket, without a wait; asks
            the client for it as ``receive()`` does. Its ``body`` may be a view.
    """

    target: bytes
    refusal: Exception | None = None
    take_over: TakeOver | None = None
    move_answer: MoveAnswer | None = None
    watch_client: WatchClient | None = None
    receive_now: ReceiveNow | None = None
    under_way: UnderWay | None = None


def inbound_of(scope: Scope) -> Inbound | None:
    """The offer of our own server, or None under another one."""
    offer = (scope.get("extensions") or {}).get(INBOUND)
    return offer if isinstance(offer, Inbound) else None


def local_peer_of(scope: Scope) -> LocalPeer | None:
    """Who asks, where the connection is a unix socket; None on any other."""
    peer = (scope.get("extensions") or {}).get(LOCAL_PEER)
    return peer if isinstance(peer, LocalPeer) else None


def abort_of(scope: Scope) -> Callable[[], None]:
    """What gives the connection up with all that it has not taken; nothing where the server offers none."""
    abort = (scope.get("extensions") or {}).get(ABORT)
    return abort if callable(abort) else _nothing


def _nothing() -> None:
    """Under another server a connection ends when that sees fit."""
