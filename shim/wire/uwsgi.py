"""The uwsgi protocol: a request's variables as one packet, as uWSGI's own ``proto/uwsgi.c`` reads it.

Variables have power over the worker (UWSGI_POSTFILE, UWSGI_SETENV ...), so their names come from a
fixed list and from header names that cannot collide with it; never from a client.
"""

import urllib.parse
from typing import NamedTuple

from shim.errors import HeadTooLarge
from shim.wire.headers import USUAL_NAMES

MAX_VARIABLES_SIZE = 65535
# uWSGI drops a request with more, without an answer (measured; its max-vars may allow more, but never less).
MAX_VARIABLES = 128
PING = b"\x64\x00\x00\x00"
PONG_MODIFIER = 100

# HTTP_CONTENT_LENGTH and _TYPE would shadow the real variables (FACTS: "must not appear").
_OWN_VARIABLE = {b"content-type": b"CONTENT_TYPE"}
_JOINED_BY = {b"cookie": b"; "}
_NOT_AS_THEY_ARE = frozenset({b"content-length", b"x-forwarded-prefix"})

# Nearly all names and values are short: to look their sizes up takes half the time that writing them does.
_SIZES = [size.to_bytes(2, "little") for size in range(256)]


class UwsgiRequest(NamedTuple):
    """What becomes a packet; a tuple, because one is made for every request.

    Attributes:
        target: Raw request target, as REQUEST_URI.
        mount: SCRIPT_NAME; the part of the path below it is PATH_INFO.
        length: Bytes of the body, or None where there is none (then no CONTENT_LENGTH).
        remote: The client's address, or None on a unix socket.
        server: Name and port the client connected to.
        post_file: A file that holds the body; None: it follows the packet.
    """

    method: str
    target: bytes
    http_version: str
    headers: list[tuple[bytes, bytes]]
    mount: str
    length: int | None
    scheme: str
    remote: str | None
    server: tuple[str, int | None]
    post_file: bytes | None = None


def request_variables(request: UwsgiRequest) -> dict[bytes, bytes]:
    """The variables in the order they are sent; CGI names of RFC 3875 and ``HTTP_*``."""
    raw_path, _, query = request.target.partition(b"?")
    path = urllib.parse.unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
    mount, (server_name, server_port) = request.mount.encode(), request.server
    script_name, path_info = split_mount(path, mount)
    variables = {
        b"REQUEST_METHOD": request.method.encode("ascii"),
        b"REQUEST_URI": request.target,
        b"SCRIPT_NAME": script_name,
        b"PATH_INFO": path_info,
        b"QUERY_STRING": query,
        b"SERVER_PROTOCOL": f"HTTP/{request.http_version}".encode("ascii"),
        b"REQUEST_SCHEME": request.scheme.encode("ascii"),
        b"SERVER_NAME": server_name.encode("ascii", "replace"),
        b"SERVER_PORT": b"%d" % (server_port or 0),
        b"REMOTE_ADDR": (request.remote or "127.0.0.1").encode("ascii", "replace"),
        b"CONTENT_TYPE": b"",
    }
    if request.length is not None:
        variables[b"CONTENT_LENGTH"] = b"%d" % request.length
    if request.post_file is not None:
        variables[b"UWSGI_POSTFILE"] = request.post_file
    if request.scheme == "https":
        variables[b"HTTPS"] = b"on"
    variables.update(_header_variables(request.headers, mount))
    return variables


def split_mount(path: bytes, mount: bytes) -> tuple[bytes, bytes]:
    """Divide a decoded path into SCRIPT_NAME and PATH_INFO; outside the mount SCRIPT_NAME is empty."""
    if mount and (path == mount or path.startswith(mount + b"/")):
        return mount, path[len(mount) :]
    return b"", path


def encode_packet(variables: dict[bytes, bytes]) -> bytes:
    """Header and variables: modifier1 0, u16le size, modifier2 0, then u16le-sized keys and values.

    Raises:
        HeadTooLarge: More than 65,535 bytes of variables: the packet cannot say so. Or more than 128.
    """
    if len(variables) > MAX_VARIABLES:
        raise HeadTooLarge(
            f"The request's head makes {len(variables)} uwsgi variables; uWSGI takes {MAX_VARIABLES}."
        )
    parts: list[bytes] = []
    for name, value in variables.items():
        if (name_size := len(name)) < len(_SIZES) and (value_size := len(value)) < len(_SIZES):
            parts += (_SIZES[name_size], name, _SIZES[value_size], value)
            continue
        if len(name) > MAX_VARIABLES_SIZE or len(value) > MAX_VARIABLES_SIZE:
            raise _too_large(len(value))
        parts += (len(name).to_bytes(2, "little"), name, len(value).to_bytes(2, "little"), value)
    block = b"".join(parts)
    if len(block) > MAX_VARIABLES_SIZE:
        raise _too_large(len(block))
    return b"\x00" + len(block).to_bytes(2, "little") + b"\x00" + block


def _header_variables(headers: list[tuple[bytes, bytes]], mount: bytes) -> dict[bytes, bytes]:
    variables: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _NOT_AS_THEY_ARE:
            # oslo.middleware sets the prefix before SCRIPT_NAME, which has the mount in it already.
            value = b"" if name == b"content-length" else value.removesuffix(mount)  # noqa: PLW2901 - as WSGI has to see it
            if not value:
                continue
        variable = _USUAL_VARIABLES.get(name) or _variable(name)
        if variable in variables:
            value = variables[variable] + _JOINED_BY.get(name, b", ") + value  # noqa: PLW2901 - all that it has
        variables[variable] = value
    return variables


def _variable(name: bytes) -> bytes:
    return _OWN_VARIABLE.get(name) or b"HTTP_" + name.upper().replace(b"-", b"_")


_USUAL_VARIABLES = {name: _variable(name) for name in USUAL_NAMES}


def _too_large(size: int) -> HeadTooLarge:
    return HeadTooLarge(
        f"The request's head takes {size} bytes as uwsgi variables; the protocol takes {MAX_VARIABLES_SIZE}."
    )
