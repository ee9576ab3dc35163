"""A Glance that all hostings can serve: directory, surroundings, and Python packages they can all read.

Started by root, Apache's processes are www-data's: they must be able to enter what the others own.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from shim.demo.configuration import Settings
from shim.demo.environment import Environment
from shim.demo.glance import Glance
from tests.hosting import apache

MOD_WSGI = apache.MODULES / "mod_wsgi.so"


class Unavailable(Exception):
    """A hosting cannot be had on this machine; the text says why, and what would help."""


@dataclass
class Site:
    """One Glance.

    Attributes:
        directory: Which all hostings' users can enter; it goes with the block.
        name: How often a hosting was started here, for names of their own.
    """

    glance: Glance
    directory: Path
    starts: int = 0

    @property
    def environment(self) -> Environment:
        """The programs."""
        return self.glance.environment

    @property
    def variables(self) -> Mapping[str, str]:
        """Surroundings of a server: all but what the shipped files set."""
        return {
            name: value for name, value in self.glance.variables().items() if name != "OS_GLANCE_CONFIG_DIR"
        }

    @property
    def configuration(self) -> Path:
        """The directory of glance-api.conf: /etc/glance in the shipped files."""
        return self.glance.directory / "etc"

    def next_directory(self, name: str) -> Path:
        """A new directory for a server's own files."""
        self.starts += 1
        directory = self.directory / f"{self.starts}-{name}"
        directory.mkdir()
        return directory

    def give_to_apache(self) -> None:
        """Let Apache's user write what Glance writes; root can in any case."""
        apache.give_to_apache(self.glance.directory)

    def packages_for_apache(self) -> Path:
        """A virtual environment that mod_wsgi can use and Apache's user can enter.

        That is the one all use; or a copy of it, where the way to it is closed, as under /root.

        Raises:
            Unavailable: There is no mod_wsgi, or it is linked to another Python.
        """
        require_mod_wsgi(self.environment)
        if apache.can_enter(self.environment.directory / "lib"):
            return self.environment.directory
        copy = self.directory / "packages"
        if not copy.exists():
            subprocess.run(["cp", "--archive", self.environment.directory, copy], check=True)
        return copy


@contextlib.contextmanager
def make_site(environment: Environment, settings: Settings | None = None) -> Iterator[Site]:
    """A new Glance, ended and removed with the block."""
    with (
        apache.public_directory("site") as directory,
        Glance.make(directory / "glance", environment=environment, settings=settings) as glance,
    ):
        site = Site(glance, directory)
        site.give_to_apache()
        yield site


def require_mod_wsgi(environment: Environment) -> None:
    """Raise Unavailable unless Apache, mod_wsgi and the environment's Python go together."""
    if not apache.PROGRAM.exists() or not MOD_WSGI.exists():
        raise Unavailable("no Apache with mod_wsgi (Debian: apache2, libapache2-mod-wsgi-py3)")
    # Debian's module is a link to the one for its Python: mod_wsgi.so-3.11.
    version = re.fullmatch(r"mod_wsgi\.so-(\d+\.\d+)", MOD_WSGI.resolve().name)
    if version and not (environment.directory / "lib" / f"python{version[1]}").exists():
        raise Unavailable(f"mod_wsgi is linked to Python {version[1]}, {environment.directory} has another")
