"""A Glance site whose tokens are Keystone's: Glance's own pipeline with keystonemiddleware in it.

Only settings differ from the demo's Glance; it is served and ended like that one.
"""

from collections.abc import Mapping
from pathlib import Path

from shim.demo.configuration import Settings
from shim.demo.environment import Environment
from shim.demo.glance import Glance
from tests.identity.api import DOMAIN, Identity
from tests.identity.keystone import PASSWORD

SERVICE_PROJECT = "service"
SERVICE_ROLE = "service"
"""Who has it may send X-Service-Token, and have expired tokens of others accepted."""

GLANCE_USER = "glance"


def make_glance(
    directory: Path,
    identity: Identity,
    environment: Environment,
    *,
    flavor: str = "keystone",
    settings: Settings | None = None,
) -> Glance:
    """A new Glance with an empty database that asks ``identity`` about tokens.

    Args:
        directory: Made where it is missing.
        identity: A running Keystone; Glance's own user is made there.
        environment: Glance's.
        flavor: Of the pipelines in Glance's own paste file.
        settings: What to change in glance-api.conf, over what is given here.
    """
    identity.add_user(GLANCE_USER, PASSWORD, SERVICE_PROJECT, "admin", SERVICE_ROLE)
    paste = environment.directory / "etc/glance/glance-api-paste.ini"
    ours = {
        "paste_deploy": {"config_file": str(paste), "flavor": flavor},
        "keystone_authtoken": authtoken_settings(identity),
        # Glance's own defaults, which the demo's token filter cannot meet.
        "oslo_policy": {"enforce_scope": "true", "enforce_new_defaults": "true"},
    }
    return Glance.make(directory, environment=environment, settings=merge(ours, settings or {}))


def authtoken_settings(identity: Identity) -> dict[str, str]:
    """Section keystone_authtoken of glance-api.conf."""
    return {
        "www_authenticate_uri": f"{identity.url}/v3",
        "auth_url": f"{identity.url}/v3",
        "auth_type": "password",
        "username": GLANCE_USER,
        "password": PASSWORD,
        "project_name": SERVICE_PROJECT,
        "user_domain_id": DOMAIN,
        "project_domain_id": DOMAIN,
        "service_token_roles": SERVICE_ROLE,
        "service_token_roles_required": "true",
        # No cache, so every request asks keystone: with it each worker for itself says for five minutes what
        # it was told once, also of a token revoked meanwhile, or expired longer than allow_expired_window.
        "token_cache_time": "-1",
    }


def merge(settings: Settings, changes: Settings) -> dict[str, Mapping[str, str]]:
    """``settings`` with ``changes`` over them, option by option."""
    return {
        section: {**settings.get(section, {}), **changes.get(section, {})}
        for section in (*settings, *(name for name in changes if name not in settings))
    }
