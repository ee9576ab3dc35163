"""Every participant by name: which program, which template, what stands behind it, and what it lacks here.

The names are those of the scenarios' files and of the results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenario import AGAIN

TEMPLATES = Path(__file__).parent

NGINX = Path("/usr/sbin/nginx")
APACHE = Path("/usr/sbin/apache2")
HAPROXY = Path("/usr/sbin/haproxy")
CADDY = Path("/usr/bin/caddy")


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy from a package of Debian.

    Attributes:
        program: Its binary.
        template: Its configuration, in this folder.
        tls: Whether clients speak TLS to it.
    """

    program: Path
    template: str
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Own:
    """The shim, by ``glance-shim serve``.

    Attributes:
        settings: For ``--set``.
        scheme: Of the upstream: ``http`` or ``uwsgi``.
        hands_off: Whether the server behind has to get bodies as files.
    """

    settings: tuple[str, ...] = ()
    scheme: str = "http"
    tls: bool = False
    hands_off: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """The least that a proxy can cost, ``limit.c``."""

    tls: bool = False


@dataclass(frozen=True, slots=True)
class Straight:
    """No proxy: the client talks to the server behind, to know what either does alone.

    Attributes:
        drained: Whether that server takes bodies at the scenario's rate; else as fast as it can.
        paced: Whether the client sends at the scenario's rate; else as fast as it can.
    """

    drained: bool
    paced: bool
    tls: bool = False


Kind = Peer | Own | Limit | Straight

_TLS = ("server.tls.certificate=@certificate@", "server.tls.key=@key@")

KINDS: Mapping[str, Kind] = {
    "shim": Own(),
    "shim-plain": Own(("server.fast=false",)),
    "shim-uwsgi": Own(scheme="uwsgi"),
    "shim-handoff": Own(("body=handoff",), scheme="uwsgi", hands_off=True),
    "shim-spool": Own(("body=spool",)),
    "shim-tls": Own(_TLS, tls=True),
    "nginx-tuned": Peer(NGINX, "nginx-tuned.conf"),
    "nginx-default": Peer(NGINX, "nginx-default.conf"),
    "nginx-uwsgi": Peer(NGINX, "nginx-uwsgi.conf"),
    "nginx-tls": Peer(NGINX, "nginx-tls.conf", tls=True),
    "apache": Peer(APACHE, "apache.conf"),
    "haproxy": Peer(HAPROXY, "haproxy.cfg"),
    "caddy": Peer(CADDY, "Caddyfile"),
    "c-limit": Limit(),
    "client-alone": Straight(drained=False, paced=True),
    "server-alone": Straight(drained=True, paced=False),
}
"""All of them; with ``-again`` after its name a participant is entered a second time."""


def kind_of(name: str) -> Kind:
    """What a participant is.

    Raises:
        KeyError: There is none of that name.
    """
    return KINDS[name.removesuffix(AGAIN)]
