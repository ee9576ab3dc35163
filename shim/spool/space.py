"""How much a file system has, and how much of one an operator means.

Values only: ``disk`` asks the file system, and what an amount is measured against is up to its owner.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Space:
    """Size and free bytes (for unprivileged users) of the spool's file system, and what is to stay free."""

    total: int
    free: int
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of bytes, or a share (0 to 1) of the file system."""

    size: float = 0
    share: float | None = None

    def of(self, total: int) -> float:
        """The bytes it means on a file system of ``total`` bytes; of a share, whole ones."""
        return self.size if self.share is None else int(self.share * total)


NOTHING = Amount()
