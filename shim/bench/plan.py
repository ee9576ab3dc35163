"""What a run sends, in which order: cases, and rounds of them that take turns between the targets.

Pure: the same plan gives the same rounds, and every name that the run uses follows from its id.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from shim.bench.ordering import order

PREFIX = "glance-shim-bench"
"""How everything begins that a run makes."""

_RUN = re.compile(r"[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of upload.

    Attributes:
        size: Bytes.
        chunk: Bytes in a chunk; None: the length is declared, and nothing chunked.
    """

    size: int
    chunk: int | None


WARMING_UP = -1


@dataclass(frozen=True, slots=True)
class Round:
    """Uploads at once to one target, then the downloads of the same.

    Attributes:
        repetition: From 0 on; ``WARMING_UP``: before all of them.
        target: From 0 on.
    """

    case: Case
    repetition: int
    target: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, to each target alike.

    Attributes:
        run: Its id, as ``new_run`` makes them.
        sizes: Bytes, each with each of ``chunks``.
        chunks: As in ``Case``.
        count: Rounds of each case.
        concurrency: Uploads at once.
        slow: Clients beside these that send at ``slow_rate`` bytes a second for as long as the round takes.
        askers: Clients beside these that ask for something small, ten times a second.
        declare: Whether chunked uploads say their size in x-openstack-image-size.
        keep_going: Whether a failed round leaves the others to be done.
    """

    run: str
    sizes: tuple[int, ...]
    chunks: tuple[int | None, ...]
    count: int
    concurrency: int
    slow: int
    slow_rate: int
    askers: int
    declare: bool
    keep_going: bool

    def cases(self) -> list[Case]:
        """Every size with every framing, in the order in which they were given."""
        return [Case(size, chunk) for size in self.sizes for chunk in self.chunks]

    def rounds(self, targets: int) -> Iterator[Round]:
        """Targets change places within each repetition: what drifts falls on all of them alike."""
        for case in self.cases():
            for repetition in range(self.count):
                for target in order(range(targets), repetition):
                    yield Round(case, repetition, target)

    def volume(self, targets: int, *, downloads: bool) -> int:
        """Bytes that are sent, and got back where there are downloads; slow clients' not counted."""
        once = sum(case.size for case in self.cases()) * self.concurrency * self.count
        return once * targets * (2 if downloads else 1)


def new_run() -> str:
    """An id that no other run has: 48 random bits in hex."""
    return secrets.token_hex(6)


def is_run(text: str) -> bool:
    """Whether ``new_run`` may have made it; what else people type never reaches a search for leftovers."""
    return _RUN.fullmatch(text) is not None


def mark_of(run: str) -> str:
    """The tag of all that the run makes, and how its names begin."""
    return f"{PREFIX}-{run}"


def name_of(run: str, number: int) -> str:
    """The name of what the run makes as its ``number``-th."""
    return f"{mark_of(run)}-{number:05d}"


def is_name_of(run: str, name: object) -> bool:
    """Whether ``name_of`` gives it for any number."""
    return isinstance(name, str) and re.fullmatch(rf"{mark_of(run)}-[0-9]{{5,}}", name, re.ASCII) is not None
