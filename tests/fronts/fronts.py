"""nginx, HAProxy and Apache in front of the shim, as shipped: each listens with TLS on a free port.

Whatever program it is, a front is known by its URL, and ready when it has answered over TLS.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from shim.demo.addresses import free_port, start_on_free_port, wait_until
from shim.demo.processes import Process, Service, own_variables
from tests.fronts.authority import Authority
from tests.fronts.nginx import NGINX, nginx_command
from tests.fronts.shipped import exchange, read_shipped
from tests.hosting import apache

START = 30.0
"""Seconds that a front may take to start on a busy machine."""

HAPROXY = Path("/usr/sbin/haproxy")
APACHE_MODULES = ("headers", "proxy", "proxy_http", "ssl", "socache_shmcb")

Changes = Mapping[str, str]
"""What a test changes in a shipped configuration: text that is there, and what comes in its place."""


@dataclass(frozen=True)
class Place:
    """What a front is started with.

    Attributes:
        folder: For its configuration, log and temporary files.
        shim: ``HOST:PORT`` or ``unix:/path`` of the shim.
        changes: Made to the configuration besides addresses and certificates; usually none.
    """

    folder: Path
    authority: Authority
    shim: str
    changes: Changes

    @property
    def socket(self) -> str | None:
        """The path of the shim's unix socket, if it is one."""
        return self.shim.removeprefix("unix:") if self.shim.startswith("unix:") else None

    def read(self, name: str, exchanges: Changes) -> str:
        """A shipped file, as it is to run here."""
        return exchange(read_shipped(name, exchanges), self.changes, name)


class Front:
    """A running front; ended with its ``with`` block.

    Attributes:
        url: Where clients find Glance, the mount included.
        port: Of it.
        context: For clients of it: trusts its certificate, and no other.
        log: What it wrote.
    """

    def __init__(self, url: str, context: ssl.SSLContext, service: Service) -> None:
        self.url = url
        self.port = httpx.URL(url).port
        self.context = context
        self.log = service.log
        self._service = service

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._service.stop()


def start_front(
    name: str, folder: Path, authority: Authority, shim: str, *, changes: Changes | None = None
) -> Front:
    """Start a front, and wait until it answers.

    Args:
        name: One of ``FRONTS``.
        folder: Made where it is missing; Apache's user must be able to enter it.
        authority: For its certificate.
        shim: ``HOST:PORT`` or ``unix:/path``.
        changes: See ``Place``.

    Raises:
        DemoError: It ended, or did not answer in time; the text has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return FRONTS[name].start(Place(folder, authority, shim, changes or {}))


def _start_program(
    place: Place, command: Callable[[Place, int], list[str | Path]], log: Path
) -> tuple[int, Service]:
    """Start a program that listens where it is told, and wait until it answers."""

    def start() -> tuple[int, Service]:
        port = free_port()
        process = Process.start(command(place, port), log=log, variables=own_variables())
        try:
            wait_until(lambda: _answers(place, port), process, name=log.stem, limit=START)
        except BaseException:
            process.stop(grace=1.0)
            raise
        return port, Service(process)

    return start_on_free_port(start)


def _answers(place: Place, port: int) -> bool:
    """Whether something with our certificate answers; what it says is all the same."""
    url = f"https://127.0.0.1:{port}/"
    try:
        httpx.get(url, verify=place.authority.context(), trust_env=False, timeout=5.0)
    except httpx.HTTPError:
        return False
    return True


def _made(place: Place, port: int, service: Service, mount: str = "") -> Front:
    return Front(f"https://127.0.0.1:{port}{mount}", place.authority.context(), service)


# -- each of them -----------------------------------------------------------------------------------------


def _start_nginx(place: Place) -> Front:
    return _made(place, *_start_program(place, _nginx_command, place.folder / "nginx.log"))


def _nginx_command(place: Place, port: int) -> list[str | Path]:
    site = place.folder / "front-nginx.conf"
    exchanges = {
        "server 127.0.0.1:9292;": f"server {place.shim};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/certs/image.example.org.pem": str(place.authority.server),
        "/etc/ssl/private/image.example.org.key": str(place.authority.key),
    }
    site.write_text(place.read(site.name, exchanges))
    return nginx_command(place.folder, f"include {site};")


def _start_haproxy(place: Place) -> Front:
    return _made(place, *_start_program(place, _haproxy_command, place.folder / "haproxy.log"))


def _haproxy_command(place: Place, port: int) -> list[str | Path]:
    own = place.folder / "front-haproxy.cfg"
    exchanges = {
        "127.0.0.1:9292": place.shim if place.socket is None else f"unix@{place.socket}",
        "bind :443 ssl": f"bind 127.0.0.1:{port} ssl",
        "/etc/haproxy/image.example.org.pem": str(place.authority.both),
    }
    own.write_text(place.read(own.name, exchanges))
    settings = place.folder / "global.cfg"
    settings.write_text("global\n    log stderr format raw local0\n    maxconn 1000\n")
    # -db: in the foreground, so that the process we end is the one that serves.
    return [HAPROXY, "-db", "-f", settings, "-f", own]


def _start_apache(place: Place) -> Front:
    def configuration(port: int) -> str:
        host = f"127.0.0.1:{port}"
        exchanges = {
            "Listen 443": f"Listen {host}",
            "<VirtualHost *:443>": f"<VirtualHost {host}>",
            "/etc/ssl/certs/image.example.org.pem": str(place.authority.server),
            "/etc/ssl/private/image.example.org.key": str(place.authority.key),
            '"http://127.0.0.1:9292/image"': _apache_target(place),
        }
        return place.read("front-apache.conf", exchanges)

    running = apache.start_apache(place.folder, APACHE_MODULES, configuration)
    return _made(place, running.port, running, "/image")


def _apache_target(place: Place) -> str:
    if place.socket is None:
        return f'"http://{place.shim}/image"'
    return f'"unix:{place.socket}|http://127.0.0.1/image"'


@dataclass(frozen=True)
class Kind:
    """A kind of front.

    Attributes:
        program: Its binary in Debian.
        mount: Under which path it offers Glance.
    """

    program: Path
    start: Callable[[Place], Front]
    mount: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether its program is there."""
        return self.program.exists()


FRONTS: Mapping[str, Kind] = {
    "nginx": Kind(NGINX, _start_nginx),
    "haproxy": Kind(HAPROXY, _start_haproxy),
    "apache": Kind(apache.PROGRAM, _start_apache, mount="/image"),
}
"""All fronts, by name."""
