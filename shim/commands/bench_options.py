"""What was written on ``bench``'s command line, as values; what means nothing is told, and nothing is begun.

The token goes from here into the clients' headers and nowhere else: no report and no message has it.
"""

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.bench.payload import SMALLEST
from shim.bench.plan import Plan, is_run, new_run
from shim.bench.target import Target, parse_target
from shim.commands.reading import Unusable, Value, read_value
from shim.config.units import parse_rate, parse_size

DEFAULT_SIZES = ("64MiB",)
DEFAULT_CHUNKS = ("1MiB",)
"""What the glance command sends."""
LENGTH = "length"
LARGEST_CHUNK = 64 * 1024**2
_LONGEST_TOKEN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """The command line, as it was written; see ``cli.measuring`` for what each of them is."""

    url: str
    against: str | None = None
    token: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    size: Sequence[str] = ()
    chunk: Sequence[str] = ()
    count: int = 5
    concurrency: int = 1
    slow: int = 0
    slow_rate: str = "1MiB/s"
    askers: int = 1
    declare: bool = False
    plain: str | None = None
    cleanup: str | None = None
    json_file: Path | None = None
    page_file: Path | None = None
    keep_going: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """The same as values: what is done, to whom, and with what in every request."""

    plan: Plan
    targets: Sequence[Target]
    headers: Mapping[str, str]
    trust: ssl.SSLContext | None
    plain: str | None


def read_order(request: Request, environment: Mapping[str, str]) -> Order:
    """The values of what was written.

    Args:
        request: The command line.
        environment: For OS_TOKEN and OS_CACERT.

    Raises:
        Unusable: Something of it means nothing.
    """
    _read_combination(request)
    urls = [request.url] if request.against is None else [request.url, request.against]
    plan = Plan(
        run=new_run(),
        sizes=tuple(_each("--size", _size, request.size or DEFAULT_SIZES)),
        chunks=tuple(_each("--chunk", _chunk, request.chunk or DEFAULT_CHUNKS)),
        count=request.count,
        concurrency=request.concurrency,
        slow=request.slow,
        slow_rate=_positive(read_value("--slow-rate", parse_rate, request.slow_rate)),
        askers=request.askers,
        declare=request.declare,
        keep_going=request.keep_going,
    )
    return Order(
        plan=plan,
        targets=[read_value("", parse_target, url) for url in urls],
        headers=_headers(request, environment),
        trust=_trust(request.ca_file or environment.get("OS_CACERT")),
        plain=request.plain,
    )


def _read_combination(request: Request) -> None:
    if request.cleanup is not None:
        if not is_run(request.cleanup):
            raise Unusable(f"--cleanup {request.cleanup!r}: a run's id has twelve digits of 0-9 and a-f")
        if request.plain is not None or request.against is not None:
            raise Unusable("--cleanup goes with one URL of a Glance, and without --plain")
    if request.plain is not None:
        if (
            not request.plain.startswith("/")
            or not request.plain.isascii()
            or not request.plain.isprintable()
        ):
            raise Unusable(f"--plain {request.plain!r}: a path begins with a slash")
        if "{name}" not in request.plain and request.slow + request.concurrency > 1:
            raise Unusable("--plain: several bodies at once need names, as in --plain '/folder/{name}'")
    if request.token is not None and request.token_file is not None:
        raise Unusable("give one of --token and --token-file")


def _headers(request: Request, environment: Mapping[str, str]) -> dict[str, str]:
    """The token's; with --plain only one that was given for it, for the service is not OpenStack's."""
    token = request.token
    if request.token_file is not None:
        try:
            with request.token_file.open("rb") as file:
                token = file.read(_LONGEST_TOKEN).decode("ascii", "replace").strip()
        except OSError as error:
            raise Unusable(f"--token-file {request.token_file}: {error.strerror}") from None
    elif token is None and request.plain is None:
        token = environment.get("OS_TOKEN") or environment.get("OS_AUTH_TOKEN")
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Unusable("the token has characters that no token has")
    return {"X-Auth-Token": token}


def _trust(ca_file: Path | str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unusable(f"--cacert {ca_file}: {error.strerror or error}") from None


def _each(option: str, parse: Callable[[str], Value], texts: Iterable[str]) -> list[Value]:
    # Twice the same would be measured twice under one name.
    return list(dict.fromkeys(read_value(option, parse, text) for text in texts))


def _size(text: str) -> int:
    found = parse_size(text)
    if found < SMALLEST:
        raise ValueError(f"{text}: an image has at least {SMALLEST} bytes here, for it has to be known again")
    return found


def _chunk(text: str) -> int | None:
    if text == LENGTH:
        return None
    found = parse_size(text)
    if not 0 < found <= LARGEST_CHUNK:
        raise ValueError(f"{text}: a chunk has 1B to 64MiB; or write {LENGTH!r} for no chunks at all")
    return found


def _positive(rate: int) -> int:
    if not rate:
        raise Unusable("--slow-rate: must be more than 0")
    return rate
