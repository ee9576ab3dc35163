"""Keystone's API as far as tests need it: tokens, projects, users, roles, and the catalog's endpoints.

Names stand for themselves: one domain holds them all, and what is there already is left as it is.
"""

from http import HTTPStatus
from typing import Any

import httpx

from shim.demo import DemoError
from shim.timing import Seconds

DOMAIN = "default"
REGION = "RegionOne"
_LIMIT: Seconds = 30.0
_INTERFACES = ("public", "internal", "admin")


class IdentityError(DemoError):
    """Keystone said something else than was expected."""


class Identity:
    """Keystone at ``url``, asked as an administrator.

    Attributes:
        url: Its address, without a version.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._password = password
        self._token = ""
        # No proxy of the person who runs the tests is asked for 127.0.0.1.
        self._client = httpx.Client(base_url=f"{url}/v3", trust_env=False, timeout=_LIMIT)

    # -- tokens -----------------------------------------------------------------------------------

    def get_token(self, user: str, password: str, project: str) -> str:
        """A new token of a user for a project.

        Raises:
            IdentityError: Keystone gives none, as for a wrong password.
        """
        domain = {"id": DOMAIN}
        question = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": user, "domain": domain, "password": password}},
                },
                "scope": {"project": {"name": project, "domain": domain}},
            }
        }
        answer = self._client.post("/auth/tokens", json=question)
        if answer.status_code != HTTPStatus.CREATED:
            raise IdentityError(f"no token for {user} in {project}: {answer.status_code} {answer.text[:300]}")
        return answer.headers["X-Subject-Token"]

    def knows(self, token: str) -> bool:
        """Whether a token is valid now, in keystone's own eyes."""
        status = self._ask("GET", "/auth/tokens", (200, 404), headers={"X-Subject-Token": token}).status_code
        return status == HTTPStatus.OK

    def revoke(self, token: str) -> None:
        """Make a token invalid before its time."""
        self._ask("DELETE", "/auth/tokens", (204,), headers={"X-Subject-Token": token})

    # -- people -----------------------------------------------------------------------------------

    def add_project(self, name: str) -> str:
        """The id of a project, made where it is missing."""
        return self._ensure("project", name, domain_id=DOMAIN)

    def add_role(self, name: str) -> str:
        """The id of a role, made where it is missing."""
        return self._ensure("role", name)

    def add_user(self, name: str, password: str, project: str, *roles: str) -> str:
        """The id of a user who has these roles in a project; all of it is made where it is missing."""
        user = self._ensure("user", name, domain_id=DOMAIN, password=password)
        place = f"/projects/{self.add_project(project)}/users/{user}/roles"
        for role in roles:
            self._ask("PUT", f"{place}/{self.add_role(role)}", (204,))
        return user

    # -- catalog ----------------------------------------------------------------------------------

    def set_endpoint(self, service: str, url: str) -> None:
        """Let the catalog lead to ``url`` for a service type such as ``image``, for every interface."""
        identity = self._ensure("service", service, type=service)
        found = self._ask("GET", "/endpoints", (200,), params={"service_id": identity}).json()["endpoints"]
        known = {endpoint["interface"]: endpoint["id"] for endpoint in found}
        for interface in _INTERFACES:
            if endpoint := known.get(interface):
                self._ask("PATCH", f"/endpoints/{endpoint}", (200,), json={"endpoint": {"url": url}})
                continue
            new = {"service_id": identity, "interface": interface, "url": url, "region_id": REGION}
            self._ask("POST", "/endpoints", (201,), json={"endpoint": new})

    def _ensure(self, kind: str, name: str, **values: str) -> str:
        found = self._ask("GET", f"/{kind}s", (200,), params={"name": name}).json()[f"{kind}s"]
        if found:
            return found[0]["id"]
        body = {kind: {"name": name, **values}}
        return self._ask("POST", f"/{kind}s", (201,), json=body).json()[kind]["id"]

    def _ask(
        self,
        method: str,
        path: str,
        expected: tuple[int, ...],
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        answer = self._as_administrator(method, path, headers, more)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            # Where tokens live for seconds, ours has ended too.
            self._token = ""
            answer = self._as_administrator(method, path, headers, more)
        if answer.status_code not in expected:
            raise IdentityError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def _as_administrator(
        self, method: str, path: str, headers: dict[str, str] | None, more: dict[str, Any]
    ) -> httpx.Response:
        self._token = self._token or self.get_token("admin", self._password, "admin")
        tokens = {"X-Auth-Token": self._token, **(headers or {})}
        return self._client.request(method, path, headers=tokens, **more)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
