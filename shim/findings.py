"""What ``check`` has to say: one thing seen, how bad it is, and what to set.

Each room looks at its own part (``spool.inspect``, ``upstream.diagnosis``, ``doctor``); ``commands.check``
prints what they found.
"""

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad a finding is."""

    FINE = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen, for the operator.

    Attributes:
        level: How bad it is.
        text: What was found, and what it means.
        advice: What to set, with its value; nothing where the text says it, or nothing is to be done.
    """

    level: Level
    text: str
    advice: str = ""
