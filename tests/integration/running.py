"""Starting what stands behind the clients: the shim as an operator has it, and the echo application."""

import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from shim.demo.environment import Environment
from shim.demo.hosting import Application, Kind, Server, start_server
from shim.demo.processes import own_variables
from tests.integration import echo
from tests.support.forks import parent
from tests.support.shim import Shim

WORKERS = 2
"""Processes of an echo server."""


def run_shim(
    folder: Path,
    upstream: str | None,
    *,
    ready: int = 200,
    environment: Mapping[str, str] | None = None,
    forked: bool = True,
    **settings: object,
) -> Shim:
    """A shim with the product's own defaults, but for what is given.

    Option names have ``__`` for their dot; ``ready`` is what /readyz will say. It is ``forked`` from one that
    has imported the program, but where the interpreter has to see its environment, or is measured itself.
    """
    given = {name.replace("__", "."): value for name, value in settings.items()}
    defaults = {"upstream": upstream, "body": None, "service": None}
    return Shim(
        folder,
        {**defaults, **given},
        ready=ready,
        environment=environment,
        forked=forked and environment is None,
    )


def serve_echo(
    environment: Environment, directory: Path, kind: Kind, threads: int = 1, arguments: Sequence[str] = ()
) -> Server:
    """The echo application under a server; ``arguments`` come after ours on its command line."""
    application = Application(
        environment=environment,
        directory=directory,
        name="echo",
        module="echo:application",
        variables=own_variables(PYTHONPATH=str(Path(echo.__file__).parent), PYTHONDONTWRITEBYTECODE="1"),
    )
    return start_server(application, [kind], workers=WORKERS, threads=threads, arguments=arguments)


def check(directory: Path, upstream: str) -> tuple[int, str]:
    """``glance-shim check`` of an upstream: its exit status, and all that it printed."""
    return check_settings(directory, upstream)


def check_settings(directory: Path, upstream: str | None, *settings: str) -> tuple[int, str]:
    """The same, with settings as ``KEY=VALUE`` beside the spool directory."""
    arguments = ["check"]
    arguments += [] if upstream is None else ["--upstream", upstream]
    for setting in (f"spool.directory={directory}", *settings):
        arguments += ["--set", setting]
    with tempfile.NamedTemporaryFile() as log:
        process = parent().start(arguments, os.environ, Path(log.name))
        try:
            return process.wait(60), log.read().decode()
        finally:
            process.send_signal(signal.SIGKILL)
