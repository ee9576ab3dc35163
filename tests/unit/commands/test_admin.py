"""Which of a shim's admin listeners a command asks, where no flag says it."""

import pytest

from shim.commands.admin import first_listener, obeying_listener
from shim.config.settings import Settings

TCP, UNIX = "127.0.0.1:9293", "unix:/run/glance-shim/admin.sock"


def settings(*listen, token=None):
    return Settings.model_validate({"admin": {"listen": list(listen), "token": token}})


@pytest.mark.parametrize(
    ("listen", "token", "obeying"),
    [
        ([TCP], None, TCP),
        ([UNIX], None, UNIX),
        ([TCP, UNIX], None, UNIX),
        ([TCP, UNIX], "a-token-of-some-length", TCP),
    ],
    ids=["one address", "one socket", "a socket among them", "a token"],
)
def test_orders_go_where_they_are_obeyed(listen, token, obeying):
    configured = settings(*listen, token=token)
    assert obeying_listener(configured) == obeying
    assert first_listener(configured) == listen[0]


@pytest.mark.parametrize("listener", [first_listener, obeying_listener])
def test_a_shim_without_an_admin_listener(listener):
    with pytest.raises(ValueError, match="no admin listener"):
        listener(settings())
