"""The short way of a small request: route, slot and connection without a wait, the answer by a callback.

It decides by what the ordinary way decides by (``flow``), and goes on only where every step comes to what it
nearly always does: there is a slot and a connection, and the answer comes whole in a moment. At anything
else the ordinary way begins, or goes on with what was begun (docs/decisions/0032).
"""

import asyncio
from typing import NamedTuple

from shim.asgi import Receive, WatchClient
from shim.errors import CUT_OFF, Draining, UpstreamFault
from shim.observe.journal import Phase, Record
from shim.proxy.client_side import ClientSide
from shim.proxy.flow import Proxy
from shim.proxy.forward import Delivery
from shim.proxy.onward import SharedFields
from shim.proxy.request import Answer
from shim.proxy.respond import relayed_headers
from shim.proxy.short_body import HeldBody, hold_body
from shim.routes.route import Route
from shim.service.generic import Handling
from shim.short_way import ShortClient
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.upstream.pending import PendingRequest
from shim.upstream.response import ConnectionResponse
from shim.wire.headers import Headers

# An answer that is longer is not waited for to its end, but relayed as it comes.
LONGEST_ANSWER = 64 * 1024
_FIRST_FINAL_STATUS = 200
# Fields that speak of a body, or ask something of the shim: what, the ordinary way finds out.
_UNUSUAL = frozenset({b"content-digest", b"content-md5", b"expect", b"x-openstack-image-size"})


def is_usual(headers: Headers) -> bool:
    """Whether nothing in a request's fields asks for more than to be forwarded."""
    return not any(name in _UNUSUAL for name, _ in headers)


class ShortHead(NamedTuple):
    """What a request's head says beside its fields, and who it is for (``ShortTerms.begin``)."""

    method: str
    target: bytes
    client: ShortClient
    has_framing: bool
    length: int | None


def begin_short(proxy: Proxy, shared: SharedFields, head: ShortHead) -> "ShortRequest | None":
    """Send a small request; None where it does not fit this way, and nothing was done.

    Raises:
        ShimError: Likewise; the ordinary way fails with it too, or with what has become of it by then.
    """
    proxy.drain.check()
    route, record = _begin_record(proxy, shared, head)
    upstream = proxy.upstreams[route.upstream]
    message = shared.message(
        head.method,
        head.target,
        identity=record.id,
        mount=upstream.mount,
        about=record.image,
        terms=route.terms,
    )
    handling = proxy.service.handle(message, upstream)
    if not handling.is_plain:
        return None
    held = None
    if head.has_framing:
        held = hold_body(proxy.store, route, shared.project, head.client, head.length)
        if held is None:
            return None
        message = message._replace(body=held.body)
        _note_body(record, route, held)
    pending = _send(upstream, message, held)
    if pending is None:
        return None
    return ShortRequest(proxy, record, head.client, _Sending(message, upstream, handling, pending, held))


def _begin_record(proxy: Proxy, shared: SharedFields, head: ShortHead) -> tuple[Route, Record]:
    """Where a request goes, and a record that nobody keeps yet."""
    path, _, _ = head.target.partition(b"?")
    route = proxy.routes.find(head.method, path, shared.headers, head.length if head.has_framing else 0)
    record = proxy.journal.make(
        id=shared.next_identity(),
        method=head.method,
        path=path.decode("ascii", "backslashreplace"),
        client=shared.client,
    )
    record.project, record.route, record.upstream = shared.project, route.name, route.upstream
    record.image = proxy.service.image_of(path)
    return route, record


def _note_body(record: Record, route: Route, held: HeldBody) -> None:
    record.has_body, record.mode = True, route.body.value
    record.length = record.received = held.body.length
    record.enter(Phase.RECEIVE, record.started)


def _send(upstream: Upstream, message: UpstreamRequest, held: HeldBody | None) -> PendingRequest | None:
    """Send a request, or give back what its body has."""
    pending = None
    try:
        pending = upstream.send_now(message)
    finally:
        if pending is None and held is not None:
            held.release()
    return pending


