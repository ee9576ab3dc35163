"""The way of a request: head, route, admission, body, upstream, answer; each step takes what the last made.

Leaving it, by whatever way, gives back file, lease and ticket.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from shim.admission.drain import Drain
from shim.admission.gate import Ticket, UploadGate
from shim.admission.limits import BodyPace
from shim.admission.turnstile import Turnstile
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.client_side import ClientSide
from shim.proxy.forward import Delivery
from shim.proxy.growing import wait_for_start
from shim.proxy.onward import upstream_request
from shim.proxy.pace import LEAST_PACED, Begin, Pace, choose_begin
from shim.proxy.receive import BodyReceiver
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.respond import relay
from shim.routes.route import BodyMode, Route
from shim.routes.table import RouteTable
from shim.service.generic import Service
from shim.spool.body import Body
from shim.spool.store import Store
from shim.timing import Clock, Seconds, monotonic
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.wire.digest import BodyDigest


@dataclass(frozen=True)
class Proxy:
    """The parts that a request passes, made once and shared by all requests.

    Attributes:
        upstreams: By the name that routes call them.
        drain: Says when nothing new is taken any more.
        gate: Counts uploads.
        pace: What is asked of a client that sends a body.
        stall: How long a client may keep a server waiting after forwarding began, in seconds.
        least_paced: Bodies of so many bytes are received whole in any case.
        turnstile: Where uploads pass that begin to be received, or to be forwarded.
    """

    routes: RouteTable
    service: Service
    upstreams: Mapping[str, Upstream]
    drain: Drain
    gate: UploadGate
    store: Store
    journal: Journal
    pace: BodyPace
    stall: Seconds = 30.0
    least_paced: int = LEAST_PACED
    clock: Clock = monotonic
    turnstile: Turnstile = field(default_factory=Turnstile)

    async def serve(self, request: ClientRequest, answer: Answer, record: Record) -> None:
        """Serve one request.

        Raises:
            ShimError: Why it could not be served; ``answer.has_begun`` says whether it can still be answered.
        """
        if request.framing.has_body:
            await self.turnstile.pass_through()
        self.drain.check()
        request.check_expectation()
        path = request.raw_path
        route = self.routes.find(request.method, path, request.headers, request.routed_size)
        record.route = route.name
        record.image = self.service.image_of(path)
        upstream = self.upstreams[route.upstream]
        message = upstream_request(request, upstream.mount, about=record.image, terms=route.terms)
        if request.framing.has_body:
            # A head that no server takes is refused while the client still holds the body.
            upstream.check_head(message, request.framing.length)
        declared, digest = request.declared_length(), request.declared_digest()
        self.store.check_length(declared, max_body=route.max_body)
        handling = self.service.handle(message, upstream)
        if (refusal := await handling.admit()) is not None:
            record.upstream = upstream.name
            await relay(refusal, answer, record)
            return
        record.project = handling.project or record.project
        async with _Incoming(self, request, declared, route, record, digest=digest) as receiver:
            body, begin = None, Begin.WHOLE
            if receiver is not None:
                body, begin = receiver.body, self._choose_begin(route, declared, upstream)
                if begin is Begin.WHOLE:
                    await self._receive_whole(receiver)
            async with ClientSide(request.receive, receiver, watch_client=request.watch_client) as client:
                if body is not None and begin is not Begin.WHOLE:
                    await self._wait_for_start(body, begin, client, upstream)
                delivery = Delivery(
                    message=await handling.complete(_for_project(message, body, record.project)),
                    body=body,
                    client=client,
                    upstream=upstream,
                    handling=handling,
                    answer=answer,
                    journal=self.journal,
                    record=record,
                    store=self.store,
                    stall=self.stall if route.terms.stall is None else route.terms.stall,
                    is_handed_off=route.body is BodyMode.HANDOFF,
                )
                await delivery.run()

    def _choose_begin(self, route: Route, declared: int | None, upstream: Upstream) -> Begin:
        return choose_begin(
            route.body,
            declared,
            whole_up_to=max(self.store.memory_limit, self.least_paced),
            takes_growing=upstream.takes_growing,
            takes_chunked=upstream.takes_chunked,
        )

    async def _receive_whole(self, receiver: BodyReceiver) -> None:
        await receiver.fill()
        if receiver.body.is_in_file:
            # Those that began together often end together.
            await self.turnstile.pass_through()

    async def _wait_for_start(self, body: Body, begin: Begin, client: ClientSide, upstream: Upstream) -> None:
        if begin is Begin.AT_ONCE:
            # A server that is connected to waits for its request, but for some seconds only.
            await body.wait(0)
            return
        assert body.length is not None
        await wait_for_start(
            body, Pace(body.length, upstream.drain_rate, self.clock()), client, clock=self.clock
        )


class _Incoming:
    """A block that holds a ticket and a lease for a body; gives what receives it, None where there is none.

    A class, because every request passes through it: two generators took three times as long.

    Raises:
        LimitReached: There is no room for it, or there are too many under way.
    """

    def __init__(
        self,
        proxy: Proxy,
        request: ClientRequest,
        declared: int | None,
        route: Route,
        record: Record,
        *,
        digest: BodyDigest | None,
    ) -> None:
        self._proxy = proxy
        self._request = request
        self._declared = declared
        self._digest = digest
        self._route = route
        self._record = record
        self._ticket: Ticket | None = None
        self._room: contextlib.AbstractAsyncContextManager[Body] | None = None

    async def __aenter__(self) -> BodyReceiver | None:
        if not self._request.framing.has_framing:
            return None
        proxy, record = self._proxy, self._record
        record.has_body, record.length, record.mode = True, self._declared, self._route.body.value
        self._ticket = ticket = proxy.gate.ticket(record.project)
        try:
            await ticket.cover(self._declared or 0)
            room = proxy.store.body(self._declared, max_body=self._route.max_body, project=record.project)
            body = await room.__aenter__()
        except BaseException:
            ticket.release()
            raise
        self._room = room
        proxy.journal.enter(record, Phase.RECEIVE)
        return self._receiver(body, ticket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._room is None or self._ticket is None:
            return
        try:
            await self._room.__aexit__(kind, error, trace)
        finally:
            self._ticket.release()

    def _receiver(self, body: Body, ticket: Ticket) -> BodyReceiver:
        request = self._request
        return BodyReceiver(
            request.receive,
            body,
            declared=self._declared,
            pace=self._route.terms.pace or self._proxy.pace,
            ticket=ticket,
            record=self._record,
            take_over=request.take_over,
            receive_now=request.receive_now,
            digest=self._digest,
        )


def _for_project(message: UpstreamRequest, body: Body | None, project: str) -> UpstreamRequest:
    """The request with its body; one without is copied only where something changes."""
    if body is None and project == message.project:
        return message
    return message._replace(body=body, project=project)
