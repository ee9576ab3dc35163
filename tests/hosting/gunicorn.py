"""gunicorn from ``deploy/glance/gunicorn.conf.py``: sync workers on a unix socket, gthread on TCP."""

from pathlib import Path

from shim.demo.processes import Process
from tests.fronts.shipped import read_shipped
from tests.hosting.hosting import WORKERS, Hosting, address_of

SHIPPED = "gunicorn.conf.py"


class Gunicorn(Hosting):
    """Sync workers, on a unix socket."""

    scheme = "http+unix"
    threads = 1

    def launch(self, directory: Path, url: str) -> Process:
        file = directory / SHIPPED
        bind = address_of(url) if self.scheme == "http" else f"unix:{address_of(url)}"
        text = read_shipped(SHIPPED, {
            "=/etc/glance": f"={self.site.configuration}",
            '"unix:/run/glance/api.sock"': f'"{bind}"',
            "\nworkers = 4\n": f"\nworkers = {WORKERS}\n",
            "\nthreads = 1\n": f"\nthreads = {self.threads}\n",
        })  # fmt: skip
        file.write_text(text)
        command = [self.site.environment.program("gunicorn"), "--config", file]
        return Process.start(command, log=directory / "gunicorn.log", variables=self.site.variables)

    def workers(self) -> list[int]:
        return list(self.children())


class GunicornThreads(Gunicorn):
    """gthread workers, on TCP."""

    scheme = "http"
    threads = 4
