"""Relays an upstream's answer to the client; from its first byte on there is no way back."""

from shim.observe.journal import Record
from shim.proxy.download import Download
from shim.proxy.request import Answer
from shim.upstream.exchange import Response
from shim.wire.framing import BodyKind
from shim.wire.headers import end_to_end, get_all, get_first
from shim.wire.http1 import ResponseHead

_EARLY_HINTS = 103
_NO_CONTENT = 204
# Of an upstream's request id, in the log: whatever is longer is no id.
LONGEST_ID = 128


async def relay(response: Response, answer: Answer, record: Record) -> None:
    """Give the client an answer whose body is in memory.

    Raises:
        UpstreamFault: The answer broke off; what was relayed of it must be cut.
    """
    async with Download(answer, record) as download:
        await take(response, answer, record, download)
        await download.finish()


async def take(response: Response, answer: Answer, record: Record, download: Download) -> None:
    """Begin the answer, unaltered but for what belongs to one hop only, and take its body from its server.

    Raises:
        UpstreamFault: The answer broke off; what was relayed of it must be cut.
        ClientTooSlow: The client took too little of it.
    """
    record.status = response.status
    await answer.begin(response.status, relayed_headers(response, record))
    if (body := response.take_whole()) is not None:
        download.keep(body)
        return
    # The head by itself: a store may take its time for the first byte, and the client has a timeout.
    await answer.write(b"")
    await download.take(response)


async def relay_hints(head: ResponseHead, answer: Answer) -> None:
    """Pass on an interim answer; only 103 means anything to a client that did not ask for more."""
    links = get_all(head.headers, b"link")
    if head.status == _EARLY_HINTS and links:
        await answer.hint(links)


def relayed_headers(response: Response, record: Record) -> list[tuple[bytes, bytes]]:
    """The fields of an answer as the client gets them; notes the upstream's id of the request."""
    headers = end_to_end(response.headers)
    if response.framing.kind is BodyKind.CHUNKED or response.status == _NO_CONTENT:
        headers = [field for field in headers if field[0] != b"content-length"]
    theirs = get_first(response.headers, b"x-openstack-request-id")
    if theirs is None:
        headers.append((b"x-openstack-request-id", record.id.encode("ascii")))
    elif (told := theirs[:LONGEST_ID].decode("ascii", "backslashreplace")) != record.id:
        # It is the only one that the client sees; Glance has ours as the request's global id.
        record.upstream_request_id = told
    return headers
