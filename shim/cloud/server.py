"""The shared server as redis-py speaks to it; the only module that knows that library.

Its errors become ours here. Nothing is tried again: what is not known to have arrived is declared anew by
whoever asked, and told apart by the number of its turn.
"""

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shim.cloud.address import SharedAddress
from shim.cloud.published import MOST_BYTES
from shim.cloud.script import KEYS, TURN_DIGEST, TURN_SCRIPT, Keys, arguments, read_outcome
from shim.cloud.values import CloudLimits, Outcome, Turn
from shim.timing import Seconds

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Lists that are read for one page: more processes than a cloud has shims, and an end to it.
MOST_LISTS = 512


class CloudAway(Exception):
    """The shared server cannot be asked; the text says why, for the operator, and holds no secret."""


def is_available() -> bool:
    """Whether redis-py (the extra ``shared``) is installed."""
    return importlib.util.find_spec("redis") is not None


@dataclass(frozen=True, slots=True)
class Access:
    """Where the shared server is, and how it is spoken to.

    Attributes:
        timeout: Seconds that one message may take, its answer and a new connection included.
        password_file: Read for each new connection, so that a new password needs no restart.
        ca_file: Who signed its certificate; None: whom the system trusts.
    """

    address: SharedAddress
    timeout: Seconds = 0.5
    password_file: Path | None = None
    ca_file: Path | None = None


class SharedServer(Protocol):
    """What a member asks of the shared server; each call ends within the time of ``Access``.

    Raises:
        CloudAway: It could not be asked, or did not make sense; whether it heard us is not known.
    """

    async def take_turn(self, turn: Turn) -> Outcome:
        """One turn of ours."""
        ...

    async def leave(self) -> None:
        """Give back all that we hold, and be no member any more."""
        ...

    async def published(self) -> list[bytes]:
        """What all members have published, ours included."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class ValkeyServer:
    """A ``SharedServer`` over redis-py: one connection, made when it is needed."""

    def __init__(self, access: Access, keys: Keys, limits: CloudLimits, life: Seconds) -> None:
        """Take where it is, who we are, what is let in, and how long a row lives without a turn."""
        self._access = access
        self._keys = keys
        self._limits = limits
        self._life = life
        # Here, for loading the library takes longer than an answer may.
        self._client = _client(access)

    def __repr__(self) -> str:
        return f"<ValkeyServer {self._access.address} as {self._keys.member}>"

    async def take_turn(self, turn: Turn) -> Outcome:
        """See ``SharedServer``."""
        values = arguments(turn, self._keys, self._limits, self._life)
        async with self._deadline():
            try:
                reply = await self._client.evalsha(TURN_DIGEST, KEYS, *values)
            except _errors().NoScriptError:
                # Nothing was done: a server that is new, or was told to forget its scripts.
                reply = await self._client.eval(TURN_SCRIPT, KEYS, *values)
        try:
            return read_outcome(reply, turn.changes)
        except ValueError as error:
            raise CloudAway(str(error)) from error

    async def leave(self) -> None:
        """See ``SharedServer``."""
        async with self._deadline():
            await self._client.delete(self._keys.row, self._keys.published)
            await self._client.srem(self._keys.members, self._keys.member)

    async def published(self) -> list[bytes]:
        """See ``SharedServer``."""
        async with self._deadline():
            # Typed for all that redis-py can be told to give; with a count, and undecoded, it is this.
            names: Any = await self._client.srandmember(self._keys.members, MOST_LISTS)
            keys = [self._keys.published_by(name.decode("utf-8", "replace")) for name in names]
            # A byte more than a list may have shows that it is none, and no value fills our memory.
            pieces = self._client.pipeline(transaction=False)
            for key in keys:
                pieces.getrange(key, 0, MOST_BYTES)
            found: list[bytes] = await pieces.execute() if keys else []
            return found

    async def close(self) -> None:
        """See ``SharedServer``."""
        with contextlib.suppress(CloudAway):
            async with self._deadline():
                await self._client.aclose()

    # -- the border -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            with _foreign_errors():
                async with asyncio.timeout(self._access.timeout):
                    yield
        except TimeoutError as error:
            raise CloudAway(f"no answer within {self._access.timeout:g} s") from error


def _client(access: Access) -> "Redis":
    from redis.asyncio import Redis  # noqa: PLC0415 - an extra: only where it is asked for
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    address = access.address
    tls: dict[str, Any] = {}
    if address.tls:
        tls = {"ssl": True, "ssl_ca_certs": None if access.ca_file is None else str(access.ca_file)}
    return Redis(
        host=address.host,
        port=address.port,
        unix_socket_path=address.path or None,
        db=address.database,
        credential_provider=_credentials(access),
        socket_timeout=access.timeout,
        socket_connect_timeout=access.timeout,
        retry=Retry(NoBackoff(), 0),
        client_name="glance-shim",
        # Version 2 is what every server speaks; 3 has nothing that is used here.
        protocol=2,
        **tls,
    )


def _credentials(access: Access) -> Any:
    """What redis-py asks for each new connection; None where there is nothing to log in with."""
    from redis.credentials import CredentialProvider  # noqa: PLC0415 - an extra: only where it is asked for

    address = access.address

    class Credentials(CredentialProvider):
        def get_credentials(self) -> tuple[str] | tuple[str, str]:
            password = address.password
            if access.password_file is not None:
                password = _read_password(access.password_file)
            return (address.username, password) if address.username else (password,)

        async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
            return self.get_credentials()

    has_some = address.username or address.password or access.password_file is not None
    return Credentials() if has_some else None


def _read_password(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        # Theirs, for they close only a connection that failed with an error of theirs.
        raise _errors().AuthenticationError(f"limits.cloud.password_file {path}: {reason}") from error


@contextlib.contextmanager
def _foreign_errors() -> Iterator[None]:
    try:
        yield
    except _errors().RedisError as error:
        # Its messages name addresses and commands, and never what we logged in with.
        raise CloudAway(str(error) or type(error).__name__) from error
    except TimeoutError:
        raise
    except (OSError, ValueError) as error:
        # ValueError: something else answers at the address, and redis-py cannot make a number of it.
        raise CloudAway(f"{type(error).__name__}: {error}") from error


def _errors() -> Any:
    from redis import exceptions  # noqa: PLC0415 - an extra: only where it is asked for

    return exceptions
