"""Connections to one server that nobody uses just now, and whether keeping them is any use.

One that has been idle may be closed by its server at the very moment it is used; how often that happens is
learnt here.
"""

from shim.timing import Clock, Seconds
from shim.upstream.connection import Connection

# Apache keeps idle connections for 5 s, gunicorn for 2 s: older ones are hardly ever alive.
MOST_IDLE: Seconds = 4.0
MOST_CONNECTIONS = 32
# One that ends within this was closed with its answer, not for its age: that is how the server is set up.
CLOSED_SOON: Seconds = 1.0
# A server seen to close after each answer is believed for so long; it may be restarted otherwise.
CLOSING_BELIEVED: Seconds = 60.0


class IdleConnections:
    """Those of one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: list[tuple[Connection, Seconds]] = []
        self._closes_until: Seconds = 0.0

    def __len__(self) -> int:
        return len(self._idle)

    @property
    def are_kept(self) -> bool:
        """Whether the server is not known to close them."""
        return self._clock() >= self._closes_until

    @property
    def are_wanted(self) -> bool:
        """Whether there is a place for another one."""
        return len(self._idle) < MOST_CONNECTIONS and self.are_kept

    def take(self) -> Connection | None:
        """The one used last that is still alive; those that are not are closed."""
        while self._idle:
            connection, since = self._idle.pop()
            age = self._clock() - since
            if age <= MOST_IDLE and connection.is_alive():
                return connection
            connection.close()
            if age < CLOSED_SOON:
                self.learn_closing()
        return None

    def put(self, connection: Connection) -> None:
        """Keep one, or close it where it is over, or one too many."""
        is_wanted = len(self._idle) < MOST_CONNECTIONS
        if is_wanted and (connection.tells_its_end or connection.is_alive()):
            self._idle.append((connection, self._clock()))
        else:
            connection.close()

    def drop(self, connection: Connection) -> None:
        """One that is watched has ended."""
        since = next((since for one, since in self._idle if one is connection), None)
        if since is not None:
            self._idle.remove((connection, since))
            if self._clock() - since < CLOSED_SOON:
                self.learn_closing()
        connection.close()

    def learn_closing(self) -> None:
        """It closes without saying so (uWSGI's http-socket): stop keeping, and say "close" ourselves."""
        self._closes_until = self._clock() + CLOSING_BELIEVED

    def close(self) -> None:
        """Close all."""
        while self._idle:
            self._idle.pop()[0].close()
