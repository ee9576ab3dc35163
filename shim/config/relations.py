"""What must hold between options: upstreams, routes and listeners that have to fit together.

Looked at on the raw tree of values, before any of them is known to be right: a typing error in one option
must not hide that another leads nowhere. What has the wrong type is passed over here; its own fault says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shim.admission.preference import MOST_SERVERS
from shim.app import tracing
from shim.config.cloud_relations import cloud_faults
from shim.config.faults import Path, nearest
from shim.config.listening import AdminOptions, ServerOptions
from shim.config.option import Options
from shim.config.settings import SINGLE_UPSTREAM
from shim.spool.encrypted import is_available
from shim.upstream.roster import MOST_ADDRESSES

# A switch as it may be written.
_ON = (True, "true", "on")

NO_UPSTREAM = (
    "is missing: say what to forward to, as in --upstream uwsgi+unix:///run/glance/api.sock, "
    'upstream = "http://127.0.0.1:9191", or [upstreams.NAME] tables'
)


def relation_faults(tree: Mapping[str, Any], *, upstream_required: bool) -> Iterator[tuple[Path, str]]:
    """Where options do not fit together, and what to tell about it.

    Args:
        tree: The merged values, as TOML gives them.
        upstream_required: Whether a configuration that leads nowhere is a fault.
    """
    single, tables = tree.get("upstream"), tree.get("upstreams")
    named = [*tables] if isinstance(tables, dict) else []
    if single is not None and named:
        yield ("upstream",), "is set beside [upstreams.NAME] tables; set one or the other"
    elif single is None and not named and upstream_required:
        yield ("upstream",), NO_UPSTREAM
    yield from _route_faults(tree.get("routes"), named or ([SINGLE_UPSTREAM] if single is not None else []))
    yield from _group_faults(tree.get("upstreams"))
    yield from _listener_faults(tree)
    yield from _glance_faults(tree.get("glance"))
    yield from _server_faults(tree.get("server"))
    yield from _spool_faults(tree)
    yield from _trace_faults(tree.get("traces"))
    yield from cloud_faults(tree.get("limits"))


def _route_faults(routes: object, upstreams: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Every route has to lead to an upstream that there is."""
    if not routes and len(upstreams) > 1:
        example = f'[[routes]] path = "/**", upstream = "{upstreams[0]}"'
        yield ("routes",), f"is missing: with several upstreams say what goes where, as in {example}"
    # With no upstream at all, only a route that names one is at fault; the rest is said above.
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        name = route.get("upstream") if isinstance(route, dict) else None
        path = ("routes", index, "upstream")
        if name is None and isinstance(route, dict) and len(upstreams) > 1:
            yield path, f"is missing: with several upstreams name one of {', '.join(upstreams)}"
        elif isinstance(name, str) and name not in upstreams:
            yield path, f"unknown upstream {name!r}; {_advice(name, upstreams)}"


def _group_faults(groups: object) -> Iterator[tuple[Path, str]]:
    """Weights stand beside servers; and so many servers can be told apart."""
    for name, group in groups.items() if isinstance(groups, dict) else ():
        servers = group.get("servers") if isinstance(group, dict) else None
        if not isinstance(servers, list):
            continue
        weights = group.get("weights")
        if isinstance(weights, list) and len(weights) not in (0, len(servers)):
            text = (
                f"has {len(weights)} numbers for {len(servers)} servers; write one for each, or none at all"
            )
            yield ("upstreams", name, "weights"), text
        # Which of them are names is for their own kind to say; all of them is the most there can be.
        room = MOST_ADDRESSES if group.get("resolve", "off") != "off" else 1
        if len(servers) * room > MOST_SERVERS:
            text = f"has {len(servers)} of {room} addresses each; {MOST_SERVERS} together are possible"
            yield ("upstreams", name, "servers"), text


def _advice(name: str, upstreams: Sequence[str]) -> str:
    if upstreams == [SINGLE_UPSTREAM]:
        return "leave this out: there is only one upstream"
    if near := nearest(name, upstreams):
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(upstreams)}" if upstreams else f"add a table [upstreams.{name}]"


def _glance_faults(glance: object) -> Iterator[tuple[Path, str]]:
    """The shim vouches only for tokens that it has seen accepted."""
    if not isinstance(glance, dict):
        return
    if glance.get("service_auth") and glance.get("look") in (False, "false", "off"):
        yield (
            ("glance", "service_auth"),
            "needs glance.look = true: only a token that Glance accepted before the body may outlive it",
        )


def _server_faults(server: object) -> Iterator[tuple[Path, str]]:
    """A PROXY header is asked of everybody, and believed from those that are named."""
    if not isinstance(server, dict):
        return
    if server.get("proxy_protocol") in _ON and not server.get("trusted_proxies"):
        yield (
            ("server", "proxy_protocol"),
            "needs server.trusted_proxies: nobody could connect; name the load balancer's addresses there",
        )


def _spool_faults(tree: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What encryption needs is found before the start, not by the first body."""
    spool, path = tree.get("spool"), ("spool", "encryption")
    if not isinstance(spool, dict) or spool.get("encryption") not in _ON:
        return
    if not is_available():
        yield path, "needs the cryptography library, which is missing: pip install glance-shim[encryption]"
    if any(server.startswith("wsgi:") for server in _servers(tree)):
        # It reads its body from the file itself, and would get all of it in memory instead.
        yield path, "is not possible with an application in this process (wsgi:), which reads the file itself"


def _trace_faults(traces: object) -> Iterator[tuple[Path, str]]:
    if isinstance(traces, dict) and traces.get("enabled") in _ON and not tracing.is_available():
        yield (
            ("traces", "enabled"),
            "needs the opentelemetry libraries, which are missing: pip install glance-shim[traces]",
        )


def _servers(tree: Mapping[str, Any]) -> Iterator[str]:
    """The servers of all upstreams, as far as they are written as text."""
    groups = tree.get("upstreams")
    named = groups.values() if isinstance(groups, dict) else ()
    lists = [group.get("servers") for group in named if isinstance(group, dict)]
    for servers in ([tree.get("upstream")], *lists):
        yield from (
            (server for server in servers if isinstance(server, str)) if isinstance(servers, list) else ()
        )


def _listener_faults(tree: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The admin listener must not be one that clients are told to connect to."""
    taken = _listeners(tree, "server", ServerOptions)
    for address in _listeners(tree, "admin", AdminOptions):
        # Port 0 is another port each time.
        if address in taken and not address.endswith(":0"):
            yield ("admin", "listen"), f"{address!r}: is in server.listen too; take an address of its own"


def _listeners(tree: Mapping[str, Any], table: str, model: type[Options]) -> list[str]:
    # The raw tree has no defaults in it, and 127.0.0.1:9293 may well be written as server.listen.
    options, default = tree.get(table), model.model_fields["listen"].default
    value = options.get("listen", default) if isinstance(options, dict) else default
    addresses = value if isinstance(value, list) else [value]
    return [address for address in addresses if isinstance(address, str)]
