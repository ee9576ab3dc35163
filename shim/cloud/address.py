"""Where the shared server is: the URLs that an operator may write, as values that show no secret."""

import re
import urllib.parse
from dataclasses import dataclass, field, replace

_PORT = 6379
_DATABASE = re.compile(r"[0-9]{1,4}", re.ASCII)
_EXAMPLES = "redis://HOST:6379, rediss://HOST:6379 (TLS) or unix:///path.sock"


@dataclass(frozen=True, slots=True)
class SharedAddress:
    """A Valkey or Redis server.

    Attributes:
        path: Of its unix socket; empty: it is reached at ``host`` and ``port``.
        database: Its number, which ``?db=`` or the URL's path says.
        username: Empty: the server's default user.
        password: From the URL; empty where there is none, or it stands in a file.
    """

    host: str = ""
    port: int = _PORT
    path: str = ""
    database: int = 0
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The URL as it may be shown: without the password."""
        user = f"{urllib.parse.quote(self.username, safe='')}@" if self.username else ""
        if self.path:
            database = f"?db={self.database}" if self.database else ""
            return f"unix://{user}{urllib.parse.quote(self.path)}{database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        database = f"/{self.database}" if self.database else ""
        return f"{'rediss' if self.tls else 'redis'}://{user}{host}:{self.port}{database}"


def parse_shared(text: str) -> SharedAddress:
    """The server that a URL names.

    Raises:
        ValueError: It names none; the message is for the operator, and repeats nothing of a text that may
            hold a password.
    """
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"not a URL; write it as in {_EXAMPLES}") from None
    if url.scheme not in ("redis", "rediss", "unix") or url.fragment:
        raise ValueError(f"not the URL of a Valkey or Redis server; write it as in {_EXAMPLES}")
    address = _unix(url) if url.scheme == "unix" else _tcp(url, port)
    username, password = (urllib.parse.unquote(part or "") for part in (url.username, url.password))
    return replace(address, username=username, password=password)


def _unix(url: urllib.parse.SplitResult) -> SharedAddress:
    if url.hostname or not url.path.startswith("/"):
        raise ValueError("not the path of a socket; write it as in unix:///run/valkey/valkey.sock")
    return SharedAddress(path=urllib.parse.unquote(url.path), database=_database(_query_database(url.query)))


def _tcp(url: urllib.parse.SplitResult, port: int | None) -> SharedAddress:
    if not url.hostname:
        raise ValueError(f"names no host; write it as in {_EXAMPLES}")
    return SharedAddress(
        host=url.hostname,
        port=_PORT if port is None else port,
        database=_database(_query_database(url.query) or url.path.removeprefix("/")),
        tls=url.scheme == "rediss",
    )


def _query_database(query: str) -> str:
    if not query:
        return ""
    name, _, value = query.partition("=")
    # redis-py's URLs take a dozen more; here they are options, or not the operator's to choose.
    if name != "db":
        raise ValueError("?db=N is all that may stand behind the question mark")
    return value


def _database(text: str) -> int:
    if not text:
        return 0
    if not _DATABASE.fullmatch(text):
        raise ValueError("the database has to be a number, as in redis://HOST:6379/2")
    return int(text)
