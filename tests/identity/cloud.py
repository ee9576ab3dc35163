"""Keystone and a Glance that trusts it, running: what a test of tokens needs, in one ``with`` block.

There is one user, who may upload, and the user of a service, whose token vouches for others' expired ones.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shim.demo.configuration import Settings
from shim.demo.environment import Environment
from shim.demo.glance import Glance
from shim.demo.hosting import Kind, Server
from tests.identity.api import Identity
from tests.identity.keystone import PASSWORD, Keystone, token_settings
from tests.identity.site import GLANCE_USER, SERVICE_PROJECT, SERVICE_ROLE, make_glance

USER = "alice"
PROJECT = "demo"
VOUCHER = "shim"
"""A service's user with no role but ``service``: enough for X-Service-Token."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A running Keystone and Glance.

    Attributes:
        identity: Keystone, asked as an administrator.
        glance: The site.
        server: What serves it; the catalog leads to its first address, where that is HTTP.
    """

    identity: Identity
    glance: Glance
    server: Server

    def user_token(self) -> str:
        """A new token of the user, for his project."""
        return self.identity.get_token(USER, PASSWORD, PROJECT)

    def service_token(self) -> str:
        """A new token of a user with the role ``service``."""
        return self.identity.get_token(VOUCHER, PASSWORD, SERVICE_PROJECT)

    def glance_token(self) -> str:
        """A new token of Glance's own user, who has the roles ``admin`` and ``service``."""
        return self.identity.get_token(GLANCE_USER, PASSWORD, SERVICE_PROJECT)


@contextlib.contextmanager
def open_cloud(
    directory: Path,
    environment: Environment,
    *kinds: Kind,
    life: int = 3600,
    window: int = 3600,
    settings: Settings | None = None,
) -> Iterator[Cloud]:
    """Start both, and end both.

    Args:
        directory: Made where it is missing.
        environment: Glance's; keystone's is installed where it must be.
        kinds: How Glance is hosted; gunicorn, which takes chunked bodies, where none is given.
        life: How long tokens are valid, in seconds.
        window: How much longer they are with a valid X-Service-Token, in seconds.
        settings: What to change in glance-api.conf.
    """
    with contextlib.ExitStack() as ends:
        tokens = token_settings(life=life, window=window)
        keystone = ends.enter_context(Keystone.make(directory / "keystone", settings=tokens))
        identity = keystone.serve()
        identity.add_user(USER, PASSWORD, PROJECT, "member", "reader")
        identity.add_user(VOUCHER, PASSWORD, SERVICE_PROJECT, SERVICE_ROLE)
        site = make_glance(directory / "glance", identity, environment, settings=settings)
        server = ends.enter_context(site).serve(*(kinds or ("gunicorn",)))
        if server.url.startswith("http"):
            identity.set_endpoint("image", server.url)
        yield Cloud(identity, site, server)
