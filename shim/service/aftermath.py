"""What became of an image whose upload failed, and what helps.

A cut upload leaves it ``queued`` once Glance has undone what came; a worker that was killed leaves it in
``saving`` for ever. Who has just lost its workers cannot say so at once, and is asked again.
"""

import asyncio
import logging

from shim.errors import ResponseTimeout, SendTimeout, ServerKeptWaiting
from shim.service.generic import Failure
from shim.service.images import UNANSWERED, Image, ImageQuestions, read_image
from shim.timing import Clock, Seconds
from shim.upstream.question import Reply

log = logging.getLogger("shim.glance")

FIRST_PAUSE: Seconds = 0.25
LONGEST_PAUSE: Seconds = 2.0
# uWSGI gives a cut body up after 4 s (its socket-timeout), and Glance needs a moment to undo the rest.
SETTLING: Seconds = 6.0
# A server that lost its workers needs seconds to load Glance again. Until then a question meets what the
# upload met: Apache answers 500 for mod_wsgi's, others close or refuse.
REVIVAL: Seconds = 30.0

_NOT_FOUND = 404
_FIRST_SERVER_ERROR = 500
# What a proxy between answers where Glance takes long.
_GATEWAY_TIMEOUT = 504


class Aftermath:
    """Learns and tells the state of one image, with the identity of the client that uploaded."""

    def __init__(
        self,
        questions: ImageQuestions,
        service_token: bytes | None,
        *,
        own_state: str,
        delete_stuck: bool,
        clock: Clock,
    ) -> None:
        """Take whom to ask, with which token of the shim's own.

        Args:
            questions: About the image, with the client's token.
            service_token: Makes an expired one count.
            own_state: What this upload makes of the image: ``saving``, or ``uploading`` where it is staged.
            delete_stuck: The operator's wish for images that take no data any more.
            clock: Tells the time.
        """
        self._questions = questions
        self._own_state = own_state
        self._service_token = service_token
        self._delete_stuck = delete_stuck
        self._clock = clock

    async def settled_image(self) -> Image | None:
        """The image once Glance has undone what it could; None where it cannot be asked (any more)."""
        began, pause = self._clock(), FIRST_PAUSE
        while True:
            # Not as it was told before: what has happened since is decided upon, a deletion too.
            reply, patience, image = await self._show(), REVIVAL, None
            if reply is not None and reply.status < _FIRST_SERVER_ERROR:
                image = Image("deleted") if reply.status == _NOT_FOUND else read_image(reply)
                patience = SETTLING if image is not None and self._is_unfinished(image) else 0
            if self._clock() + pause > began + patience:
                return image
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _show(self) -> Reply | None:
        """Glance's answer to a question for the image; None without one."""
        try:
            return await self._questions.show(service_token=self._service_token)
        except UNANSWERED as fault:
            log.warning("The state of the image could not be asked for: %s", fault.for_operator)
            return None

    async def describe(self, image: Image | None, sent: int, failure: Failure) -> str:
        """What is known of the image, and what to do about it."""
        if image is None:
            return "The state of the image could not be learnt: look at it before uploading again."
        if image.is_queued:
            return "The image is still queued: the same upload may be repeated."
        if image.status == "deleted":
            return "The image does not exist any more."
        if not self._is_unfinished(image):
            return _describe_stored(image, sent)
        return await self._describe_unfinished(image, failure)

    async def _describe_unfinished(self, image: Image, failure: Failure) -> str:
        if isinstance(failure, SendTimeout | ServerKeptWaiting):
            return (
                f"The image is still {image.status!r}: its worker lives, and sets it back to queued when it "
                "finds the upload broken off. If it does not, the image must be deleted and created again."
            )
        if may_go_on(failure):
            return (
                f"The image is still {image.status!r}: it may yet become active. If it does not, it is "
                "stuck, and must be deleted and created again."
            )
        return await self._describe_stuck(image)

    def _is_unfinished(self, image: Image) -> bool:
        """Whether the upload's data is coming to it, or was when its worker died.

        What is staged whole stays ``uploading`` until it is imported, and has its size by then; and another
        request's state is no sign of ours.
        """
        return image.status == self._own_state and not (image.status == "uploading" and image.size)

    async def _describe_stuck(self, image: Image) -> str:
        stuck = f"The image is stuck in {image.status!r} and takes no data any more"
        if not self._delete_stuck:
            return f"{stuck}: it must be deleted and created again."
        try:
            deleted = await self._questions.delete(service_token=self._service_token)
        except UNANSWERED as fault:
            log.warning("The stuck image could not be deleted: %s", fault.for_operator)
            deleted = False
        if deleted:
            log.warning("An image stuck in %r was deleted (glance.delete_stuck)", image.status)
            return f"The image was stuck in {image.status!r} and has been deleted: create it again."
        return f"{stuck}, and could not be deleted either: it must be deleted and created again."


def may_go_on(failure: Failure) -> bool:
    """Whether Glance may still be storing: it was only not waited for, by us or by a proxy before it."""
    return isinstance(failure, ResponseTimeout) or (
        isinstance(failure, Reply) and failure.status == _GATEWAY_TIMEOUT
    )


def _describe_stored(image: Image, sent: int) -> str:
    if image.is_under_way and not image.size:
        return f"The image is {image.status!r}: the data of another request is on its way to it."
    if image.is_under_way and image.size == sent:
        return f"All {image.size} bytes are staged: only the answer was lost, and they can be imported."
    if image.size == sent:
        return (
            f"The image is {image.status!r} with all {image.size} bytes: only the answer was lost. "
            "Compare its os_hash_value before using it."
        )
    return f"The image is {image.status!r} with {image.size} bytes, of {sent} that were sent."
