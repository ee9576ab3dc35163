"""Questions to Glance about one image, with the client's own token: what it is, what state it is in.

What Glance answers to that token is all the shim ever learns; it has no rights of its own.
"""

import json
from dataclasses import dataclass

from shim.errors import QueueFull, QueueTimeout, UpstreamFault
from shim.timing import Seconds
from shim.upstream.group import Upstream
from shim.upstream.message import UpstreamRequest
from shim.upstream.question import Reply, ask
from shim.wire.headers import get_first

# Longer, and all workers are busy: then the body is taken in meanwhile, and Glance judges afterwards.
PATIENCE: Seconds = 10.0

# What a question may end with. One that finds no slot must not take the place of what it is asked about.
UNANSWERED = (UpstreamFault, QueueFull, QueueTimeout)

_OK = 200
_NO_CONTENT = 204

# Fields that speak of the upload's body, not of who asks. Accept stays: a refusal is relayed, and has to look
# as Glance's own would (the glance command breaks on JSON there); an image is JSON whatever is accepted.
_OF_THE_UPLOAD = frozenset(
    {
        b"accept-encoding",
        b"accept-ranges",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"content-md5",
        b"content-range",
        b"content-type",
        b"digest",
        b"expect",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
        b"x-image-meta-store",
        b"x-openstack-image-size",
    }
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image as Glance tells of it.

    Attributes:
        status: ``queued``, ``saving``, ``uploading``, ``active`` ... (Glance's image states).
        owner: Id of the project that it belongs to; ``""`` where it has none.
        size: Bytes of its data, None before there is any.
    """

    status: str
    owner: str = ""
    size: int | None = None

    @property
    def is_queued(self) -> bool:
        """Whether it takes data."""
        return self.status == "queued"

    @property
    def is_under_way(self) -> bool:
        """Whether data is coming to it, or was when its worker died."""
        return self.status in ("saving", "uploading")


class ImageQuestions:
    """Asks about the image that a request is for."""

    def __init__(self, message: UpstreamRequest, target: bytes, upstream: Upstream) -> None:
        """Take the client's request, whose identity is used, and the image's own target."""
        kept = [field for field in message.headers if field[0] not in _OF_THE_UPLOAD]
        # Without it a server in between might compress what is read here.
        fields = [*kept, (b"accept-encoding", b"identity")]
        self.question = message._replace(method="GET", target=target, headers=fields, body=None)
        self._upstream = upstream

    async def show(self, *, service_token: bytes | None = None) -> Reply:
        """Glance's answer to ``GET`` of the image; raises UpstreamFault."""
        return await ask(self._upstream, self._with(service_token), patience=PATIENCE)

    async def delete(self, *, service_token: bytes | None = None) -> bool:
        """Delete the image; whether Glance did so. Raises UpstreamFault."""
        question = self._with(service_token)._replace(method="DELETE")
        return (await ask(self._upstream, question, patience=PATIENCE)).status == _NO_CONTENT

    def _with(self, service_token: bytes | None) -> UpstreamRequest:
        # A client that brings its own (Nova, Cinder) keeps it: two would be joined on their way, and be none.
        if service_token is None or get_first(self.question.headers, b"x-service-token") is not None:
            return self.question
        fields = [*self.question.headers, (b"x-service-token", service_token)]
        return self.question._replace(headers=fields)


def read_image(reply: Reply) -> Image | None:
    """The image in an answer of Glance's; None where it holds none."""
    if reply.status != _OK:
        return None
    try:
        fields = json.loads(reply.body)
    # Nested deeper than any image is: json gives up by recursion.
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(status := fields.get("status"), str):
        return None
    owner, size = fields.get("owner"), fields.get("size")
    return Image(
        status=status,
        owner=owner if isinstance(owner, str) else "",
        size=size if isinstance(size, int) else None,
    )
