"""What is told of a request's head beyond its record; kept only where somebody asks for it.

Few fields, chosen: whatever is kept of a head ends in a log or on another machine, and tokens stand in heads.
"""

from typing import NamedTuple


class RequestHead(NamedTuple):
    """The parts of a head that an access log in Apache's form and spans show.

    Attributes:
        target: As it came, with its query.
        server: The address and port that the client connected to; None where the server does not say.
        referer: As it came, ``""`` where there was none; ``user_agent`` likewise.
    """

    target: bytes
    http_version: str
    scheme: str
    server: tuple[str, int | None] | None
    referer: bytes
    user_agent: bytes
