"""What took part, as each program says of itself: versions for the head of the tables."""

import importlib.metadata
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shim.demo.environment import Environment
from tests.fronts.fronts import HAPROXY
from tests.fronts.nginx import NGINX
from tests.hosting import apache
from tests.hosting.site import MOD_WSGI

PACKAGES = ("glance", "python-glanceclient", "openstacksdk", "pyuwsgi", "gunicorn")

DPKG = Path("/usr/bin/dpkg-query")

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def versions(environment: Environment) -> dict[str, str]:
    """By name, of all that is installed here."""
    return {
        "glance-shim": importlib.metadata.version("glance-shim"),
        **_packages(environment),
        **dict(_programs()),
    }


def _packages(environment: Environment) -> dict[str, str]:
    """Of the environment with Glance; and of its Python."""
    question = (
        "import platform, sys; from importlib.metadata import version\n"
        "for name in sys.argv[1:]: print(name, version(name))\n"
        "print('Python', platform.python_version())"
    )
    told = _ask(environment.python, "-c", question, *PACKAGES)
    return dict(line.split(maxsplit=1) for line in told.splitlines())


def _programs() -> Iterator[tuple[str, str]]:
    for name, program, option in (
        ("curl", Path("/usr/bin/curl"), "--version"),
        ("Apache", apache.PROGRAM, "-v"),
        ("nginx", NGINX, "-v"),
        ("HAProxy", HAPROXY, "-v"),
    ):
        if program.exists():
            yield name, first_version(_ask(program, option))
    # A module has no command to ask; its package knows.
    if MOD_WSGI.exists() and DPKG.exists():
        yield "mod_wsgi", first_version(_ask(DPKG, "-W", "-f", "${Version}", "libapache2-mod-wsgi-py3"))


def first_version(told: str) -> str:
    """The first thing in a program's words that looks like a version."""
    found = _VERSION.search(told)
    return found[0] if found else "unknown"


def _ask(*command: str | Path) -> str:
    # nginx tells its version on standard error.
    asked = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return asked.stdout
