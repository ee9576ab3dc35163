"""What is asked of a client's connection: how large a head may be, and how long the shim waits for what.

The defaults are those of ``limits.*`` and ``timeouts.*``.
"""

from dataclasses import dataclass, field

from shim.admission.limits import AnswerPace
from shim.timing import Seconds


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Limits of client connections; times in seconds (``limits.*``, ``timeouts.*``)."""

    max_head: int = 64 * 1024
    header_timeout: Seconds = 30.0
    keepalive_timeout: Seconds = 75.0
    linger_timeout: Seconds = 30.0
    answer: AnswerPace = field(default_factory=AnswerPace)
