"""Relays an upstream's answer to the client; from its first byte on there is no way back."""

import contextlib

from shim.observe.journal import Record
from shim.proxy.request import Answer
from shim.upstream.exchange import Response
from shim.wire.framing import BodyKind
from shim.wire.headers import end_to_end, get_all, get_first
from shim.wire.http1 import ResponseHead

_EARLY_HINTS = 103
_NO_CONTENT = 204


async def relay(response: Response, answer: Answer, record: Record) -> None:
    """Give the client the upstream's answer, unaltered but for what belongs to one hop only.

    Raises:
        UpstreamFault: The answer broke off; what was relayed of it must be cut.
    """
    record.status = response.status
    await answer.begin(response.status, _relayed_headers(response, record))
    if (body := response.take_whole()) is not None:
        record.sent += len(body)
        await answer.end(body)
        return
    # The head by itself: a store may take its time for the first byte, and the client has a timeout.
    await answer.write(b"")
    async with contextlib.aclosing(response.pieces()) as pieces:
        async for piece in pieces:
            await answer.write(piece)
            record.sent += len(piece)
            # A fast path is an offer: what is still in the upstream's socket need not come through here.
            if answer.move and await response.lend(answer.move, record.count_sent):
                break
    await answer.end()


async def relay_hints(head: ResponseHead, answer: Answer) -> None:
    """Pass on an interim answer; only 103 means anything to a client that did not ask for more."""
    links = get_all(head.headers, b"link")
    if head.status == _EARLY_HINTS and links:
        await answer.hint(links)


def _relayed_headers(response: Response, record: Record) -> list[tuple[bytes, bytes]]:
    headers = end_to_end(response.headers)
    if response.framing.kind is BodyKind.CHUNKED or response.status == _NO_CONTENT:
        headers = [field for field in headers if field[0] != b"content-length"]
    if get_first(response.headers, b"x-openstack-request-id") is None:
        headers.append((b"x-openstack-request-id", record.id.encode("ascii")))
    return headers
