"""Decisions over counts: what fits, whose fault it is when it does not, and a ledger for one process."""

import pytest

from shim.ledger.counts import Held, Limits, LocalLedger, Pool, Resource, Verdict, decide
from shim.timing import UNLIMITED
from tests.support.series import series

FITS, TOTAL, SHARE = Verdict.FITS, Verdict.TOTAL, Verdict.SHARE


@series(
    ("held", "amount", "limits", "verdict"),
    [
        pytest.param(Held(0), 100, Limits(100), FITS, id="exactly all of it"),
        pytest.param(Held(0), 101, Limits(100), TOTAL, id="one too many"),
        pytest.param(Held(100), 0, Limits(100), FITS, id="nothing always fits"),
        pytest.param(Held(60, 60), 40, Limits(100, 100), FITS, id="its share is all of it"),
        pytest.param(Held(10, 10), 11, Limits(100, 20), SHARE, id="over its share"),
        pytest.param(Held(99, 10), 11, Limits(100, 20), SHARE, id="over both: its own fault first"),
        pytest.param(Held(99, 0), 2, Limits(100, 20), TOTAL, id="the others' fault"),
        pytest.param(Held(1 << 60, 1 << 60), 1 << 60, Limits(), FITS, id="no limit"),
        pytest.param(Held(0), 1, Limits(0.5), TOTAL, id="a share of a small disk"),
        # As after a change of the limit while an old generation drains.
        pytest.param(Held(150), 0, Limits(100), TOTAL, id="over it already"),
    ],
)
def test_decide(held, amount, limits, verdict):
    assert decide(held, amount, limits) is verdict


def test_a_pool_counts_holders_only_where_one_is_limited():
    ledger = LocalLedger()
    unlimited = Pool(ledger, Resource.UPLOADS, Limits(10))
    assert [unlimited.take(1, f"client {number}") for number in range(10)] == [FITS] * 10
    assert unlimited.take(1, "another") is TOTAL
    assert not ledger._shares
    limited = Pool(ledger, Resource.BYTES, Limits(UNLIMITED, 5))
    assert limited.take(5, "a") is limited.take(5, "b") is FITS
    assert limited.take(1, "a") is SHARE
    assert (unlimited.taken, limited.taken) == (10, 10)


def test_resources_do_not_mix():
    ledger = LocalLedger()
    uploads = Pool(ledger, Resource.UPLOADS, Limits(1, 1))
    connections = Pool(ledger, Resource.CONNECTIONS, Limits(1, 1))
    assert uploads.take(1, "a") is connections.take(1, "a") is FITS
    assert uploads.take(1, "b") is connections.take(1, "b") is TOTAL


def test_nothing_is_remembered_of_holders_that_hold_nothing():
    ledger = LocalLedger()
    pool = Pool(ledger, Resource.BYTES, Limits(100, 50))
    for number in range(1000):
        pool.take(7, str(number))
        pool.give_back(7, str(number))
    assert not ledger._shares
    assert pool.taken == 0
