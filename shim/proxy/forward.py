"""Sends a request to its upstream, as often as that makes sense, and relays the answer.

Runs beside the client's own side (``client_side``): where that ends, all of this is cancelled.
"""

from dataclasses import dataclass

from shim.errors import ServerKeptWaiting, ShimError, UpstreamFault
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.client_side import ClientSide
from shim.proxy.download import Download
from shim.proxy.growing import GrowingBody
from shim.proxy.request import Answer
from shim.proxy.respond import relay, relay_hints, take
from shim.service.generic import Failure, Handling, Remedy
from shim.spool.body import Body
from shim.spool.store import Store
from shim.timing import Seconds
from shim.upstream.exchange import Response
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.upstream.pending import PendingRequest
from shim.upstream.question import gather
from shim.wire.http1 import ResponseHead


@dataclass(slots=True)
class Delivery:
    """One request on its way to its upstream, as often as that makes sense.

    Attributes:
        message: What the client's request became.
        body: Its body, which may still be coming in; None where it has none.
        client: The client's side, which brings the rest of the body and says when it has left.
        handling: Says which answers are doubtful, and what to do about a failed attempt.
        store: Where the answer waits for a client that is slower than the server.
        stall: How long a server may be kept waiting for the body, in seconds.
        is_handed_off: Whether a server on this host may open the body's file.
        pending: The first attempt, where the short way has sent it already.
    """

    message: UpstreamRequest
    body: Body | None
    client: ClientSide
    upstream: Upstream
    handling: Handling
    answer: Answer
    journal: Journal
    record: Record
    store: Store
    stall: Seconds
    is_handed_off: bool = False
    pending: PendingRequest | None = None

    async def run(self) -> None:
        """Send the request and relay the answer.

        Raises:
            UpstreamFault: The upstream did not do its part.
            ServerKeptWaiting: The client did not do its part, after forwarding began.
        """
        self.record.upstream = self.upstream.name
        while (failure := await self._attempt()) is not None:
            if await self.handling.recover(failure) is Remedy.GIVE_UP:
                await self._give_up(failure)
                return
            # Once is enough: what is sent anew is sent whole.
            if not self.client.is_body_whole:
                self._enter(Phase.RECEIVE)
            await self.client.wait_until_whole()

    async def _attempt(self) -> Failure | None:
        """Send the request once; None where an answer was relayed."""
        pending, self.pending = self.pending, None
        try:
            async with Download(self.answer, self.record, self.store) as download:
                async with self.upstream.exchange(
                    self._message(),
                    interim=self._pass_hints,
                    enter=self._enter,
                    on_server=self._note_server,
                    pending=pending,
                ) as response:
                    if self.handling.is_doubtful(response):
                        return await gather(response)
                    await self._take(response, download)
                # Its slot is free now, however long the client still reads.
                await download.finish()
                return None
        except (UpstreamFault, ServerKeptWaiting) as fault:
            # What the client has the beginning of cannot be begun anew.
            if self.answer.has_begun:
                raise
            return fault

    def _message(self) -> UpstreamRequest:
        """The request with its body as one attempt reads it."""
        if self.body is None:
            return self.message
        if not self.body.is_whole:
            return self.message._replace(body=GrowingBody(self.body, self.stall))
        return self.message._replace(is_handed_off=True) if self.is_handed_off else self.message

    async def _take(self, response: Response, download: Download) -> None:
        await self._begin_to_respond()
        await take(response, self.answer, self.record, download)

    async def _begin_to_respond(self) -> None:
        if not self.client.is_body_whole:
            # Answered from the head, or the beginning: nobody wants the rest of the body.
            await self.client.dismiss()
        self._enter(Phase.RESPOND)

    async def _give_up(self, failure: Failure) -> None:
        if isinstance(failure, ShimError):
            raise failure
        await self._begin_to_respond()
        await relay(failure, self.answer, self.record)

    async def _pass_hints(self, head: ResponseHead) -> None:
        await relay_hints(head, self.answer)

    def _note_server(self, server: str) -> None:
        self.record.server = server

    def _enter(self, phase: Phase) -> None:
        self.journal.enter(self.record, phase)
