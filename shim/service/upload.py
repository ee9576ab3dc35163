"""One upload to an image: asked about before its body, helped after a failure.

Glance judges an upload from its head alone, but only gets to see it with the whole body; the shim asks in
its place with the client's own token. A failed attempt leaves the image ``queued`` (the body may be sent
again) or, where the worker was killed, ``saving`` for ever: then only deleting helps (measured).
"""

import asyncio
import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shim.errors import (
    ConnectTimeout,
    ImageConflict,
    NoUpstream,
    QueueTimeout,
    ResponseTimeout,
    ShimError,
    TokenExpired,
    UpstreamClosed,
    UpstreamFault,
    UpstreamRefused,
)
from shim.service.admissions import Admissions
from shim.service.aftermath import Aftermath, may_go_on
from shim.service.generic import Failure, Remedy
from shim.service.images import Image, ImageQuestions, read_image
from shim.timing import Clock, Seconds, monotonic
from shim.upstream.exchange import Response
from shim.upstream.message import UpstreamRequest
from shim.upstream.question import Reply
from shim.wire.headers import get_first

if TYPE_CHECKING:
    from shim.service.service_token import ServiceTokens

log = logging.getLogger("shim.glance")

MOST_RESENDS = 2
FIRST_PAUSE: Seconds = 0.5

_REFUSALS = frozenset({401, 403, 404})
_UNAUTHORIZED = 401
_FIRST_SERVER_ERROR = 500
_NEVER_DELIVERED = (UpstreamRefused, ConnectTimeout, NoUpstream)


class Action(enum.StrEnum):
    """The two requests that carry image data, by the last part of their path."""

    UPLOAD = "file"
    STAGE = "stage"


_OWN_STATES = {Action.UPLOAD: "saving", Action.STAGE: "uploading"}
"""What Glance makes of the image while the data comes, and leaves it in where the worker dies."""


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """What the operator wants done for uploads.

    Attributes:
        look: Ask before the body (``glance.look``).
        delete_stuck: Delete an image that a dead worker left in ``saving`` (``glance.delete_stuck``).
    """

    look: bool = True
    delete_stuck: bool = False


