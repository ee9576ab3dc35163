"""Puts a member together: its name, its keys, and the server that it asks."""

import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from shim.cloud.member import Member, MemberOptions
from shim.cloud.script import Keys
from shim.cloud.server import Access, ValkeyServer

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class CloudOptions:
    """Which shims share their limits, and through what.

    Attributes:
        access: The server (``limits.shared``).
        name: Shims with the same one, on the same server, belong together (``limits.cloud.name``).
        member: What is let in, and how it is asked for.
    """

    access: Access
    name: str = "default"
    member: MemberOptions = field(default_factory=MemberOptions)


def join_cloud(options: CloudOptions, publish: Callable[[], bytes] = bytes) -> Member:
    """A member under a name of its own; it joins when it is present."""
    return Member(make_server(options), options.member, publish=publish)


def make_server(options: CloudOptions) -> ValkeyServer:
    """The server, as somebody new there sees it."""
    # The host's name is for people who look there; what tells processes apart is chosen anew each time.
    keys = Keys(options.name, f"{shim_name()}-{secrets.token_hex(6)}")
    return ValkeyServer(options.access, keys, options.member.limits, options.member.life)


def shim_name() -> str:
    """What this shim is called in lists: the host's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:_LONGEST_NAME] or "shim"
