"""Who the shim is for keystone, as a value, and what it asks of keystone with it.

``service_token`` asks, and keeps what it got.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who the shim is for keystone (``glance.service_auth``).

    Attributes:
        auth_url: Keystone's address with its version, as in ``https://keystone.example:5000/v3``.
        ca_file: Who signed keystone's certificate; None: the system's authorities.
    """

    auth_url: str
    username: str
    password: str = field(repr=False)
    project_name: str = "service"
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"
    ca_file: Path | None = None

    def request(self) -> dict[str, Any]:
        """What keystone is asked: a token by password, for the account's project (Identity API v3)."""
        user = {
            "name": self.username,
            "domain": {"name": self.user_domain_name},
            "password": self.password,
        }
        project = {"name": self.project_name, "domain": {"name": self.project_domain_name}}
        identity = {"methods": ["password"], "password": {"user": user}}
        return {"auth": {"identity": identity, "scope": {"project": project}}}
