"""Who speaks to the shim: which peers are trusted, and whom limits take for one client."""

import ipaddress

from shim.wire.peer import TrustedProxies, client_group
from tests.support.series import series

TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")))


@series(
    ("address", "trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("::1", False),
        (None, False),
        ("unix", False),
        ("", False),
        ("testclient", False),
        ("10.0.0.1:80", False),
    ],
)
def test_trusted_proxies(address, trusted):
    assert TRUSTED.trusts(address) is trusted
    assert TrustedProxies().trusts(address) is False


def test_unix_peers_are_trusted_by_name():
    assert TrustedProxies(unix=True).trusts(None)
    assert not TrustedProxies(unix=True).trusts("10.0.0.1")


@series(
    ("client", "group"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unix", "unix"),
    ],
)
def test_client_groups(client, group):
    assert client_group(client) == group