class ImageUpload:
    """The ``Handling`` of one upload."""

    is_plain = False

    def __init__(
        self,
        action: Action,
        questions: ImageQuestions,
        upstream: str,
        *,
        options: UploadOptions,
        admissions: Admissions,
        tokens: "ServiceTokens | None",
        clock: Clock = monotonic,
    ) -> None:
        self.project = ""
        self._action = action
        self._questions = questions
        self._options = options
        self._admissions = admissions
        self._key = admissions.key(upstream, questions.question)
        self._tokens = tokens
        self._clock = clock
        self._admitted_at: Seconds | None = None
        self._service_token: bytes | None = None
        self._length = 0
        self._resends = 0

    # -- before the body --------------------------------------------------------------------------

    async def admit(self) -> Reply | None:
        """Look at the image with the client's token.

        No verdict, because Glance is busy or says something unexpected, is no refusal: the body is then
        taken, and Glance judges.

        Raises:
            ImageConflict: It is in a state that takes no data.
            UpstreamRefused, ConnectTimeout: There is no server that would take the body either.
        """
        if not self._options.look:
            return None
        # Only admissions are remembered: Glance judges those again anyway, while a refusal may be outdated at
        # any time, by an image-create a moment later (decision 9).
        owner = self._admissions.owner(self._key)
        if owner is None:
            try:
                reply = await self._questions.show()
            except _NEVER_DELIVERED:
                raise
            except (UpstreamFault, QueueTimeout) as fault:
                log.info("No look at the image before its body: %s", fault.for_operator)
                return None
            if reply.status in _REFUSALS:
                return reply
            image = read_image(reply)
            if image is None:
                return None
            self._check_state(image)
            owner = image.owner
            self._admissions.add(self._key, owner)
        # Whoever the image belongs to is the one that limits and logs count for, whoever sends its data.
        self.project = owner
        self._admitted_at = self._clock()
        return None

    @staticmethod
    def _check_state(image: Image) -> None:
        # Ours and not Glance's own: that is not to be had without a body, and an empty one would make an
        # active image of no bytes (measured).
        if not image.is_queued:
            raise ImageConflict(
                f"The image is {image.status!r} and takes no data: only a queued image does. "
                "Data once stored cannot be replaced; make a new image."
            )

    # -- with the body ----------------------------------------------------------------------------

    async def complete(self, message: UpstreamRequest) -> UpstreamRequest:
        """Say the size where the client did not, and vouch for a token that may expire meanwhile."""
        # With data on its way to it the image is not what it was when it was looked at.
        self._admissions.forget(self._key)
        headers = list(message.headers)
        self._length = message.length or 0
        # Stores that need the size beforehand (RBD, Cinder, Swift) grow step by step without it.
        is_unsaid = get_first(headers, b"x-openstack-image-size") is None
        if self._action is Action.UPLOAD and self._length and is_unsaid:
            headers.append((b"x-openstack-image-size", b"%d" % self._length))
        # Only for a token that was good when it came: the service token makes an expired one count.
        if self._tokens is not None and self._admitted_at is not None:
            self._service_token = await self._tokens.token()
        if self._service_token is not None and get_first(headers, b"x-service-token") is None:
            headers.append((b"x-service-token", self._service_token))
        return message._replace(headers=headers)

    # -- after an attempt -------------------------------------------------------------------------

    def is_doubtful(self, answer: Response) -> bool:
        """A 5xx may be Glance's verdict, or a server that lost its worker (mod_wsgi, a router).

        Raises:
            TokenExpired: Glance refuses the token that it accepted before the body came.
        """
        if answer.status == _UNAUTHORIZED and self._admitted_at is not None:
            seconds = self._clock() - self._admitted_at
            raise TokenExpired(
                f"The token was valid when the upload began {seconds:.0f} s ago, and is not any more; the "
                "image is still queued. Upload again with a new token that lives longer than the upload "
                "takes, or ask the operator to set glance.service_auth.",
                challenge=get_first(answer.headers, b"www-authenticate"),
            )
        return answer.status >= _FIRST_SERVER_ERROR

    async def recover(self, failure: Failure) -> Remedy:
        """Ask for the image's state: ``queued`` may be tried again, anything else is told.

        Raises:
            UpstreamFault: The failure, with what is known of the image.
        """
        if isinstance(failure, _NEVER_DELIVERED):
            raise _with_state(failure, "Nothing of the upload was delivered: it can be repeated.")
        aftermath = Aftermath(
            self._questions,
            self._service_token,
            own_state=_OWN_STATES[self._action],
            delete_stuck=self._options.delete_stuck,
            clock=self._clock,
        )
        image = await aftermath.settled_image()
        if image is not None and image.is_queued and self._resends < MOST_RESENDS:
            pause = FIRST_PAUSE * 2**self._resends
            self._resends += 1
            log.warning("Sent again in %g s, for the image is still queued: %s", pause, _told(failure))
            await asyncio.sleep(pause)
            return Remedy.SEND_AGAIN
        if isinstance(failure, Reply) and (image is None or image.is_queued):
            # Glance's own words say more than ours.
            return Remedy.GIVE_UP
        raise _with_state(failure, await aftermath.describe(image, self._length, failure))


def _told(failure: Failure) -> str:
    return f"answered {failure.status}" if isinstance(failure, Reply) else failure.for_operator


def _with_state(failure: Failure, state: str) -> ShimError:
    """The same failure, told with the state of the image."""
    if isinstance(failure, Reply):
        kind = ResponseTimeout if may_go_on(failure) else UpstreamClosed
        return kind(f"The server gave up the upload with status {failure.status}. {state}")
    return type(failure)(
        f"{failure.detail} {state}",
        retry_after=failure.retry_after,
        for_operator=f"{failure.for_operator} {state}",
    )
