"""Addresses of the shared server: what they mean, how they are shown, and that no password is told."""

import pytest

from shim.cloud.address import SharedAddress, parse_shared
from tests.support.series import series

MEANINGS = {
    "redis://h": SharedAddress("h"),
    "redis://h:7000/2": SharedAddress("h", 7000, database=2),
    "rediss://h": SharedAddress("h", tls=True),
    "redis://[2001:db8::1]:7000": SharedAddress("2001:db8::1", 7000),
    "redis://shim@h": SharedAddress("h", username="shim"),
    "redis://h?db=4": SharedAddress("h", database=4),
    "unix:///run/v.sock": SharedAddress(path="/run/v.sock"),
    "unix:///run/v%20w.sock?db=3": SharedAddress(path="/run/v w.sock", database=3),
}


@series(("text", "address"), MEANINGS.items())
def test_meaning(text, address):
    assert parse_shared(text) == address
    assert parse_shared(str(address)) == address


def test_a_password_is_taken_and_never_shown():
    address = parse_shared("rediss://sh%40im:se%3Acret@h:7000/1")
    assert (address.username, address.password) == ("sh@im", "se:cret")
    assert "cret" not in f"{address} {address!r}"
    assert parse_shared(str(address)).username == "sh@im"


@series(
    ("text", "message"),
    [
        ("http://u:secret@h", "not the URL of a Valkey or Redis server"),
        ("secret", "not the URL"),
        ("redis://u:secret@", "names no host"),
        ("redis://u:secret@h:x", "not a URL"),
        ("redis://u:secret@h:99999", "not a URL"),
        ("redis://u:secret@[h", "not a URL"),
        ("redis://u:secret@h/one", "has to be a number"),
        ("redis://u:secret@h?password=secret", "all that may stand behind"),
        ("redis://u:secret@h#secret", "not the URL"),
        ("unix://secret/run", "not the path of a socket"),
        ("unix:secret", "not the path of a socket"),
    ],
)
def test_a_fault_says_what_to_write_and_repeats_nothing(text, message):
    with pytest.raises(ValueError, match=message) as fault:
        parse_shared(text)
    assert "secret" not in str(fault.value)
    assert fault.value.__context__ is None or fault.value.__suppress_context__
