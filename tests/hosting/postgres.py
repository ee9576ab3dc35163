"""A PostgreSQL of Debian's packages for Glances that many upload to at once: sqlite locks up under those.

A cluster of its own, on a unix socket in its own directory, ended and removed with the block. Its driver is
installed beside Glance, not into the environment that all tests share.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.demo.environment import Environment
from tests.hosting.site import Unavailable

DRIVER = "psycopg2-binary==2.9.*"
_PROGRAMS = Path("/usr/lib/postgresql")
_USER = "postgres"
# It is thrown away afterwards: what a crash of the machine would cost does not matter.
_FAST = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"


@dataclass(frozen=True)
class Database:
    """A running cluster with one database.

    Attributes:
        connection: As SQLAlchemy takes it.
        modules: Holds the driver; for PYTHONPATH.
    """

    connection: str
    modules: Path


@contextlib.contextmanager
def running_database(
    directory: Path, environment: Environment, driver: Path | None = None
) -> Iterator[Database]:
    """A new cluster below ``directory``, which other users can enter.

    Args:
        directory: The driver goes there too.
        environment: Glance's.
        driver: Where one is already.

    Raises:
        Unavailable: PostgreSQL is not installed, or its driver cannot be.
    """
    programs = max(_PROGRAMS.glob("*/bin"), default=None)
    if programs is None:
        raise Unavailable("no PostgreSQL (Debian: postgresql)")
    modules = driver or _install_driver(directory / "driver", environment)
    place = directory / "postgres"
    place.mkdir()
    # It refuses to run as root.
    user = pwd.getpwnam(_USER).pw_uid if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(place, _USER)

    def run(*command: str | Path) -> None:
        subprocess.run(
            [programs / command[0], *command[1:]], user=user, cwd=place, check=True, stdout=subprocess.DEVNULL
        )

    run("initdb", "--no-sync", "--auth=trust", "--username=glance", "-D", place / "data")
    options = f"-k {place} -c listen_addresses='' {_FAST}"
    run("pg_ctl", "start", "-w", "-D", place / "data", "-l", place / "log", "-o", options)
    try:
        run("createdb", "-h", place, "-U", "glance", "glance")
        yield Database(f"postgresql+psycopg2://glance@/glance?host={place}", modules)
    finally:
        run("pg_ctl", "stop", "-m", "immediate", "-D", place / "data")
        shutil.rmtree(place)


def _install_driver(directory: Path, environment: Environment) -> Path:
    command = [environment.python, "-m", "pip", "install", "--quiet", "--target", directory, DRIVER]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        raise Unavailable(f"{DRIVER} could not be installed")
    return directory
