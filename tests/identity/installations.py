"""More virtual environments beside the one with Glance: made once with pinned packages, then only found.

Keystone and tempest want versions of their own of what they share with Glance. As in
``shim.demo.environment`` a stamp, written last, says that an environment is whole and what it holds.
"""

import fcntl
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from shim.demo.environment import Environment, demo_home
from shim.demo.installing import Report, install

_STAMP = "glance-shim.stamp"


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment that some tests need, installed or not.

    Attributes:
        name: Of its directory in the demo's home.
        packages: What is asked for; all the others come with them.
        constraints: The file with the versions of them all.
        options: More of pip's own.
    """

    name: str
    packages: tuple[str, ...]
    constraints: Path
    options: tuple[str, ...] = ()

    def ensure(self, home: Path | None = None, *, report: Report = print) -> Environment:
        """The environment, installed first where it must be (some 20 s); one process at a time.

        Raises:
            DemoError: It could not be installed.
        """
        home = home or demo_home()
        directory = home / self.name
        if not self._is_whole(directory):
            home.mkdir(parents=True, exist_ok=True)
            # Whoever holds it ends within pip's limits, and the kernel gives back what the dead have held.
            with (home / f"{self.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._is_whole(directory):
                    self._install(directory, report)
        return Environment(directory)

    def version(self, package: str) -> str:
        """The version of a package, as pinned."""
        pins = dict(line.split("==") for line in self.constraints.read_text().split() if "==" in line)
        return pins[package]

    def _install(self, directory: Path, report: Report) -> None:
        report(f"Installing {', '.join(self.packages)} into {directory}")
        # An old stamp must not outlive the start of the work: an interrupted one would look whole.
        (directory / _STAMP).unlink(missing_ok=True)
        began = time.monotonic()
        log = directory.with_name(f"{self.name}-install.log")
        words = (*self.options, *self.packages)
        install(directory, words, self.constraints, log=log, report=report)
        (directory / _STAMP).write_text(self._fingerprint(directory))
        report(f"  installed in {time.monotonic() - began:.0f} s")

    def _is_whole(self, directory: Path) -> bool:
        stamp = directory / _STAMP
        # The interpreter is a link, which leads nowhere after its Python was removed.
        is_there = (directory / "bin" / "python").exists() and stamp.exists()
        return is_there and stamp.read_text() == self._fingerprint(directory)

    def _fingerprint(self, directory: Path) -> str:
        # The place counts because scripts in a virtual environment name it absolutely.
        interpreter = (directory / "bin" / "python").resolve()
        parts = (
            *self.options,
            *self.packages,
            self.constraints.read_text(),
            str(interpreter),
            str(directory),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# pyuwsgi is uWSGI as a wheel: no compiler is needed.
KEYSTONE = Installation("keystone", ("keystone", "pyuwsgi"), Path(__file__).with_name("constraints.txt"))
