"""The shim itself as a subprocess, in front of a server that runs already.

It is started by its own command, ``glance-shim serve``, as an operator would, with a spool of its own and
free ports; ``story`` and the benchmarks use it.
"""

import sys
from pathlib import Path

from shim.demo.addresses import answers, free_port, start_on_free_port, wait_until
from shim.demo.processes import Process, Service, own_variables
from shim.timing import Seconds

_START_LIMIT: Seconds = 60.0


class Shim(Service):
    """A running shim.

    Attributes:
        url: Where clients go.
        admin_url: Status page, health and metrics.
    """

    def __init__(self, url: str, admin_url: str, process: Process) -> None:
        super().__init__(process)
        self.url = url
        self.admin_url = admin_url


def start_shim(upstream: str | None, directory: Path, *settings: str) -> Shim:
    """Start the shim in front of the URL ``upstream`` and wait until it is ready.

    Args:
        upstream: As ``--upstream`` takes it; None where ``settings`` have tables of upstreams.
        directory: For its spool, its temporary files and its log; made where it is missing.
        settings: More ``KEY=VALUE`` for ``--set``.

    Raises:
        DemoError: It ended, or was not ready in time; the text has the end of its log.
    """
    spool = directory / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    log = directory / "shim.log"

    def start() -> Shim:
        port, admin_port = free_port(), free_port()
        own_settings = (
            f"admin.listen=127.0.0.1:{admin_port}",
            f"spool.directory={spool}",
            f"server.state_directory={directory / 'state'}",
            "timeouts.drain=5s",
        )
        command = shim_command(port, upstream, (*own_settings, *settings))
        process = Process.start(command, log=log, variables=own_variables(TMPDIR=str(directory)))
        admin_url = f"http://127.0.0.1:{admin_port}"
        try:
            wait_until(
                lambda: answers(admin_url, "/readyz"), process, name="glance-shim serve", limit=_START_LIMIT
            )
        except BaseException:
            process.stop(grace=1.0)
            raise
        return Shim(f"http://127.0.0.1:{port}", admin_url, process)

    return start_on_free_port(start)


def shim_command(port: int, upstream: str | None, settings: tuple[str, ...]) -> list[str]:
    """The command line of ``glance-shim serve``, by the interpreter that runs us."""
    command = [sys.executable, "-m", "shim", "serve", "--listen", f"127.0.0.1:{port}"]
    if upstream is not None:
        command += ["--upstream", upstream]
    for setting in settings:
        command += ["--set", setting]
    return command
