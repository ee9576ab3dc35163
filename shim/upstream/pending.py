"""A request that was sent without a wait, and whose answer is to come: what is held for it meanwhile.

Whoever began it waits by the connection's descriptor, without a task. Where the answer takes more than a
moment, or is more than one read, a ``Passage`` takes it over, which can wait for longer.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shim.admission.place import Place
from shim.timing import Seconds
from shim.upstream.member import Member
from shim.upstream.message import UpstreamRequest
from shim.upstream.response import ConnectionResponse
from shim.upstream.sent import SentRequest

if TYPE_CHECKING:
    from shim.upstream.group import Upstream


class PendingRequest:
    """A request under way, with its slot and connection; ``finish``, ``take_over`` or ``give_up`` ends it.

    Attributes:
        member: The server that has it.
    """

    __slots__ = ("_is_over", "_place", "_request", "_sent", "_upstream", "member")

    def __init__(
        self, upstream: "Upstream", request: UpstreamRequest, place: Place, member: Member, sent: SentRequest
    ) -> None:
        """Take what ``Upstream.send_now`` has got for it."""
        self.member = member
        self._upstream = upstream
        self._request = request
        self._place = place
        self._sent = sent
        self._is_over = False

    @property
    def sent_at(self) -> Seconds:
        """Clock reading when it was sent."""
        return self._sent.at

    @property
    def is_sent(self) -> bool:
        """Whether all of it was taken at once; else who takes it over sends the rest."""
        return not self._sent.rest

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Call back whenever something of the answer can be read."""
        self._sent.connection.watch(on_readable, self._sent.server.idle.drop)

    def stop(self) -> None:
        """Call back no more: somebody takes it over soon."""
        self._sent.connection.unwatch()

    def answer_now(self) -> ConnectionResponse | None:
        """What has come of the answer; None before its head is whole.

        Raises:
            UpstreamFault: The exchange has failed, and who takes it over hears of it.
        """
        sent = self._sent
        return sent.connection.answer_now(
            self._request, keep_alive=sent.keep_alive and sent.server.keeps_alive
        )

    def finish(self, response: ConnectionResponse) -> None:
        """The answer was taken to its end."""
        self._end()
        self.member.standing.succeed(self._upstream.clock())
        self._sent.server.put_away(self._sent.connection, response, self._request)
        self._place.give_back()

    def take_over(self) -> tuple[Place, Member, SentRequest]:
        """Go on with it elsewhere."""
        self._end()
        return self._place, self.member, self._sent

    def give_up(self) -> None:
        """Nobody wants the answer any more; without effect once it is over here."""
        if self._is_over:
            return
        self._end()
        self._sent.connection.close()
        self._place.give_back()

    def _end(self) -> None:
        self._is_over = True
        self._sent.connection.rest()
        self._sent.server.inflight -= 1
