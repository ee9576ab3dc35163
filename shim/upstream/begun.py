"""A request that was sent without a wait, and whose answer is to come: what is held for it meanwhile.

Whoever began it waits by the connection's descriptor, without a task. Where the answer takes more than a
moment, or is more than one read, it is taken over by who can wait for longer (``Passage``).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from shim.admission.queue import Place
from shim.upstream.message import UpstreamRequest
from shim.upstream.response import Response
from shim.upstream.roster import Member
from shim.upstream.sent import Sent

if TYPE_CHECKING:
    from shim.upstream.group import Upstream


class Begun:
    """A request under way, with its slot and its connection; one of the four last steps ends it.

    Attributes:
        member: The server that has it.
    """

    __slots__ = ("_is_over", "_loop", "_place", "_request", "_sent", "_upstream", "member")

    def __init__(
        self, upstream: "Upstream", request: UpstreamRequest, place: Place, member: Member, sent: Sent
    ) -> None:
        """Take what ``Upstream.send_now`` has got for it."""
        self.member = member
        self._upstream = upstream
        self._request = request
        self._place = place
        self._sent = sent
        self._loop = asyncio.get_running_loop()
        self._is_over = False

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Call back whenever something of the answer can be read."""
        self._loop.add_reader(self._sent.connection.descriptor, on_readable)

    def answer_now(self) -> Response | None:
        """What has come of the answer; None before its head is whole.

        Raises:
            UpstreamFault: The exchange has failed, and who takes it over hears of it.
        """
        sent = self._sent
        return sent.connection.answer_now(
            self._request, keep_alive=sent.keep_alive and sent.server.keeps_alive
        )

    def finish(self, response: Response) -> None:
        """The answer was taken to its end."""
        self._unwatch()
        self.member.standing.succeed(self._upstream.clock())
        self._sent.server.put_away(self._sent.connection, response, self._request)
        self._place.give_back()

    def take_over(self) -> tuple[Place, Member, Sent]:
        """Go on with it elsewhere."""
        self._unwatch()
        return self._place, self.member, self._sent

    def give_up(self) -> None:
        """Nobody wants the answer any more; without effect once it is over here."""
        if self._is_over:
            return
        self._unwatch()
        self._sent.connection.close()
        self._place.give_back()

    def _unwatch(self) -> None:
        # First of all: left behind, the registration would wake whoever gets the descriptor's number next.
        self._is_over = True
        self._loop.remove_reader(self._sent.connection.descriptor)
        self._sent.server.inflight -= 1
