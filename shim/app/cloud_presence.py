"""The shim among all shims of its cloud: present for them, and able to tell of all uploads there are.

Each worker publishes its own list with every declaration, so that what is told of others is some seconds old.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from shim.app.colleagues import SoleWorker
from shim.app.looking import live_uploads
from shim.cloud.joining import CloudOptions, join_cloud, shim_name
from shim.cloud.member import Member
from shim.cloud.published import decode_uploads, encode_uploads
from shim.ledger.bell import Bell
from shim.observe.journal import Journal

# Of all shims together: a page for eyes and scripts, not an archive.
MOST = 10_000


def member_of(options: CloudOptions | None, journal: Journal) -> Member | None:
    """This worker as a member of its cloud, which publishes what it has under way; None without a cloud."""
    if options is None:
        return None
    return join_cloud(options, lambda: encode_uploads(shim_name(), live_uploads(journal)))


class CloudPresence:
    """This worker's shim, and the cloud around it where there is one."""

    def __init__(
        self, colleagues: SoleWorker, member: Member | None = None, *, bell: Bell | None = None
    ) -> None:
        """Take the other workers, our part in the cloud, and what wakes us when a slot is ours."""
        self._colleagues = colleagues
        self._member = member
        self._bell = bell

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """Be there for the other workers, and count among all shims, during the block."""
        cloud = contextlib.nullcontext() if self._member is None else self._member.present()
        bell = contextlib.nullcontext() if self._bell is None else self._bell.present()
        async with self._colleagues.present(), cloud, bell:
            yield

    async def uploads(self) -> Sequence[Mapping[str, Any]]:
        """All uploads with the shim that has them, oldest first; without a cloud this shim is all there is.

        Raises:
            CloudAway: The other shims' cannot be had.
        """
        if self._member is None:
            whole = await self._colleagues.whole()
            return [{"shim": shim_name(), **upload} for upload in whole.uploads]
        lists = await self._member.published()
        uploads = [upload for data in lists for upload in decode_uploads(data)]
        return sorted(uploads, key=lambda upload: -upload["age"])[:MOST]
