"""The script that the shared server runs for each turn, what it is given, and how its answer is read.

Only bytes and values: what carries them is ``server.py``'s.
"""

import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from shim.cloud.values import Change, CloudLimits, Outcome, Turn, Verdict
from shim.timing import UNLIMITED, Seconds

Argument: TypeAlias = bytes | str | int

# unpack() in Lua has room for some thousand values: more changes than that wait for the next turn.
MOST_CHANGES = 1000
# A field of a row. Longer names are told by their digest: owners come from Glance, and are 32 digits there.
_LONGEST_PROJECT = 64
KEYS = 3
_UNKNOWN, _KNOWN = 0, 1
_HEAD = 3
# What Lua counts exactly; a body of 8 PiB is none.
_LARGEST = 1 << 53

TURN_SCRIPT = (importlib.resources.files("shim.cloud") / "turn.lua").read_text("utf-8")
# What EVALSHA asks for; SHA-1 is the server's choice, and guards nothing here.
TURN_DIGEST = hashlib.sha1(TURN_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one member of one cloud.

    All keys of a cloud have its name in braces, so that a cluster keeps them on one server, as the script
    needs them.
    """

    cloud: str
    member: str

    @property
    def members(self) -> str:
        """The set of all members' names."""
        return f"{self._prefix}members"

    @property
    def rows(self) -> str:
        """What the key of each row begins with."""
        return f"{self._prefix}row:"

    @property
    def row(self) -> str:
        """This member's row."""
        return self.rows + self.member

    @property
    def published(self) -> str:
        """This member's list of uploads."""
        return self.published_by(self.member)

    def published_by(self, member: str) -> str:
        """Another member's list."""
        return f"{self._prefix}uploads:{member}"

    @property
    def _prefix(self) -> str:
        return f"glance-shim:{{{self.cloud}}}:"


def arguments(turn: Turn, keys: Keys, limits: CloudLimits, life: Seconds) -> list[Argument]:
    """What the script gets: its ``KEYS`` keys, and the rest as its head says.

    Args:
        turn: What is to be said.
        keys: Whose turn it is.
        limits: What holds for this member, now.
        life: Seconds that its row lives without another turn.
    """
    declared = () if turn.declared is None else turn.declared
    return [
        *(keys.members, keys.row, keys.published),
        *(keys.rows, keys.member, turn.number, round(life * 1000)),
        *map(_limit, (limits.uploads, limits.uploads_of_project, limits.bytes_of_project)),
        turn.published,
        -1 if turn.declared is None else len(declared),
        *(part for change in (*declared, *turn.changes) for part in _parts(change)),
    ]


def read_outcome(reply: Any, changes: Sequence[Change]) -> Outcome:
    """The script's answer to a turn with so many changes.

    Raises:
        ValueError: It is none: something else answers at the server's address.
    """
    if reply == [_UNKNOWN]:
        return Outcome(is_known=False)
    is_answer = isinstance(reply, list) and all(isinstance(part, int) for part in reply)
    if not is_answer or len(reply) != _HEAD + len(changes) or reply[0] != _KNOWN:
        raise ValueError("the script's answer is malformed")
    return Outcome(
        is_known=True, members=reply[1], uploads=reply[2], verdicts=tuple(map(Verdict, reply[_HEAD:]))
    )


def _limit(limit: float) -> str:
    return "" if limit == UNLIMITED else str(min(int(limit), _LARGEST))


def _parts(change: Change) -> tuple[Argument, ...]:
    size = max(-_LARGEST, min(change.size, _LARGEST))
    return field_name(change.project), change.uploads, size


def field_name(project: str) -> str:
    """How a project is called in a row."""
    if len(project) <= _LONGEST_PROJECT and project.isascii():
        return project
    return hashlib.blake2b(project.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
