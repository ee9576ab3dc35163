"""A WSGI application under the servers that operators use: uWSGI by three kinds of sockets, and gunicorn.

The settings are those an operator should have; what each server makes of chunked bodies is its own affair.
``glance`` calls this with Glance, but nothing here is peculiar to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from shim.demo.addresses import answers, free_port, remove_socket, socket_path, start_on_free_port, wait_until
from shim.demo.environment import Environment
from shim.demo.processes import Process, Service
from shim.timing import Seconds

Kind: TypeAlias = Literal["uwsgi-unix", "uwsgi-tcp", "uwsgi-http-socket", "gunicorn"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Glance loads in one to two seconds; a busy machine may take far longer.
_START_LIMIT: Seconds = 90.0
_UWSGI_LOADED = "WSGI app 0 (mountpoint="


@dataclass(frozen=True, slots=True)
class Application:
    """What a server is to serve, and with what.

    Attributes:
        directory: Where its socket and its log go.
        name: Of these two files.
        module: ``package.module:callable``.
        variables: The whole environment of the server.
    """

    environment: Environment
    directory: Path
    name: str
    module: str
    variables: Mapping[str, str]


class Server(Service):
    """A running WSGI server; HUP to its pid reloads it gracefully.

    Attributes:
        urls: By kind, in the order asked for, the upstream URL as the shim's ``--upstream`` takes it.
        url: The first of them.
    """

    def __init__(self, urls: Mapping[Kind, str], process: Process) -> None:
        super().__init__(process)
        self.urls = dict(urls)
        self.url = next(iter(self.urls.values()))

    def workers(self) -> list[int]:
        """Process ids of the workers, the master's children; none once the master is gone."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in children.split()]

    def stop(self, grace: Seconds = 10.0) -> None:
        """Ask it to end, kill what is left after ``grace``, wait until all is gone, and remove its socket."""
        super().stop(grace)
        if path := self.urls.get("uwsgi-unix"):
            remove_socket(Path(path.removeprefix("uwsgi+unix://")))


def start_server(
    application: Application, kinds: Sequence[Kind], *, workers: int, threads: int, arguments: Sequence[str]
) -> Server:
    """Start a server with free addresses, and wait until all of them answer.

    Raises:
        DemoError: It ended, or did not answer in time; the text has the end of its log.
        ValueError: ``kinds`` are not sockets of one server.
    """
    if not kinds or (len(kinds) > 1 and "gunicorn" in kinds):
        raise ValueError(f"not sockets of one server: {', '.join(kinds) or 'none'}")

    def start() -> Server:
        urls = {kind: choose_url(kind, application) for kind in kinds}
        command = server_command(application, urls, workers=workers, threads=threads)
        log = application.directory / "log" / f"{application.name}.log"
        process = Process.start([*command, *arguments], log=log, variables=application.variables)
        server = Server(urls, process)
        try:
            wait_until(lambda: _is_ready(server), process, name=" and ".join(kinds), limit=_START_LIMIT)
        except BaseException:
            server.stop(grace=1.0)
            raise
        return server

    return start_on_free_port(start)


def _is_ready(server: Server) -> bool:
    if not all(answers(url) for url in server.urls.values()):
        return False
    # uWSGI answers when its first worker has loaded; a reload before all have would wait out the mercy.
    loaded = server.log.read_text(errors="replace").count(_UWSGI_LOADED)
    return "gunicorn" in server.urls or loaded >= len(server.workers())


def choose_url(kind: Kind, application: Application) -> str:
    """An address nobody uses, as an upstream URL."""
    if kind == "uwsgi-unix":
        return f"uwsgi+unix://{socket_path(application.directory, f'{application.name}.sock')}"
    scheme = "uwsgi" if kind == "uwsgi-tcp" else "http"
    return f"{scheme}://127.0.0.1:{free_port()}"


def server_command(
    application: Application, urls: Mapping[Kind, str], *, workers: int, threads: int
) -> list[str | Path]:
    """The command line of one server that listens on all ``urls``."""
    if "gunicorn" in urls:
        return _gunicorn_command(application, urls["gunicorn"], workers, threads)
    return _uwsgi_command(application, urls, workers, threads)


def _uwsgi_command(
    application: Application, urls: Mapping[Kind, str], workers: int, threads: int
) -> list[str | Path]:
    environment = application.environment
    command: list[str | Path] = [environment.program("uwsgi"), "--master", "--processes", str(workers)]
    # Glance's task and import threads; with more than one thread uWSGI switches them on anyway.
    command += ["--enable-threads"] if threads == 1 else ["--enable-threads", "--threads", str(threads)]
    # Glance's threads do not survive a fork after loading.
    command += ["--lazy-apps", "--need-app", "--module", application.module]
    command += ["--thunder-lock", "--listen", "100"]
    # The whole head must fit; uWSGI's own 4096 drops larger ones without an answer.
    command += ["--buffer-size", "65535"]
    command += ["--die-on-term", "--no-orphans", "--worker-reload-mercy", "10"]
    # pyuwsgi runs in Python's own process: without this a reload starts the system's Python instead.
    command += ["--binary-path", environment.python]
    for kind, url in urls.items():
        option = "--http-socket" if kind == "uwsgi-http-socket" else "--socket"
        command += [option, url.partition("://")[2]]
    return command


def _gunicorn_command(application: Application, url: str, workers: int, threads: int) -> list[str | Path]:
    command: list[str | Path] = [application.environment.program("gunicorn"), "--workers", str(workers)]
    command += (
        ["--worker-class", "sync"]
        if threads == 1
        else ["--worker-class", "gthread", "--threads", str(threads)]
    )
    command += ["--bind", url.removeprefix("http://"), "--no-control-socket"]
    # A worker that is silent for so long is killed, and a sync worker is silent during an upload.
    command += ["--timeout", "600", "--graceful-timeout", "10"]
    command += ["--access-logfile", "-", "--capture-output", application.module]
    return command
