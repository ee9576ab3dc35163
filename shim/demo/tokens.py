"""A paste filter in the place of keystonemiddleware, so that Glance needs no Keystone.

``glance`` copies this file beside its configuration, and Glance imports it there: it knows nothing of the
shim. Any token is an administrator's, ``bad`` is refused, ``user:project:role`` is just that.
"""

from collections.abc import Callable, Iterable
from typing import Any

Variables = dict[str, Any]
Application = Callable[[Variables, Any], Iterable[bytes]]

ADMINISTRATOR = ("demo", "demo", "admin")
# Set by the filter alone: a client that sends them must not become who it likes.
_IDENTITY = ("IDENTITY_STATUS", "USER_ID", "PROJECT_ID", "TENANT_ID", "ROLES", "DOMAIN_ID")


class TokenFilter:
    """Turns X-Auth-Token into the identity headers that Glance's context filter reads."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, variables: Variables, start_response: Any) -> Iterable[bytes]:
        """Pass the request on with its identity; an invalid one becomes a 401 further on."""
        for name in _IDENTITY:
            variables.pop(f"HTTP_X_{name}", None)
        variables |= identify(variables.get("HTTP_X_AUTH_TOKEN", ""))
        return self.application(variables, start_response)


def identify(token: str) -> Variables:
    """The variables that say who a token's owner is."""
    if token == "bad":  # noqa: S105 - the one token that everybody may know
        return {"HTTP_X_IDENTITY_STATUS": "Invalid"}
    # The glance command sends its token percent-encoded.
    parts = token.replace("%3A", ":").split(":")
    user, project, role = parts if len(parts) == len(ADMINISTRATOR) else ADMINISTRATOR
    return {
        "HTTP_X_IDENTITY_STATUS": "Confirmed",
        "HTTP_X_USER_ID": user,
        "HTTP_X_PROJECT_ID": project,
        "HTTP_X_TENANT_ID": project,
        "HTTP_X_ROLES": f"{role},member,reader",
    }


def factory(_global_settings: Variables, **_settings: str) -> type[TokenFilter]:
    """What paste calls: ``paste.filter_factory = glance_shim_tokens:factory``."""
    return TokenFilter
