"""One request on its way through an upstream: a slot in line, a server that takes it, and its answer.

What it decides by stands in ``group``, ``roster`` and the line for slots; here is the order in which they are
asked, and what is given back at the end.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from shim.admission.place import Place
from shim.admission.preference import NowhereToGo
from shim.errors import ConnectTimeout, UpstreamFault, UpstreamRefused
from shim.observe.journal import Phase
from shim.timing import UNLIMITED, Seconds
from shim.upstream.answer import Interim
from shim.upstream.connection import EnterPhase
from shim.upstream.exchange import Response
from shim.upstream.member import Member
from shim.upstream.message import UpstreamRequest
from shim.upstream.pending import PendingRequest
from shim.upstream.sent import SentRequest

if TYPE_CHECKING:
    from shim.upstream.group import Upstream

# Between two rounds of all servers: soon at first, for many a restart takes moments; then less often.
FIRST_PAUSE: Seconds = 0.05
LONGEST_PAUSE: Seconds = 1.0


class Passage:
    """An ``async with`` block around the reading of an answer; what fails in it speaks against the server.

    A class, because every request passes through it: as a generator it took three times as long.
    """

    # Of ``__aenter__``: the slot, and then the server that has answered.
    _place: Place
    _member: Member

    def __init__(
        self,
        upstream: "Upstream",
        request: UpstreamRequest,
        *,
        interim: Interim,
        enter: EnterPhase,
        on_server: Callable[[str], None],
        pending: PendingRequest | None = None,
    ) -> None:
        """Take what ``Upstream.exchange`` was given."""
        self._upstream = upstream
        self._request = request
        self._interim = interim
        self._enter = enter
        self._on_server = on_server
        self._pending = pending
        self._exchange: contextlib.AbstractAsyncContextManager[Response] | None = None
        self._pause = FIRST_PAUSE

    async def __aenter__(self) -> Response:
        upstream, request = self._upstream, self._request
        if self._pending is not None:
            self._place, member, sent = self._pending.take_over()
            first = member, sent
        else:
            first = None
            if upstream.watch is not None:
                await upstream.watch.refresh()
            # What has no length yet may become large.
            length = UNLIMITED if request.is_chunked else request.length
            self._place = upstream.queue.place(request.project, length, request.waits)
        try:
            return await self._first_answer(first)
        except BaseException:
            self._place.give_back()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._exchange is not None
        try:
            if isinstance(error, UpstreamFault):
                self._upstream.note_fault(self._member, error)
            await self._exchange.__aexit__(kind, error, trace)
        finally:
            self._place.give_back()

    async def _first_answer(self, first: tuple[Member, SentRequest] | None) -> Response:
        upstream = self._upstream
        began: Seconds | None = None
        await upstream.wait_for_names()
        while True:
            member, sent = first or (await self._take_server(), None)
            first = None
            # From the first attempt on: the time in line has a limit of its own.
            began = upstream.clock() if began is None else began
            try:
                return await self._ask(member, sent)
            except (UpstreamRefused, ConnectTimeout) as error:
                failure = error
            await self._go_on_after(failure, began)

    async def _take_server(self) -> Member:
        """A server whose slot the request has now.

        Raises:
            QueueFull, QueueTimeout: It got none.
            NoUpstream: There is no server that takes anything new.
        """
        roster, place = self._upstream.roster, self._place
        prefer = functools.partial(self._upstream.prefer, self._request.about)
        while True:
            roster.check()
            try:
                position = await place.take(on_wait=self._enter_queue, prefer=prefer)
            except NowhereToGo:
                # Who it waited for was taken out, or has gone: there may be one that had refused it before.
                place.start_over()
                continue
            member = roster.at(position)
            if member is not None and member.takes_new:
                return member
            # Taken out in the moment between the slot and our turn; all others are asked anew.
            place.refuse()
            place.start_over()

    async def _go_on_after(self, failure: UpstreamRefused | ConnectTimeout, began: Seconds) -> None:
        """Return when another attempt is due: at a server that was not tried yet at once, else after a pause.

        Raises:
            UpstreamRefused, ConnectTimeout: The failure itself, where ``connect_retry``, counted from
                ``began``, would be over by then: many silent servers do not take their times in turn.
        """
        upstream, place = self._upstream, self._place
        retry = upstream.retry_for(self._request)
        if upstream.watch is not None:
            upstream.watch.doubt()
        place.refuse()
        lasted = upstream.clock() - began
        # Those that refuse at once are all asked, though nothing be tried again.
        if upstream.roster.has_untried(place.avoided) and lasted <= max(retry, FIRST_PAUSE):
            return
        if lasted + self._pause > retry:
            raise failure
        # Without a slot: others may find the server back meanwhile.
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        place.start_over()

    async def _ask(self, member: Member, sent: SentRequest | None) -> Response:
        upstream = self._upstream
        if sent is None:
            upstream.roster.note(member, upstream.clock())
        if upstream.roster.positions > 1:
            self._on_server(member.name)
        exchange = member.server.exchange(self._request, interim=self._interim, enter=self._enter, sent=sent)
        try:
            response = await exchange.__aenter__()
        except UpstreamFault as fault:
            upstream.note_fault(member, fault)
            raise
        self._member, self._exchange = member, exchange
        member.standing.succeed(upstream.clock())
        return response

    def _enter_queue(self) -> None:
        self._enter(Phase.QUEUE)
