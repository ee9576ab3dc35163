"""Starting participants: the template with ports and paths filled in, the process, the wait until it listens.

What cannot be had here (a program that is not installed, a shim that refuses an option) is ``NotMeasured``.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine import NotMeasured
from benchmarks.load.building import Programs
from benchmarks.load.client import Place
from benchmarks.peers.kinds import APACHE, CADDY, HAPROXY, TEMPLATES, Own, Peer
from benchmarks.peers.tls import Certificate
from shim.commands import WRONG_USAGE
from shim.demo import DemoError
from shim.demo.addresses import free_port, start_on_free_port, wait_until
from shim.demo.front import start_shim
from shim.demo.processes import Process, Service, own_variables

_START = 30.0
_LONGEST_REASON = 240


@dataclass(frozen=True, slots=True)
class Behind:
    """Where the server behind listens.

    Attributes:
        http: Its port for HTTP/1.1.
        uwsgi: Its address for the uwsgi protocol, as nginx writes it.
    """

    http: int
    uwsgi: str

    def url(self, scheme: str) -> str:
        """As the shim's ``--upstream``."""
        if scheme == "http":
            return f"http://127.0.0.1:{self.http}"
        return f"uwsgi+unix://{self.uwsgi.removeprefix('unix:')}"


@dataclass(frozen=True, slots=True)
class Running:
    """A started participant: where clients find it, and what ends it."""

    place: Place
    service: Service


def fill(text: str, values: Mapping[str, object]) -> str:
    """A template with each ``@name@`` in place of its value; nothing else in it is special."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


# -- the shim ---------------------------------------------------------------------------------------------


def start_own(kind: Own, folder: Path, behind: Behind, certificate: Certificate | None) -> Running:
    """The shim by its own command, with what stands behind unknown to it, as to all others.

    Raises:
        NotMeasured: It refuses these settings.
    """
    if kind.tls and certificate is None:
        raise NotMeasured("no certificate (Debian: apt-get install openssl)")
    values = certificate.values() if certificate else {}
    settings = ("service=none", *(fill(setting, values) for setting in kind.settings))
    try:
        shim = start_shim(behind.url(kind.scheme), folder, *settings)
    except DemoError as fault:
        raise NotMeasured(complaint(str(fault), folder)) from fault
    return Running(Place(int(shim.url.rpartition(":")[2]), kind.tls), shim)


def complaint(fault: str, folder: Path) -> str:
    """What the shim says about its configuration, or why else it does not serve."""
    if f"ended with status {WRONG_USAGE}" not in fault:
        return f"the shim does not get ready: {in_a_line(fault, folder)}"
    # The first line is the demo's, on how it ended.
    said = in_a_line(fault.partition("\n")[2], folder)
    return f"the shim refuses its configuration: {said}"


def in_a_line(fault: str, folder: Path) -> str:
    """The end of an error's text; results hold no paths of the machine they were measured on."""
    text = " ".join(fault.replace(f"{folder}/", "").replace(str(folder), "").split())
    return text if len(text) <= _LONGEST_REASON else f"… {text[-_LONGEST_REASON:]}"


# -- the others -------------------------------------------------------------------------------------------


def start_peer(kind: Peer, folder: Path, behind: Behind, certificate: Certificate | None) -> Running:
    """A proxy from its template.

    Raises:
        NotMeasured: It is not installed, or does not start.
    """
    if not kind.program.exists():
        raise NotMeasured(
            f"{kind.program.name} is not installed (Debian: apt-get install {kind.program.name})"
        )
    if kind.tls and certificate is None:
        raise NotMeasured("no certificate (Debian: apt-get install openssl)")
    spool = folder / "spool"
    spool.mkdir(parents=True)
    # Apache's workers are a user of their own.
    spool.chmod(0o777)
    values: dict[str, object] = {"directory": folder, "spool": spool, "user": _user(kind.program)}
    values |= {"http": behind.http, "uwsgi": behind.uwsgi} | (certificate.values() if certificate else {})
    try:
        return start_on_free_port(lambda: _start(kind, folder, values))
    except DemoError as fault:
        raise NotMeasured(in_a_line(str(fault), folder)) from fault


def _start(kind: Peer, folder: Path, values: Mapping[str, object]) -> Running:
    port = free_port()
    configuration = folder / kind.template
    configuration.write_text(fill((TEMPLATES / kind.template).read_text(), {**values, "port": port}))
    variables = own_variables(TMPDIR=str(folder / "spool"), HOME=str(folder), XDG_DATA_HOME=str(folder))
    command = _command(kind.program, configuration)
    process = Process.start(command, log=folder / "output.log", variables=variables)
    return Running(Place(port, kind.tls), await_listening(process, port, kind.program.name))


def _command(program: Path, configuration: Path) -> list[str | Path]:
    """In the foreground, so that what we end is what serves."""
    if program == APACHE:
        return [program, "-d", configuration.parent, "-f", configuration, "-DFOREGROUND"]
    if program == HAPROXY:
        return [program, "-db", "-f", configuration]
    if program == CADDY:
        return [program, "run", "--config", configuration, "--adapter", "caddyfile"]
    return [program, "-c", configuration, "-e", "stderr"]


def _user(program: Path) -> str:
    """The line that says who workers are: started by root they would be somebody who cannot enter here."""
    if os.geteuid() != 0:
        return ""
    return "User www-data\nGroup www-data" if program == APACHE else "user root;"


def start_limit(programs: Programs, folder: Path, behind: Behind) -> Running:
    """``limit.c``."""
    folder.mkdir(parents=True)
    port = free_port()
    command: list[str | Path] = [programs.limit, str(port), str(behind.http), folder]
    process = Process.start(command, log=folder / "output.log", variables=own_variables())
    return Running(Place(port), await_listening(process, port, "limit"))


def start_sink(programs: Programs, folder: Path, name: str, drain: int | None) -> tuple[Behind, Service]:
    """``sink.c``, on a port and on a unix socket; ``drain`` in bytes per second."""
    port, socket_file = free_port(), folder / f"{name}.sock"
    command: list[str | Path] = [programs.sink, "-p", str(port), "-u", str(socket_file)]
    command += [] if drain is None else ["-r", str(drain)]
    process = Process.start(command, log=folder / f"{name}.log", variables=own_variables())
    return Behind(port, f"unix:{socket_file}"), await_listening(process, port, "sink")


def await_listening(process: Process, port: int, name: str) -> Service:
    """Wait until a port takes connections; ends the process where it does not.

    Raises:
        DemoError: It ended, or did not listen in time.
    """
    try:
        wait_until(lambda: _listens(port), process, name=name, limit=_START)
    except BaseException:
        process.stop(grace=1.0)
        raise
    return Service(process)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
    except OSError:
        return False
    return True
