"""Where the shim is in its life: serving, leaving (not ready, still serving), or draining.

Readiness follows at once, so that load balancers look elsewhere before requests are refused.
"""

import enum

from shim.errors import Draining


class Life(enum.Enum):
    """The states, in the order they come."""

    SERVING = "serving"
    LEAVING = "leaving"
    DRAINING = "draining"


class Drain:
    """The state of this process; it only moves forward."""

    def __init__(self) -> None:
        self.life = Life.SERVING

    def leave(self) -> None:
        """Stop being ready; requests are still taken (``timeouts.drain_delay``)."""
        if self.life is Life.SERVING:
            self.life = Life.LEAVING

    def begin(self) -> None:
        """Take no new request; those under way go on."""
        self.life = Life.DRAINING

    def check(self) -> None:
        """Raise Draining where no new request is taken."""
        if self.life is Life.DRAINING:
            raise Draining("The server is shutting down; another one may take the request.", retry_after=5)
