"""A Glance site: a directory with configuration, database and file store, ready to be served.

``environment`` has the programs, ``hosting`` the WSGI servers; several servers may serve one site at once,
but sqlite bears only a few uploads that end together.
"""

import contextlib
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shim.demo import DemoError, tokens
from shim.demo.configuration import PASTE, Settings, default_settings, render_settings
from shim.demo.environment import Environment, ensure_environment
from shim.demo.hosting import Application, Kind, Server, start_server
from shim.demo.processes import Process, own_variables
from shim.timing import Seconds

_SYNC_LIMIT: Seconds = 180.0
_DIRECTORIES = ("etc", "images", "second", "staging", "tasks", "temporary", "modules", "log")


class Glance:
    """One Glance: its data, and the servers that serve it; leaving the ``with`` block ends these.

    Attributes:
        directory: Holds everything of it; removing it is the caller's affair.
        environment: The programs it runs on.
    """

    def __init__(self, directory: Path, environment: Environment) -> None:
        self.directory = directory
        self.environment = environment
        self._servers = contextlib.ExitStack()
        self._numbers = itertools.count(1)

    @classmethod
    def make(
        cls, directory: Path, *, environment: Environment | None = None, settings: Settings | None = None
    ) -> Self:
        """A new Glance with an empty database in ``directory``.

        Args:
            directory: Made where it is missing.
            environment: Installed first where it must be, if none is given.
            settings: What to change in glance-api.conf: section, option, value.

        Raises:
            DemoError: Glance could not be installed, or its database not be made.
        """
        glance = cls(directory.absolute(), environment or ensure_environment())
        glance._write_files(settings or {})
        if settings and "database" in settings:
            glance._sync_database()
        else:
            glance._make_database()
        return glance

    def serve(
        self, *kinds: Kind, workers: int = 2, threads: int = 1, arguments: Sequence[str] = ()
    ) -> Server:
        """Start it under a WSGI server, and wait until it answers.

        Args:
            kinds: One of ``KINDS``; or several ``uwsgi-…``, which are then sockets of one uWSGI.
            workers: Processes.
            threads: Threads in each; more than one makes gunicorn's workers gthread.
            arguments: More arguments for the server's command line, after ours.

        Raises:
            DemoError: It ended, or did not answer in time; the text has the end of its log.
        """
        application = Application(
            environment=self.environment,
            directory=self.directory,
            name=f"server-{next(self._numbers)}",
            module="glance.wsgi.api:application",
            variables=self.variables(),
        )
        server = start_server(application, kinds, workers=workers, threads=threads, arguments=arguments)
        return self._servers.enter_context(server)

    def variables(self) -> Mapping[str, str]:
        """The environment variables that a server of it needs, as its whole environment."""
        return own_variables(
            OS_GLANCE_CONFIG_DIR=str(self.directory / "etc"),
            PYTHONPATH=str(self.directory / "modules"),
            TMPDIR=str(self.directory / "temporary"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.close()

    def _write_files(self, changes: Settings) -> None:
        for name in _DIRECTORIES:
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        settings = default_settings(self.directory, self.environment.python)
        (self.directory / "etc/glance-api.conf").write_text(render_settings(settings, changes))
        (self.directory / "etc/glance-api-paste.ini").write_text(PASTE)
        shutil.copyfile(tokens.__file__, self.directory / "modules/glance_shim_tokens.py")

    def _make_database(self) -> None:
        kept, own = self.environment.empty_database, self.directory / "glance.sqlite"
        if kept.exists():
            shutil.copyfile(kept, own)
            return
        self._sync_database()
        # Beside it first: others may look for it in the same moment. An environment may be read-only.
        with contextlib.suppress(OSError):
            beside = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(own, beside)
            beside.rename(kept)

    def _sync_database(self) -> None:
        manage = self.environment.program("glance-manage")
        configuration = self.directory / "etc/glance-api.conf"
        command: list[str | Path] = [manage, "--config-file", configuration, "db", "sync"]
        sync = Process.start(command, log=self.directory / "log/database.log", variables=self.variables())
        if sync.finish(_SYNC_LIMIT):
            raise DemoError(f"glance-manage db sync failed:\n{sync.tail()}")
