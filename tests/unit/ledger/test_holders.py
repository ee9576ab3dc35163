"""Whose share an address counts for."""

import pytest

from shim.ledger.holders import holder_of


@pytest.mark.parametrize(
    ("address", "holder"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("", ""),
        # Whatever a trusted proxy may write: a name of its own is still one holder.
        ("_hidden:x", "_hidden:x"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
    ],
)
def test_holder(address, holder):
    assert holder_of(address) == holder
