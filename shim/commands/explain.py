"""Why a request takes the route that it takes, and what holds for it there: ``glance-shim config --explain``.

The table is the one that the proxy goes by, and so are the conditions; here they are only put into words.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from shim.app.options import ProxyOptions
from shim.app.routing import route_table, service_of
from shim.commands import ENDED_AS_ASKED, WRONG_USAGE, load_or_report
from shim.config import toml
from shim.config.assemble import proxy_options
from shim.config.behind import RouteOptions, UpstreamOptions
from shim.config.bounds import LimitOptions, SpoolOptions, TimeoutOptions
from shim.config.faults import Path, dotted
from shim.config.load import Loaded
from shim.config.units import format_size, parse_size
from shim.errors import NoUpstream
from shim.routes.route import Miss, Route

# What a route may have of its own, and the table of what holds elsewhere.
_OWN: dict[str, tuple[str, type[LimitOptions | SpoolOptions | TimeoutOptions]]] = {
    **dict.fromkeys(("min_rate", "min_rate_grace"), ("limits", LimitOptions)),
    "max_body": ("spool", SpoolOptions),
    **dict.fromkeys(
        (
            "body_idle",
            "body_total",
            "cut_through_stall",
            "queue",
            "queue_body",
            "connect",
            "connect_retry",
            "send",
            "response",
            "response_idle",
        ),
        ("timeouts", TimeoutOptions),
    ),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked about.

    Attributes:
        headers: Names in lower case.
        size: Bytes that it declares; None: it says nothing.
    """

    method: str
    path: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    size: int | None = 0

    @classmethod
    def parse(cls, method: str, path: str, headers: Sequence[str], size: str | None) -> "Request":
        """From the command line; without a size it is a request without a body, ``unknown`` is a pipe's.

        Raises:
            ValueError: Something is not as it should be; the text says what.
        """
        if not path.startswith("/"):
            raise ValueError(f"{path!r}: a path starts with /")
        fields = []
        for header in headers:
            name, colon, value = header.partition(":")
            if not colon or not name.strip():
                raise ValueError(f"{header!r}: write a header as 'Name: value'")
            fields.append((name.strip().lower().encode(), value.strip().encode()))
        known = 0 if size is None else None if size == "unknown" else parse_size(size)
        return cls(method, path.partition("?")[0].encode(), tuple(fields), known)


def run(
    config: FilePath | None,
    upstream: str | None,
    settings: Sequence[str],
    *,
    request: Sequence[str],
    headers: Sequence[str],
    size: str | None,
) -> int:
    """Print which route a request takes and why; the exit status."""
    try:
        asked = Request.parse(request[0], request[1], headers, size)
    except ValueError as fault:
        print(f"glance-shim: {fault}", file=sys.stderr)
        return WRONG_USAGE
    loaded = load_or_report(config, upstream=upstream, settings=settings, upstream_required=True)
    if loaded is None:
        return WRONG_USAGE
    print("\n".join(explain(loaded, asked)))
    return ENDED_AS_ASKED


def explain(loaded: Loaded, request: Request) -> Iterator[str]:
    """Lines: each route that was tried, why it was not taken, and what holds where one is."""
    options = proxy_options(loaded.settings)
    table = route_table(options, service_of(options.service, options.glance))
    try:
        found = table.find(request.method, request.path, request.headers, request.size)
    except NoUpstream as refusal:
        found = None
        ending = f"no route takes it: 503 {refusal.code}"
    yield "routes, in the order in which they are tried:"
    for number, route in enumerate(table.in_order, start=1):
        if route is found:
            yield f"  {number}. {route.name}: takes it"
            break
        miss = route.miss(request.method, request.path, request.headers, request.size)
        assert miss is not None
        yield f"  {number}. {route.name}: no, {_reason(route, miss, request)}"
    yield ""
    if found is None:
        yield ending
        return
    yield f"upstream {found.upstream}: {', '.join(_servers(options, found.upstream))}"
    yield f"body = {toml.value(found.body.value)}"
    yield from _differences(loaded, found)


def _reason(route: Route, miss: Miss, request: Request) -> str:
    if miss is Miss.METHOD:
        return f"the method is not {' or '.join(sorted(route.methods))}"
    if miss is Miss.PATH:
        return f"the path does not match {route.path}"
    if miss is Miss.HEADER:
        missed = next(pattern for pattern in route.headers if not pattern.matches(request.headers))
        return f"no header {missed.name} matches {missed.value}"
    if request.size is None:
        return "it asks for a size, and the request declares none"
    least = f"at least {format_size(route.at_least)}" if route.at_least is not None else ""
    most = f"at most {format_size(route.at_most)}" if route.at_most is not None else ""
    return f"the size is not {' and '.join(filter(None, (least, most)))}"


def _servers(options: ProxyOptions, name: str) -> list[str]:
    return [str(server) for spec in options.upstreams if spec.name == name for server in spec.servers]


def _differences(loaded: Loaded, route: Route) -> Iterator[str]:
    """What holds for requests of the route and is not the default, and where each was set."""
    rows = [*_rows(loaded, route), *_upstream_rows(loaded, route.upstream)]
    yield ""
    yield "other than by default:" if rows else "all else is as by default"
    column = max((len(row) for row, _ in rows), default=0)
    yield from (f"  {row:{column}}  # {source}" for row, source in rows)


def _rows(loaded: Loaded, route: Route) -> Iterator[tuple[str, str]]:
    settings = loaded.settings
    own = _table_of(loaded, route)
    for name, (table, model) in _OWN.items():
        path: Path = (table, name)
        value = getattr(settings, table).model_dump(mode="json")[name]
        if own is not None and getattr(own[1], name) is not None:
            path, value = ("routes", own[0], name), own[1].model_dump(mode="json")[name]
        elif name == "max_body" and own is None and route.max_body < settings.spool.max_body:
            # A route of the service's own.
            yield f"max_body = {toml.value(format_size(route.max_body))}", f"service {settings.service}"
            continue
        if value != model().model_dump(mode="json")[name]:
            yield f"{dotted(path)} = {toml.value(value)}", loaded.source(path)


def _upstream_rows(loaded: Loaded, name: str) -> Iterator[tuple[str, str]]:
    """What was set for the upstream; one without a table has nothing of its own."""
    group = loaded.settings.upstreams.get(name)
    if group is None:
        return
    default = UpstreamOptions(servers=group.servers).model_dump(mode="json")
    for key, value in group.model_dump(mode="json").items():
        path = ("upstreams", name, key)
        if value != default[key]:
            yield f"{dotted(path)} = {toml.value(value)}", loaded.source(path)


def _table_of(loaded: Loaded, route: Route) -> tuple[int, RouteOptions] | None:
    """The operator's own table of a route, and its place; None where the route is the service's."""
    ours = proxy_options(loaded.settings).routes
    places = [index for index, one in enumerate(ours) if one == route]
    return (places[0], loaded.settings.routes[places[0]]) if places else None
