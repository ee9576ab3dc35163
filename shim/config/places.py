"""Kinds of value that name something: addresses, networks, files, paths of requests, upstreams.

The grammar of addresses belongs to the rooms that open them (``upstream/address.py``,
``server/addresses.py``); here they become options, with what this version cannot do yet as a fault.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from shim.cloud.address import SharedAddress, parse_shared
from shim.config.kinds import Kind, Takes, shown
from shim.routes.route import HeaderPattern
from shim.server.addresses import InheritedSocket, ListenAddress, TcpAddress, UnixAddress, parse_listen
from shim.upstream.address import UpstreamAddress, parse_upstream
from shim.upstream.stats import StatsAddress, parse_stats

TrustedPeer: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network | Literal["unix"]

_MODE = r"0?[0-7]{3}"
_MOUNT = r"(/[A-Za-z0-9._~-]+)*"
# A token (RFC 9110 section 9.1); methods are case-sensitive, and none in use has a lower-case letter.
_METHOD = r"[A-Z][A-Z0-9_-]*"
# Without dots, so that the keys of its table are told apart in environment variables and messages.
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_ROUTE_PATH = r"/[^\s?#]*"
# A token (RFC 9110 section 5.1).
_FIELD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_TOKEN = r"[A-Za-z0-9._~+/=-]{16,}"  # noqa: S105 - the form of one
_TOKEN_TAKES = "letters, digits and -._~+/=, at least 16 of them"  # noqa: S105 - the same in words
# For the schema only; what is wrong with an address its own room says better than a pattern.
_LISTEN = r"unix:/.+|fd:[0-9]+|.+:[0-9]+"
_UPSTREAM = r"[A-Za-z+]+://.+|wsgi:.+"


def _written(
    takes: str,
    pattern: str,
    parse: Callable[[str], Any],
    *parsed: type,
    write: Callable[[Any], str] = str,
    is_secret: bool = False,
) -> Kind:
    """A kind that is written as text and nothing else; ``parse`` says what is wrong with a text.

    What may hold a secret is in no message, not even where it is no text at all.
    """

    def parse_text(value: object) -> Any:
        named = "" if is_secret else f"{shown(value)}: "
        if not isinstance(value, str):
            raise ValueError(f"{named}write text, in quotes")  # noqa: TRY004 - pydantic's border
        # Control characters, and bytes that were no UTF-8, would go on into logs and headers.
        if not value.isprintable():
            raise ValueError(f"{named}has characters that cannot be printed")
        return parse(value)

    return Kind(takes, parse_text, write, {"type": "string", "pattern": f"^({pattern})$"}, parsed)


def _pattern(takes: str, pattern: str, advice: str) -> Kind:
    """Text that is kept as it is, where it has the form of ``pattern``."""
    form = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"{text!r}: {advice}")
        return text

    return _written(takes, pattern, parse)


# -- where to listen, where to forward ------------------------------------------------------------


def _in_list(value: object) -> object:
    """A single address, as the list that it stands for; an array in text has come as a list already."""
    return (value,) if isinstance(value, str | TcpAddress | UnixAddress | InheritedSocket) else value


def _out_of_list(addresses: tuple[ListenAddress, ...]) -> str | list[str]:
    written = [str(address) for address in addresses]
    return written[0] if len(written) == 1 else written


def _not_empty(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


# Pydantic's own min_length counts what is left after faults, and would call a list of faults empty.
_AT_LEAST_ONE = (AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1}))

Listen: TypeAlias = Annotated[
    ListenAddress, _written("address", _LISTEN, parse_listen, TcpAddress, UnixAddress, InheritedSocket)
]
ListenList: TypeAlias = Annotated[tuple[Listen, ...], *_AT_LEAST_ONE]
ListenOneOrMore: TypeAlias = Annotated[
    tuple[Listen, ...],
    BeforeValidator(_in_list, json_schema_input_type=Listen | tuple[Listen, ...]),
    PlainSerializer(_out_of_list, when_used="json"),
    Takes("address, or [address, ...]"),
]
"""One address, or a list of them; an empty list is none."""
UpstreamUrl: TypeAlias = Annotated[
    UpstreamAddress, _written("upstream URL", _UPSTREAM, parse_upstream, UpstreamAddress)
]
Stats: TypeAlias = Annotated[
    StatsAddress, _written("address", r"/.+|https?(\+unix)?://.+|.+:[0-9]+", parse_stats, StatsAddress)
]
UpstreamUrls: TypeAlias = Annotated[tuple[UpstreamUrl, ...], *_AT_LEAST_ONE]


# -- who is believed, files -----------------------------------------------------------------------


def _parse_peer(text: str) -> TrustedPeer:
    if text == "unix":
        return "unix"
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    # Host bits set are a slip either way, 10.0.0.1/8 for /32 or for 10.0.0.0: ask, do not guess.
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{text!r}: not a network; write it as in "10.0.0.0/8", or "unix"') from None
    raise ValueError(f"{text!r}: an address inside of a network; for the network write {str(network)!r}")


def _parse_mode(text: str) -> int:
    if not re.fullmatch(_MODE, text, re.ASCII):
        raise ValueError(f'{text!r}: not a file mode; write it in octal, as in "0660"')
    return int(text, base=8)


def _format_mode(mode: int) -> str:
    return f"{mode:04o}"


def _parse_directory(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError(f"{text!r}: not an absolute path; start it with /")
    return path


def _parse_http_url(text: str) -> str:
    if not _is_web_address(text):
        raise ValueError(
            f'{shown(text)}: not a web address; write it as in "https://keystone.example:5000/v3"'
        )
    return text


def _is_web_address(text: str) -> bool:
    try:
        url = urllib.parse.urlsplit(text)
        # Only asking for the port tells that it is no number, or above 65535.
        is_port_fine = url.port != 0
    except ValueError:
        return False
    is_plain = not url.query and not url.fragment and "@" not in url.netloc
    return url.scheme in ("http", "https") and bool(url.hostname) and is_port_fine and is_plain


def _format_shared(address: SharedAddress) -> str:
    return str(SecretStr(address.password)) if address.password else str(address)


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _parse_token(text: str) -> SecretStr:
    # It is sent in a header field (RFC 6750 section 2.1); the text itself is in no message.
    if not re.fullmatch(_TOKEN, text, re.ASCII):
        raise ValueError(f"not a token; use {_TOKEN_TAKES}")
    return SecretStr(text)


Trusted: TypeAlias = Annotated[
    TrustedPeer,
    _written('network or "unix"', ".+", _parse_peer, ipaddress.IPv4Network, ipaddress.IPv6Network),
]
# Text only: the TOML number 660 is not the mode 0660, and nobody would notice.
FileMode: TypeAlias = Annotated[int, _written("file mode, in octal", _MODE, _parse_mode, write=_format_mode)]
HttpUrl: TypeAlias = Annotated[str, _written("URL", "https?://.+", _parse_http_url)]
Text: TypeAlias = Annotated[str, _written("text", ".+", _parse_text)]
# Printed as this and nothing else, whatever it is.
Secret: TypeAlias = Annotated[
    SecretStr,
    _written("text", ".+", lambda text: SecretStr(_parse_text(text)), SecretStr, is_secret=True),
]
# Where it holds a password all of it is hidden: without that it would lead nowhere.
Shared: TypeAlias = Annotated[
    SharedAddress,
    _written("URL", "(rediss?|unix)://.+", parse_shared, SharedAddress, write=_format_shared, is_secret=True),
]
Token: TypeAlias = Annotated[
    SecretStr, _written(_TOKEN_TAKES, _TOKEN, _parse_token, SecretStr, is_secret=True)
]
Directory: TypeAlias = Annotated[Path, _written("absolute path", "/.*", _parse_directory, Path)]


# -- requests and upstreams -----------------------------------------------------------------------

Name: TypeAlias = Annotated[
    str, _pattern("name", _NAME, "not a name; use letters, digits, - and _ (not at its ends)")
]
Mount: TypeAlias = Annotated[
    str,
    _pattern("path", _MOUNT, 'a mount starts with / and does not end with one, as in "/image"; none is ""'),
]
Method: TypeAlias = Annotated[
    str, _pattern("method", _METHOD, 'not a method; write it in capitals, as in "PUT"')
]
RoutePath: TypeAlias = Annotated[
    str,
    _pattern("path", _ROUTE_PATH, 'not a path; start it with /, as in "/v2/images/*/file", with no query'),
]


def _parse_headers(value: object) -> tuple[HeaderPattern, ...]:
    if not isinstance(value, dict):
        raise ValueError(f'{value!r}: write a table, as in {{ user-agent = "*curl*" }}')  # noqa: TRY004 - border
    for name, pattern in value.items():
        if not re.fullmatch(_FIELD, name, re.ASCII):
            raise ValueError(f"{name!r}: not the name of a header field")
        if not isinstance(pattern, str) or not pattern.isprintable():
            raise ValueError(f"{name} = {pattern!r}: write a pattern as text, in which * is anything")
    return tuple(HeaderPattern(name.lower(), pattern) for name, pattern in value.items())


def _format_headers(patterns: tuple[HeaderPattern, ...]) -> dict[str, str]:
    return {pattern.name: pattern.value for pattern in patterns}


HeaderPatterns: TypeAlias = Annotated[
    tuple[HeaderPattern, ...],
    Kind(
        "{ name = pattern, ... }",
        _parse_headers,
        _format_headers,
        {"type": "object", "additionalProperties": {"type": "string"}},
        (tuple,),
    ),
]
"""Header fields by name, each with a pattern for its value."""
