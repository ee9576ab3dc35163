"""The virtual environment with Glance, its clients and its WSGI servers: made once, then only found.

A stamp, written last, says that an installation is whole and what it holds; without it, or after any
change of packages, Python or place, the next run makes the environment anew.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.demo import DemoError
from shim.demo.installing import INSTALL_LIMIT, Report, install
from shim.demo.interpreters import find_system_python

# pyuwsgi is uWSGI as a wheel: no compiler needed. The versions are in CONSTRAINTS.
PACKAGES = ("glance", "python-glanceclient", "openstacksdk", "pyuwsgi", "gunicorn")
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
_STAMP = "glance-shim.stamp"
_DATABASE = "glance-shim.sqlite"


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished virtual environment."""

    directory: Path

    @property
    def empty_database(self) -> Path:
        """Where an empty database of this Glance is kept, once one was made: making one takes 5 s."""
        return self.directory / _DATABASE

    @property
    def python(self) -> Path:
        """Its interpreter: with openstacksdk, and Glance's own modules."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """Path of a program in it, such as ``glance``, ``glance-manage``, ``uwsgi`` or ``gunicorn``.

        Raises:
            DemoError: There is none of that name.
        """
        path = self.directory / "bin" / name
        if not path.exists():
            raise DemoError(f"{name} is missing in {self.directory}: remove that directory, and run again")
        return path


def demo_home() -> Path:
    """Where the environment lives: ``$GLANCE_SHIM_DEMO_HOME``, else in the user's cache directory."""
    if chosen := os.environ.get("GLANCE_SHIM_DEMO_HOME"):
        return Path(chosen).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "glance-shim" / "demo"


def find_environment(home: Path | None = None) -> Environment | None:
    """The environment if it is whole and up to date; nothing is installed."""
    directory = (home or demo_home()) / "venv"
    return Environment(directory) if _is_ready(directory) else None


def ensure_environment(home: Path | None = None, *, report: Report = print) -> Environment:
    """The environment, installed first where it must be (20 s; by pip a minute); ``report`` gets progress.

    Safe in several processes at once: one installs, the others wait for it.

    Raises:
        DemoError: It could not be installed.
    """
    home = home or demo_home()
    if found := find_environment(home):
        return found
    with _hold_lock(home, report):
        return find_environment(home) or _install(home, report)


def pinned_version(package: str) -> str:
    """The version of a package in every finished environment.

    Raises:
        DemoError: The package is not pinned.
    """
    for line in CONSTRAINTS.read_text().splitlines():
        name, _, version = line.partition("==")
        if name == package:
            return version
    raise DemoError(f"{package} is not in {CONSTRAINTS}")


def fingerprint(directory: Path) -> str:
    """What a finished environment in ``directory`` holds: packages, interpreter and place, as a digest."""
    # Not our own interpreter but the environment's: links to /usr/bin/python3 change with the system, and
    # several Pythons may share one environment. The place counts because scripts name it absolutely.
    interpreter = (directory / "bin" / "python").resolve()
    # An environment that another Python made, before the system's was there, cannot serve mod_wsgi.
    system = find_system_python() or ""
    parts = (*PACKAGES, CONSTRAINTS.read_text(), str(interpreter), str(system), str(directory))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_ready(directory: Path) -> bool:
    stamp = directory / _STAMP
    # The interpreter is a link, which leads nowhere after its Python was removed.
    return (
        (directory / "bin" / "python").exists()
        and stamp.exists()
        and stamp.read_text() == fingerprint(directory)
    )


def _install(home: Path, report: Report) -> Environment:
    directory, log = home / "venv", home / "install.log"
    report(f"Installing Glance, its clients, uWSGI and gunicorn into {directory}")
    report(f"  once, some 40 MB to fetch; details in {log}")
    # An old stamp must not outlive the start of the work: an interrupted one would look whole.
    (directory / _STAMP).unlink(missing_ok=True)
    (directory / _DATABASE).unlink(missing_ok=True)
    began = time.monotonic()
    install(directory, PACKAGES, CONSTRAINTS, log=log, report=report)
    (directory / _STAMP).write_text(fingerprint(directory))
    report(f"  installed in {time.monotonic() - began:.0f} s")
    return Environment(directory)


@contextlib.contextmanager
def _hold_lock(home: Path, report: Report) -> Iterator[None]:
    """Be the only process that installs below ``home``; the kernel gives the lock back if we die."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise DemoError(f"cannot write to {home} ({error.strerror}); set GLANCE_SHIM_DEMO_HOME") from error
    with lock:
        end, waiting = time.monotonic() + INSTALL_LIMIT, False
        while not _try_lock(lock.fileno()):
            if time.monotonic() > end:
                raise DemoError(f"another process has held {home}/lock for too long")
            if not waiting:
                waiting = True
                report(f"  another process is installing into {home}; waiting for it")
            time.sleep(0.5)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
