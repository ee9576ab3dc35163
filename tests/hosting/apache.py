"""Debian's Apache from a configuration text: on a free port, in a directory of its own, ended by process id.

``mod_wsgi`` puts Glance into it; a proxy in front of the shim is started in the same way. Started by root it
gives up root as it does in production; everything it reads must then let its user in.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from shim.demo.addresses import free_port, start_on_free_port, wait_until
from shim.demo.processes import Process, Service, own_variables

PROGRAM = Path("/usr/sbin/apache2")
MODULES = Path("/usr/lib/apache2/modules")

SETTINGS = Path("/etc/apache2/mods-available")

# What Debian's package has enabled from its installation on, with the settings that come with it: what an
# operator adds a site to.
USUAL_MODULES = (
    *("authn_core", "authz_core", "access_compat", "alias", "auth_basic", "authn_file", "authz_host"),
    *("authz_user", "autoindex", "dir", "env", "filter", "deflate", "mime", "negotiation", "reqtimeout"),
    *("setenvif", "status"),
)

START = 60.0
"""Seconds until it must answer; mod_wsgi loads Glance before."""


class Apache(Service):
    """A running Apache.

    Attributes:
        port: Of the loopback interface, where its configuration made it listen.
        directory: With its configuration and its log.
    """

    def __init__(self, process: Process, port: int, directory: Path) -> None:
        super().__init__(process)
        self.port = port
        self.directory = directory

    def reload(self) -> None:
        """The graceful restart: requests under way end in the old processes, new ones go to new processes."""
        os.kill(self.pid, signal.SIGUSR1)

    def workers(self) -> list[int]:
        """Process ids of its children, mod_wsgi's daemons among them."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [int(pid) for pid in children.split()]
        return []


def start_apache(
    directory: Path,
    modules: Sequence[str],
    configuration: Callable[[int], str],
    *,
    worker_module: str = "event",
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
    is_ready: Callable[[int], bool] | None = None,
) -> Apache:
    """Start Apache and wait until it is ready.

    Args:
        directory: For its configuration and log; made where it is missing. Apache's user must be able to
            enter it (see ``public_directory``).
        modules: Besides the usual ones, by the names of LoadModule without ``_module``.
        configuration: The site's text for a port, with its Listen; loading modules is done before it.
        worker_module: ``event``, ``prefork`` or ``worker``.
        port: Where it must be a certain one; else a free one is chosen.
        variables: Its whole environment; by default ours.
        is_ready: Whether it serves on that port; by default whether it takes connections there.

    Raises:
        DemoError: It ended, or was not ready in time; the text has the end of its log.
    """
    asked = is_ready or takes_connections

    def start() -> Apache:
        chosen = port or free_port()
        process = launch_apache(directory, modules, configuration(chosen), worker_module, variables)
        try:
            wait_until(lambda: asked(chosen), process, name="apache2", limit=START)
        except BaseException:
            process.stop(grace=1.0)
            raise
        return Apache(process, chosen, directory)

    return start_on_free_port(start)


def launch_apache(
    directory: Path,
    modules: Sequence[str],
    configuration: str,
    worker_module: str = "event",
    variables: Mapping[str, str] | None = None,
) -> Process:
    """Start Apache as ``start_apache`` does, without waiting for it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "apache.conf"
    file.write_text(_head(directory, modules, worker_module) + configuration)
    command = [PROGRAM, "-d", directory, "-f", file, "-DFOREGROUND"]
    return Process.start(command, log=directory / "apache.log", variables=variables or own_variables())


def takes_connections(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
    except OSError:
        return False
    return True


def _head(directory: Path, modules: Sequence[str], worker_module: str) -> str:
    """What Debian's own files hold around a site: paths, modules and their settings, user, log, who may."""
    usual = (f"mpm_{worker_module}", *USUAL_MODULES)
    user = apache_user()
    lines = [
        *(f"ServerRoot {directory}", f"DefaultRuntimeDir {directory}", f"PidFile {directory}/apache.pid"),
        *(f"Mutex file:{directory} default", "ServerName localhost"),
        *(f"User {name}\nGroup {name}" for name in [user] if name),
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in dict.fromkeys((*usual, *modules))),
        "TypesConfig /etc/mime.types",
        *(f"IncludeOptional {SETTINGS}/{name}.conf" for name in usual),
        "<Directory />\nAllowOverride None\nRequire all denied\n</Directory>",
        *(f"ErrorLog {directory}/apache.log", "LogLevel info"),
        f'CustomLog {directory}/apache.log "%h %t \\"%r\\" %>s %O"',
    ]
    return "\n".join(lines) + "\n"


# -- whom Apache runs as ------------------------------------------------------------------------------------


def apache_user() -> str | None:
    """Whom Apache becomes where root starts it; None: it stays who we are."""
    return "www-data" if os.geteuid() == 0 else None


@contextlib.contextmanager
def public_directory(name: str) -> Iterator[Path]:
    """A temporary directory that Apache's user can enter; pytest's own are closed to everybody else."""
    directory = Path(tempfile.mkdtemp(prefix=f"glance-shim-{name}-"))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def give_to_apache(directory: Path) -> None:
    """Make Apache's user the owner of a directory and all in it, where that is somebody else."""
    if user := apache_user():
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, user, user)


def can_enter(directory: Path) -> bool:
    """Whether Apache's user may read there: each directory on the way must let it in."""
    user = apache_user()
    if user is None:
        return os.access(directory, os.R_OK | os.X_OK)
    group = pwd.getpwnam(user).pw_gid
    asked = ["/usr/bin/test", "-r", directory, "-a", "-x", directory]
    return not subprocess.run(asked, user=user, group=group, extra_groups=[], cwd="/", check=False).returncode
