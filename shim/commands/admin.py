"""What the commands that ask a running shim have in common: where it is, with which token, and its faults.

Flags come first; what they leave open is taken from the shim's own configuration (``--config``, the
environment), so that on its own machine nothing has to be said twice.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from shim.commands import FAILED, WRONG_USAGE, load_or_report
from shim.config.settings import Settings
from shim.console.client import AdminClient, AdminError, parse_admin
from shim.server.addresses import UnixAddress


@dataclass(frozen=True, slots=True)
class AdminFlags:
    """``--admin``, ``--token-file``, ``--config``."""

    admin: str | None = None
    token_file: Path | None = None
    config: Path | None = None


def first_listener(settings: Settings) -> str:
    """Where the shim of this configuration shows itself; raises ValueError where it does so nowhere."""
    if not settings.admin.listen:
        raise ValueError("admin.listen is empty: this shim has no admin listener")
    return str(settings.admin.listen[0])


def obeying_listener(settings: Settings) -> str:
    """Where it takes orders: without a token that is a unix socket, if there is one."""
    if settings.admin.token is None:
        for address in settings.admin.listen:
            if isinstance(address, UnixAddress):
                return str(address)
    return first_listener(settings)


def with_admin(
    flags: AdminFlags,
    work: Callable[[AdminClient], Awaitable[int]],
    *,
    listener: Callable[[Settings], str] = first_listener,
) -> int:
    """Do some work with a running shim; the exit status, faults are told on standard error.

    Args:
        flags: What the command was given; ``listener`` names what ``--admin`` leaves open.
        work: Gives the exit status, or raises AdminError.
        listener: Which of the configured addresses to ask.
    """
    loaded = load_or_report(flags.config)
    if loaded is None:
        return WRONG_USAGE
    try:
        address = parse_admin(flags.admin or listener(loaded.settings))
        token = _token(flags.token_file, loaded.settings)
    except (ValueError, OSError) as error:
        print(f"glance-shim: {error}", file=sys.stderr)
        return WRONG_USAGE

    async def run() -> int:
        async with AdminClient(address, token) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except AdminError as error:
        print(f"glance-shim: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 0


def _token(file: Path | None, settings: Settings) -> str | None:
    if file is not None:
        return file.read_text().strip()
    return None if settings.admin.token is None else settings.admin.token.get_secret_value()
