"""The paste filter that stands in for Keystone."""

from shim.demo.tokens import TokenFilter, factory, identify
from tests.support.series import series


@series(
    ("token", "project", "roles"),
    [
        ("", "demo", "admin,member,reader"),
        ("admin", "demo", "admin,member,reader"),
        ("any:thing", "demo", "admin,member,reader"),
        ("ann:red:member", "red", "member,member,reader"),
        ("ann%3Ared%3Areader", "red", "reader,member,reader"),
    ],
)
def test_a_token_is_an_identity(token, project, roles):
    found = identify(token)
    assert found["HTTP_X_IDENTITY_STATUS"] == "Confirmed"
    assert found["HTTP_X_PROJECT_ID"] == found["HTTP_X_TENANT_ID"] == project
    assert found["HTTP_X_ROLES"] == roles


def test_the_bad_token_is_nobody():
    assert identify("bad") == {"HTTP_X_IDENTITY_STATUS": "Invalid"}


def test_a_client_cannot_name_its_own_roles():
    seen = {}
    application = factory({})(lambda variables, _start: seen.update(variables) or [])
    application({"HTTP_X_AUTH_TOKEN": "bad", "HTTP_X_ROLES": "admin", "PATH_INFO": "/"}, None)
    assert isinstance(application, TokenFilter)
    assert seen == {"HTTP_X_AUTH_TOKEN": "bad", "PATH_INFO": "/", "HTTP_X_IDENTITY_STATUS": "Invalid"}
