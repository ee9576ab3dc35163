"""The way of a request: head, route, admission, body, upstream, answer; each step takes what the last made.

Leaving it, by whatever way, gives back file, lease and ticket.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from shim.admission.drain import Drain
from shim.admission.gate import Ticket, UploadGate
from shim.admission.limits import BodyPace
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.forward import Delivery, upstream_request
from shim.proxy.receive import BodyReceiver
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.respond import relay
from shim.routes.route import Route
from shim.routes.table import RouteTable
from shim.service.generic import Service
from shim.spool.body import Body
from shim.spool.store import Store
from shim.upstream.group import Upstream


@dataclass(frozen=True)
class Proxy:
    """The parts that a request passes, made once and shared by all requests."""

    routes: RouteTable
    service: Service
    upstreams: Mapping[str, Upstream]
    drain: Drain
    gate: UploadGate
    store: Store
    journal: Journal
    pace: BodyPace

    async def serve(self, request: ClientRequest, answer: Answer, record: Record) -> None:
        """Serve one request.

        Raises:
            ShimError: Why it could not be served; ``answer.has_begun`` says whether it can still be answered.
        """
        self.drain.check()
        request.check_expectation()
        route = self.routes.find(request.method, request.raw_path)
        record.route = route.name
        record.image = self.service.image_of(request.raw_path)
        upstream = self.upstreams[route.upstream]
        message = upstream_request(request, upstream.mount)
        if request.framing.has_body:
            # A head that no server takes is refused while the client still holds the body.
            upstream.check_head(message, request.framing.length)
        declared = request.declared_length()
        self.store.check_length(declared, max_body=route.max_body)
        handling = self.service.handle(message, upstream)
        if (refusal := await handling.admit()) is not None:
            record.upstream = upstream.name
            await relay(refusal, answer, record)
            return
        record.project = handling.project or record.project
        async with self._whole_body(request, declared, route, record) as body:
            whole = await handling.complete(replace(message, body=body))
            delivery = Delivery(whole, upstream, handling, answer, self.journal, record)
            await delivery.run(request.receive)

    @contextlib.asynccontextmanager
    async def _whole_body(
        self, request: ClientRequest, declared: int | None, route: Route, record: Record
    ) -> AsyncIterator[Body | None]:
        """The request's body, received to its end; None where it has none."""
        if not request.framing.has_framing:
            yield None
            return
        record.has_body, record.length, record.mode = True, declared, route.body.value
        with self.gate.ticket() as ticket:
            ticket.cover(declared or 0)
            async with self.store.body(declared, max_body=route.max_body) as body:
                await self._receive(request, body, declared, ticket, record)
                yield body

    async def _receive(
        self, request: ClientRequest, body: Body, declared: int | None, ticket: Ticket, record: Record
    ) -> None:
        self.journal.enter(record, Phase.RECEIVE)
        receiver = BodyReceiver(
            request.receive,
            body,
            declared=declared,
            pace=self.pace,
            ticket=ticket,
            record=record,
            take_over=request.take_over,
        )
        await receiver.fill()
        record.length = body.length
