"""A Python with Glance and all that the shim needs, as where an operator installs the shim beside Glance.

The demo's environment stays as it is: a second, small one sees its packages and adds what is missing. pip
chooses as it would in one environment, so versions that do not go together are found here too.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.demo.environment import Environment, demo_home
from shim.demo.glance import Glance
from tests.support.shim import Settings, Shim

APPLICATION = "wsgi:glance.wsgi.api:application"
LIMIT = 600.0
"""Seconds that pip may take."""


def ensure_python(environment: Environment) -> Path:
    """The interpreter, its environment made first where it is not there; skips where pip has no packages."""
    home = demo_home()
    directory, log = home / "in-process", home / "in-process.log"
    with _lock(home):
        stamp = directory / "glance-shim.stamp"
        wanted = _fingerprint(environment)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(directory, ignore_errors=True)
            try:
                _make(environment, directory, log)
            except subprocess.SubprocessError as error:
                pytest.skip(f"no Python with both Glance and the shim: {error}; see {log}")
            stamp.write_text(wanted)
    return directory / "bin" / "python"


def run_inside(folder: Path, python: Path, glance: Glance, **settings: object) -> Shim:
    """A shim with this Glance in its own process, with the product's defaults but for what is given."""
    given: Settings = {name.replace("__", "."): value for name, value in settings.items()}
    return Shim(
        folder,
        {"upstream": APPLICATION, "body": None, "service": None, **given},
        environment=_own_part(glance),
        python=python,
    )


def _own_part(glance: Glance) -> dict[str, str]:
    return {name: value for name, value in glance.variables().items() if os.environ.get(name) != value}


def requirements() -> list[str]:
    """What the shim says that it needs, without its extras."""
    return [line for line in importlib.metadata.requires("glance-shim") or [] if "extra ==" not in line]


def _fingerprint(environment: Environment) -> str:
    stamp = (environment.directory / "glance-shim.stamp").read_text()
    return hashlib.sha256("\n".join([stamp, *requirements()]).encode()).hexdigest()


def _make(environment: Environment, directory: Path, log: Path) -> None:
    with log.open("wb") as output:

        def run(*command: str | Path) -> None:
            subprocess.run(command, stdout=output, stderr=output, check=True, timeout=LIMIT)

        run(environment.python, "-m", "venv", "--without-pip", directory)
        # Both interpreters are one, so the places are called alike. Before pip: it is to see what is there.
        (packages,) = (directory / "lib").glob("python3*/site-packages")
        glances = environment.directory / packages.relative_to(directory)
        (packages / "glance.pth").write_text(f"import site; site.addsitedir({str(glances)!r})\n")
        quiet = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
        pip = (environment.python, "-m", "pip", "--python", directory / "bin" / "python")
        run(*pip, "install", *quiet, *requirements())


@contextlib.contextmanager
def _lock(home: Path) -> Iterator[None]:
    with (home / "in-process.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
