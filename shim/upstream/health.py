"""What a probe finds of a server, as a value: what came of the question, and in words why.

Made by ``probe``, judged by ``Standing``, and shown to operators by ``check`` and the status page.
"""

import enum
from dataclasses import dataclass


class Sign(enum.Enum):
    """What came of a probe."""

    ANSWERS = "it answers the question as it should"
    FAILS = "it answers, but with a server's error"
    IS_THERE = "it takes connections, and nothing was asked"
    BUSY = "it takes connections, and lets the question wait"
    DOWN = "it takes no connection, breaks it off, or speaks another protocol"
    UNTRIED = "we could not even try, which says nothing of it"


_UP = frozenset({Sign.ANSWERS, Sign.IS_THERE, Sign.BUSY})


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found.

    Attributes:
        sign: What came of it.
        reason: In words, for the operator.
    """

    sign: Sign
    reason: str

    @property
    def up(self) -> bool:
        """Whether requests should go there."""
        return self.sign in _UP

    @property
    def answered(self) -> bool:
        """Whether it speaks the protocol that it was asked in; a busy server does not show it."""
        return self.sign in (Sign.ANSWERS, Sign.FAILS)
