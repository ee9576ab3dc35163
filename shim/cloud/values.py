"""What is said to the shared server and heard from it, and what one process holds of the cloud's limits.

Values and arithmetic alone: who speaks, when, and over what, is for the other modules of this room.
"""

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shim.timing import UNLIMITED


class Verdict(enum.IntEnum):
    """Whether a change fits, and else which limit it meets; the numbers are those of ``turn.lua``."""

    FITS = 0
    TOTAL = 1
    UPLOADS = 2
    BYTES = 3


class OnLoss(enum.StrEnum):
    """What is done about new uploads while the shared server is away (``limits.cloud.on_loss``)."""

    LOCAL = "local"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class CloudLimits:
    """What all shims together let in, each ``UNLIMITED`` where there is no such limit.

    Attributes:
        uploads: Bodies under way (``limits.cloud.max_uploads``).
        uploads_of_project: Those of one project (``limits.cloud.max_uploads_per_project``).
        bytes_of_project: Bytes that they spool (``limits.cloud.max_spool_per_project``).
    """

    uploads: float = UNLIMITED
    uploads_of_project: float = UNLIMITED
    bytes_of_project: float = UNLIMITED


@dataclass(frozen=True, slots=True)
class Change:
    """So many uploads and bytes more, or less, for one project."""

    project: str
    uploads: int
    size: int

    def __neg__(self) -> "Change":
        return Change(self.project, -self.uploads, -self.size)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a member to the shared server.

    Attributes:
        number: Counts the member's messages. Each has to follow the one that the server saw last, so one that
            was given up and arrives late changes nothing.
        declared: All that the member holds, in place of what the server knew; None: go on from there.
        changes: What it asks for, and gives back, on top of that; judged one by one.
        published: Its list of live uploads, empty to leave the one that is there.
    """

    number: int
    declared: Sequence[Change] | None
    changes: Sequence[Change] = ()
    published: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a turn.

    Attributes:
        is_known: False where the server knows nothing of us (any more), and has done nothing: declare.
        members: Processes that hold leases, this one included.
        uploads: Bodies under way in the whole cloud.
        verdicts: One for each change.
    """

    is_known: bool
    members: int = 0
    uploads: int = 0
    verdicts: Sequence[Verdict] = ()


class Holdings:
    """What one process holds: uploads and bytes, by project."""

    def __init__(self) -> None:
        self._uploads: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Holdings {self.uploads} uploads of {len(self._uploads)} projects>"

    @property
    def uploads(self) -> int:
        """Uploads of all projects."""
        return self._uploads.total()

    def add(self, change: Change) -> None:
        """Make one change."""
        for counts, amount in ((self._uploads, change.uploads), (self._sizes, change.size)):
            counts[change.project] += amount
            # Projects come and go for ever; only those that hold something are remembered.
            if not counts[change.project]:
                del counts[change.project]

    def declared(self) -> list[Change]:
        """All of it, one entry a project."""
        projects = dict.fromkeys([*self._uploads, *self._sizes])
        return [Change(project, self._uploads[project], self._sizes[project]) for project in projects]
