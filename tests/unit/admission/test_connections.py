"""Connections let in: of all clients, of one address, and who is no single client."""

import ipaddress

import pytest

from shim.admission.connections import ConnectionGate
from shim.errors import ProjectLimit, QueueFull
from shim.ledger.counts import LocalLedger
from shim.timing import UNLIMITED
from shim.wire.peer import TrustedProxies

PROXIES = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"),))


def test_of_all_clients():
    gate = ConnectionGate(2)
    first, _second = gate.admit("192.0.2.1"), gate.admit(None)
    with pytest.raises(QueueFull) as refusal:
        gate.admit("192.0.2.2")
    assert refusal.value.retry_after == 5
    assert gate.open == 2
    first.give_back()
    first.give_back()
    assert gate.open == 1
    gate.admit("192.0.2.2")
    with pytest.raises(QueueFull):
        gate.admit("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),
    ],
)
def test_of_one_address(one, same):
    gate = ConnectionGate(10, 2)
    place = gate.admit(one)
    gate.admit(same)
    for address in (one, same):
        with pytest.raises(ProjectLimit) as refusal:
            gate.admit(address)
        assert refusal.value.retry_after == 5
    gate.admit("192.0.2.9")
    place.give_back()
    gate.admit(same)
    assert gate.open == 3


@pytest.mark.parametrize("many", ["10.1.2.3", "::ffff:10.1.2.3", None])
def test_who_stands_for_many_clients_has_no_limit_of_its_own(many):
    gate = ConnectionGate(5, 1, trusted=PROXIES)
    places = [gate.admit(many) for _ in range(5)]
    assert gate.open == 5
    with pytest.raises(QueueFull):
        gate.admit("192.0.2.1")
    for place in places:
        place.give_back()
    assert gate.open == 0


def test_over_both_limits_it_is_the_address_that_is_told():
    gate = ConnectionGate(1, 1)
    gate.admit("192.0.2.1")
    with pytest.raises(ProjectLimit):
        gate.admit("192.0.2.1")


def test_several_gates_over_one_ledger():
    ledger = LocalLedger()
    one, other = ConnectionGate(2, UNLIMITED, ledger), ConnectionGate(2, UNLIMITED, ledger)
    one.admit("a")
    other.admit("b")
    with pytest.raises(QueueFull):
        one.admit("c")


def test_guests():
    """Those who are refused take the place of nobody else; whatever their number, somebody else is let in."""
    gate = ConnectionGate(3, 1)
    gate.admit("192.0.2.1")
    guests = []
    for _ in range(3):
        with pytest.raises(ProjectLimit):
            gate.admit("192.0.2.1")
        guests.append(gate.admit_guest())
    assert None not in guests
    assert gate.admit_guest() is None
    assert gate.open == 1
    assert gate.admit("192.0.2.2")
    guests[0].give_back()
    assert gate.admit_guest()
