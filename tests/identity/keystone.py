"""A Keystone site: a directory with configuration, keys and database, and the uWSGI that serves it.

Everything is on sqlite with passwords hashed in few rounds: for tests on one machine, and quick.
"""

import base64
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from shim.demo import DemoError
from shim.demo.configuration import Settings, render_settings
from shim.demo.environment import Environment
from shim.demo.hosting import Application, Server, start_server
from shim.demo.processes import Process, own_variables
from shim.timing import Seconds
from tests.identity.api import REGION, Identity
from tests.identity.installations import KEYSTONE

PASSWORD = "secret"
"""Of every user, the administrator too."""

_MANAGE_LIMIT: Seconds = 180.0
_KEYS = ("fernet", "credentials")


class Keystone:
    """One Keystone: its data, and the server that serves it; leaving the ``with`` block ends that.

    Attributes:
        directory: Holds everything of it.
        environment: The programs it runs on.
    """

    def __init__(self, directory: Path, environment: Environment) -> None:
        self.directory = directory
        self.environment = environment
        self._ends = contextlib.ExitStack()

    @classmethod
    def make(
        cls, directory: Path, *, environment: Environment | None = None, settings: Settings | None = None
    ) -> Self:
        """A new Keystone with the user ``admin`` in the project ``admin``.

        Args:
            directory: Made where it is missing.
            environment: Installed first where it must be, if none is given.
            settings: What to change in keystone.conf: section, option, value.

        Raises:
            DemoError: Keystone could not be installed, or its database not be made.
        """
        keystone = cls(directory.absolute(), environment or KEYSTONE.ensure())
        keystone._write_files(settings or {})
        keystone._manage("db_sync")
        keystone._manage("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION)
        return keystone

    def serve(self) -> Identity:
        """Start it under uWSGI, and put its own address in the catalog.

        Raises:
            DemoError: It ended, or did not answer in time.
        """
        identity = Identity(self._start().url, PASSWORD)
        self._ends.callback(identity.close)
        # Who validates tokens finds keystone in the catalog of its own token.
        identity.set_endpoint("identity", f"{identity.url}/v3")
        return identity

    def _start(self) -> Server:
        application = Application(
            environment=self.environment,
            directory=self.directory,
            name="keystone",
            module="keystone.wsgi.api:application",
            variables=self._variables(),
        )
        # One process: what one caches in its memory, another would not see changed. http-socket closes
        # every connection after its answer: clients that are not told so reuse it and meet a reset.
        arguments = ["--add-header", "Connection: close"]
        server = start_server(application, ["uwsgi-http-socket"], workers=1, threads=1, arguments=arguments)
        return self._ends.enter_context(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _write_files(self, changes: Settings) -> None:
        (self.directory / "etc").mkdir(parents=True, exist_ok=True)
        for name in _KEYS:
            _write_keys(self.directory / name)
        settings = default_settings(self.directory)
        (self.directory / "etc/keystone.conf").write_text(render_settings(settings, changes))

    def _manage(self, *arguments: str) -> None:
        manage = self.environment.program("keystone-manage")
        configuration = self.directory / "etc/keystone.conf"
        command: list[str | Path] = [manage, "--config-file", configuration, *arguments]
        log = self.directory / "log/manage.log"
        process = Process.start(command, log=log, variables=self._variables())
        if process.finish(_MANAGE_LIMIT):
            raise DemoError(f"keystone-manage {arguments[0]} failed:\n{process.tail()}")

    def _variables(self) -> Mapping[str, str]:
        return own_variables(
            OS_KEYSTONE_CONFIG_DIR=str(self.directory / "etc"), OS_KEYSTONE_CONFIG_FILES="keystone.conf"
        )


def _write_keys(directory: Path) -> None:
    """Write what ``keystone-manage fernet_setup`` would: the next key, 0, and the one in use, 1."""
    # keystone warns of keys that others may read.
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in ("0", "1"):
        (directory / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))


def default_settings(site: Path) -> dict[str, dict[str, str]]:
    """Sections and options of keystone.conf for a site in the directory ``site``."""
    keys = {"key_repository": f"{site}/fernet"}
    return {
        # sqlite waits so many seconds for a lock.
        "database": {"connection": f"sqlite:///{site}/keystone.sqlite?timeout=60"},
        "token": {"provider": "fernet"},
        "fernet_tokens": keys,
        "fernet_receipts": keys,
        "credential": {"key_repository": f"{site}/credentials"},
        "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
        # bcrypt's least: the default takes a good part of a second for every password.
        "identity": {"password_hash_rounds": "4"},
    }


def token_settings(*, life: int, window: int = 3600) -> Settings:
    """Settings for tokens that are valid for ``life`` seconds.

    For ``window`` seconds more, keystone still validates them for who asks it to allow expired ones.
    """
    return {"token": {"expiration": str(life), "allow_expired_window": str(window)}}
