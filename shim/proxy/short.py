"""The short way of a small request: route, slot and connection without a wait, the answer by a callback.

It decides by what the ordinary way decides by (``flow``), and only where every step comes to what it nearly
always does: there is a slot and a connection, and the answer comes whole in a moment. At anything else the
ordinary way begins, or goes on with what was begun (docs/decisions/0032).
"""

from dataclasses import dataclass

from shim.asgi import ShortClient
from shim.errors import UpstreamFault
from shim.observe.journal import Journal, Phase, Record
from shim.proxy.client_side import ClientSide
from shim.proxy.flow import Proxy, for_project
from shim.proxy.forward import Delivery, upstream_request
from shim.proxy.request import Answer, ClientRequest
from shim.proxy.respond import relayed_headers
from shim.service.generic import Handling
from shim.upstream.begun import Begun
from shim.upstream.group import Upstream
from shim.upstream.message import REPEATABLE, UpstreamRequest
from shim.upstream.response import Response

# An answer that is longer is not waited for to its end, but relayed as it comes.
LONGEST_ANSWER = 64 * 1024
# Fields that say something of a body, or want something of the shim: what, the ordinary way finds out.
_UNUSUAL = frozenset({b"content-digest", b"content-md5", b"expect", b"x-openstack-image-size"})
_FIRST_FINAL_STATUS = 200


def begin_short(
    proxy: Proxy, request: ClientRequest, record: Record, client: ShortClient
) -> "ShortRequest | None":
    """Send a request that has no body; None where it is none for this way, and nothing was done.

    Raises:
        ShimError: Likewise; the ordinary way fails with it too, or with what has become of it by then.
    """
    if request.method not in REPEATABLE or any(name in _UNUSUAL for name, _ in request.headers):
        return None
    proxy.drain.check()
    path = request.raw_path
    route = proxy.routes.find(request.method, path, request.headers, 0)
    record.route, record.image = route.name, proxy.service.image_of(path)
    upstream = proxy.upstreams[route.upstream]
    message = upstream_request(request, upstream.mount, about=record.image, terms=route.terms)
    message = for_project(message, None, record.project)
    handling = proxy.service.handle(message, upstream)
    if not handling.is_plain:
        return None
    begun = upstream.send_now(message)
    if begun is None:
        return None
    record.upstream = upstream.name
    if upstream.roster.positions > 1:
        record.server = begun.member.name
    return ShortRequest(proxy, request, record, client, _Sending(message, upstream, handling, begun))


@dataclass(frozen=True, slots=True)
class _Sending:
    """What a request has become."""

    message: UpstreamRequest
    upstream: Upstream
    handling: Handling
    begun: Begun


class ShortRequest:
    """A request whose answer is waited for by its connection's descriptor alone.

    Attributes:
        request: The client's.
        record: Its record, which is open until it is over here, or in the ordinary way.
    """

    __slots__ = ("_client", "_journal", "_proxy", "_sending", "record", "request")

    def __init__(
        self, proxy: Proxy, request: ClientRequest, record: Record, client: ShortClient, sending: _Sending
    ) -> None:
        """Begin to wait."""
        self.request = request
        self.record = record
        self._proxy = proxy
        self._journal: Journal = proxy.journal
        self._client = client
        self._sending = sending
        self._note_phases()
        self._journal.begin(record)
        sending.begun.watch(self._look)

    def _note_phases(self) -> None:
        """The phases of every request; sending took no time that could be told."""
        enter = self._journal.enter
        for phase in (Phase.CONNECT, Phase.SEND, Phase.WAIT):
            enter(self.record, phase)

    def _look(self) -> None:
        """Something of the answer is there to be read."""
        try:
            response = self._sending.begun.answer_now()
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

    def _give(self, response: Response, body: bytes) -> None:
        record = self.record
        self._journal.enter(record, Phase.RESPOND)
        record.status, record.sent = response.status, len(body)
        headers = relayed_headers(response, record)
        self._sending.begun.finish(response)
        try:
            self._client.give(response.status, headers, body)
        finally:
            self._journal.end(record)

    def give_up(self) -> None:
        """Nobody goes on with it."""
        self._sending.begun.give_up()

    async def go_on(self, request: ClientRequest, answer: Answer) -> None:
        """Serve what is left of it in the ordinary way; ``request`` is the same, with the server's offers.

        Raises:
            ShimError: As ``Proxy.serve``.
        """
        proxy, sending = self._proxy, self._sending
        async with ClientSide(request.receive, watch_client=request.watch_client) as client:
            delivery = Delivery(
                message=sending.message,
                body=None,
                client=client,
                upstream=sending.upstream,
                handling=sending.handling,
                answer=answer,
                journal=proxy.journal,
                record=self.record,
                store=proxy.store,
                stall=proxy.stall,
                begun=sending.begun,
            )
            await delivery.run()


def _is_worth_waiting(response: Response) -> bool:
    length = response.framing.length
    return response.status >= _FIRST_FINAL_STATUS and length is not None and length <= LONGEST_ANSWER