class _Sending(NamedTuple):
    """What a request has become."""

    message: UpstreamRequest
    upstream: Upstream
    handling: Handling
    pending: PendingRequest
    held: HeldBody | None

    def release(self) -> None:
        """Give back what the body has of the spool's budget."""
        if self.held is not None:
            self.held.release()


class ShortRequest:
    """A request whose answer is waited for by its connection's descriptor alone.

    Attributes:
        record: Its record, which is open until it is over here, or in the ordinary way.
    """

    __slots__ = ("_client", "_is_handed_on", "_proxy", "_sending", "record")

    def __init__(self, proxy: Proxy, record: Record, client: ShortClient, sending: _Sending) -> None:
        """Begin to wait."""
        self.record = record
        self._proxy = proxy
        self._client = client
        self._sending = sending
        self._is_handed_on = False
        pending, upstream = sending.pending, sending.upstream
        if upstream.roster.positions > 1:
            record.server = pending.member.name
        # As every request has them; neither connecting nor sending took time that could be told.
        for phase in (Phase.CONNECT, Phase.SEND, Phase.WAIT):
            record.enter(phase, pending.sent_at)
        proxy.journal.begin(record)
        if not (pending.is_sent and self._watches()):
            # Later, for who began it does not know of it yet.
            asyncio.get_running_loop().call_soon(client.go_on)

    def _watches(self) -> bool:
        """Begin to wait; False where that is not to be had."""
        try:
            self._sending.pending.watch(self._look)
        except OSError:
            # The kernel watches no more descriptors (epoll_ctl(2)). It is sent all the same, so that nobody
            # may begin it anew.
            return False
        return True

    def _look(self) -> None:
        """Something of the answer is there to be read."""
        try:
            response = self._sending.pending.answer_now()
        except UpstreamFault:
            self._client.go_on()
            return
        if response is None:
            return
        body = None if response.status < _FIRST_FINAL_STATUS else response.take_whole()
        if body is not None:
            self._give(response, body)
        elif not _is_worth_waiting(response):
            self._client.go_on()

    def _give(self, response: ConnectionResponse, body: bytes) -> None:
        record, journal = self.record, self._proxy.journal
        journal.enter(record, Phase.RESPOND)
        record.status, record.sent = response.status, len(body)
        headers = relayed_headers(response, record)
        self._sending.pending.finish(response)
        self._sending.release()
        try:
            self._client.give(response.status, headers, body)
        finally:
            journal.end(record)

    def stop(self) -> None:
        """Wait no more."""
        self._sending.pending.stop()

    def give_up(self) -> None:
        """Nobody goes on with it, or not any more: what it holds is given back, if it still is."""
        self._sending.pending.give_up()
        if not self._is_handed_on:
            self._sending.release()
            self.record.code, self.record.detail = Draining.code, CUT_OFF
            self._proxy.journal.end(self.record)

    async def go_on(self, receive: Receive, watch_client: WatchClient | None, answer: Answer) -> None:
        """Serve what is left of it in the ordinary way, with what the server offers for that.

        Raises:
            ShimError: As ``Proxy.serve``.
        """
        self._is_handed_on = True
        proxy, sending = self._proxy, self._sending
        try:
            async with ClientSide(receive, watch_client=watch_client) as client:
                delivery = Delivery(
                    message=sending.message._replace(encoded=b""),
                    body=None,
                    client=client,
                    upstream=sending.upstream,
                    handling=sending.handling,
                    answer=answer,
                    journal=proxy.journal,
                    record=self.record,
                    store=proxy.store,
                    stall=proxy.stall,
                    pending=sending.pending,
                )
                await delivery.run()
        finally:
            sending.release()


def _is_worth_waiting(response: ConnectionResponse) -> bool:
    length = response.framing.length
    return response.status >= _FIRST_FINAL_STATUS and length is not None and length <= LONGEST_ANSWER
