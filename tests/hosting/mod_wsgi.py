"""Apache's mod_wsgi from ``deploy/glance/apache-mod-wsgi.conf``, and embedded from the file beside it."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from shim.demo.processes import Process
from tests.fronts.shipped import read_shipped
from tests.hosting.apache import apache_user, launch_apache
from tests.hosting.hosting import WORKERS, Hosting, address_of

SCRIPT = "app.wsgi"


class ModWsgiDaemon(Hosting):
    """Glance in processes of its own beside Apache's."""

    shipped = "apache-mod-wsgi.conf"
    worker_module = "event"

    def launch(self, directory: Path, url: str) -> Process:
        packages = self.site.packages_for_apache()
        script = read_shipped(SCRIPT, {
            "/opt/glance/bin/python": str(packages / "bin/python"),
            "/etc/glance": str(self.site.configuration),
        })  # fmt: skip
        (directory / SCRIPT).write_text(script)
        text = read_shipped(self.shipped, {
            "127.0.0.1:9291": address_of(url),
            " /etc/glance/app.wsgi": f" {directory / SCRIPT}",
            "<Directory /etc/glance>": f"<Directory {directory}>",
            **self.exchanges(packages),
        })  # fmt: skip
        # Between Apache and the daemons; Debian's own place for it is in /run, which is root's.
        around = f"WSGISocketPrefix {directory}/wsgi\n"
        return launch_apache(directory, ["wsgi"], around + text, self.worker_module, self.site.variables)

    def exchanges(self, packages: Path) -> Mapping[str, str]:
        """What else to exchange: users, counts, the environment."""
        user = apache_user()
        return {
            "python-home=/opt/glance ": f"python-home={packages} ",
            # Only root can give a process to somebody else.
            " user=glance group=glance ": f" user={user} group={user} " if user else " ",
            "processes=2": f"processes={WORKERS}",
        }

    def workers(self) -> list[int]:
        return [pid for pid, title in self.children().items() if "(wsgi:glance)" in title]

    def reload(self) -> None:
        """Each process ends when its requests have. Apache's own graceful restart would kill it instead."""
        for pid in self.workers():
            os.kill(pid, signal.SIGUSR1)


class ModWsgiChunked(ModWsgiDaemon):
    """With the directive that would let chunked bodies in without a shim."""

    def exchanges(self, packages: Path) -> Mapping[str, str]:
        more = {"    LimitRequestBody 0\n": "    LimitRequestBody 0\n    WSGIChunkedRequest On\n"}
        return {**super().exchanges(packages), **more}


class ModWsgiEmbedded(ModWsgiDaemon):
    """Glance in Apache's own processes."""

    shipped = "apache-mod-wsgi-embedded.conf"
    worker_module = "prefork"

    def exchanges(self, packages: Path) -> Mapping[str, str]:
        counts = ("StartServers", "MinSpareServers", "MaxSpareServers", "MaxRequestWorkers")
        return {
            "\nWSGIPythonHome /opt/glance\n": f"\nWSGIPythonHome {packages}\n",
            **{f"    {name} 8\n": f"    {name} {WORKERS}\n" for name in counts},
        }

    def workers(self) -> list[int]:
        return list(self.children())

    def reload(self) -> None:
        """Apache's graceful restart: requests under way end in the old processes."""
        os.kill(self.pid, signal.SIGUSR1)
