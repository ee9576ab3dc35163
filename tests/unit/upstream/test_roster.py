"""Who a request may go to, of servers that fail, are drained, or come and go behind a name."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errors import NoUpstream
from shim.upstream.address import parse_upstream
from shim.upstream.balance import Balance, Balancer
from shim.upstream.roster import MOST_ADDRESSES, Roster


def server(address, inflight=0):
    return SimpleNamespace(address=address, inflight=inflight)


def fixed(count, balance=Balance.LEAST_INFLIGHT):
    roster = Roster(Balancer(balance))
    for number in range(count):
        roster.add(server(parse_upstream(f"http://server-{number}")))
    return roster


class Slots:
    """So many requests in each server; those that are full take no more."""

    def __init__(self, *loads, full=()):
        self.loads = loads
        self.full = full

    def used(self, server):
        return self.loads[server]

    def slots(self, server):
        return self.loads[server] if server in self.full else 9


def eject(roster, *positions):
    for position in positions:
        for _ in range(3):
            roster.at(position).standing.fail(0)


def drain(roster, *positions):
    roster.drain(frozenset(roster.at(position).name for position in positions))


# Ejected, drained, already refused, full: what is taken at once, and what is waited for.
PREFERENCES = {
    "all": ((), (), (), (), [1, 0, 2], [1, 0, 2]),
    "a full one is only waited for": ((), (), (), (1,), [0, 2], [1, 0, 2]),
    "all full": ((), (), (), (0, 1, 2), [], [1, 0, 2]),
    "a drained one is none": ((), (1,), (), (), [0, 2], [0, 2]),
    "an ejected one is none": ((1,), (), (), (), [0, 2], [0, 2]),
    "one that has refused is none": ((), (), (1,), (), [0, 2], [0, 2]),
    "the ejected one is the last resort": ((1,), (), (0, 2), (), [1], [1]),
    "all ejected is as good as none": ((0, 1, 2), (), (), (), [1, 0, 2], [1, 0, 2]),
    "a drained one is never the last resort": ((0,), (1,), (2,), (), [0], [0]),
    "nothing is left": ((), (), (0, 1, 2), (), [], []),
}


@pytest.mark.parametrize("case", PREFERENCES.values(), ids=PREFERENCES)
def test_preferences(case):
    ejected, drained, refused, full, first, among = case
    roster = fixed(3)
    eject(roster, *ejected)
    drain(roster, *drained)
    avoided = sum(1 << position for position in refused)
    preference = roster.preference(1, "", avoided, Slots(1, 0, 2, full=full))
    assert (list(preference.first), list(preference.among)) == (first, among)
    assert roster.has_untried(avoided) is bool(among)


def test_what_sticks_waits_for_its_server_and_moves_only_when_that_is_out():
    roster = fixed(3, Balance.STICKY)

    def homes(key):
        preference = roster.preference(1, key, 0, Slots(0, 0, 0, full=(0, 1, 2)))
        assert preference.first == preference.among
        return list(preference.among)

    keys = [f"image-{number}" for number in range(30)]
    before = {key: homes(key) for key in keys}
    assert {home for (home,) in before.values()} == {0, 1, 2}
    drain(roster, 0)
    after = {key: homes(key) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != [0])
    assert all(after[key] != [0] for key in keys)
    drain(roster)
    assert {key: homes(key) for key in keys} == before


def test_without_a_server_that_takes_anything_there_is_no_upstream():
    roster = fixed(2)
    roster.check()
    eject(roster, 0, 1)
    roster.check()
    drain(roster, 0, 1)
    with pytest.raises(NoUpstream) as refused:
        roster.check()
    assert refused.value.retry_after


# -- behind a name ----------------------------------------------------------------------------------

NAME = parse_upstream("uwsgi://glance.internal:3031")


def named():
    roster = Roster()
    roster.add(server(parse_upstream("http://fixed")))
    roster.add_name(NAME)
    return roster


def pods(*numbers):
    return [parse_upstream(f"uwsgi://10.0.0.{number}:3031") for number in numbers]


def resolve(roster, *numbers):
    return roster.resolve(roster.names[0], pods(*numbers), server)


def told(roster):
    return {member.server.address.host: member.state(0) for member in roster}


def test_addresses_come_and_go():
    roster = named()
    change = resolve(roster, 1, 2)
    assert [member.name for member in change.added] == ["uwsgi://10.0.0.1:3031", "uwsgi://10.0.0.2:3031"]
    assert told(roster) == {"fixed": "up", "10.0.0.1": "up", "10.0.0.2": "up"}
    change = resolve(roster, 2, 3)
    assert [member.name for member in change.ended] == ["uwsgi://10.0.0.1:3031"]
    assert told(roster) == {"fixed": "up", "10.0.0.2": "up", "10.0.0.3": "up"}


def test_one_that_goes_ends_what_it_has():
    roster = named()
    (member,) = resolve(roster, 1).added
    member.server.inflight = 1
    assert resolve(roster, 2).ended == []
    assert told(roster)["10.0.0.1"] == "draining"
    assert resolve(roster, 1, 2).added == []
    assert told(roster)["10.0.0.1"] == "up"
    resolve(roster, 2)
    member.server.inflight = 0
    assert resolve(roster, 2).ended == [member]


def test_one_that_was_drained_before_it_came_is_drained():
    roster = named()
    roster.drain(frozenset({"uwsgi://10.0.0.1:3031"}))
    resolve(roster, 1, 2)
    assert told(roster) == {"fixed": "up", "10.0.0.1": "draining", "10.0.0.2": "up"}


def test_more_addresses_than_places_are_told_of():
    change = resolve(named(), *range(1, MOST_ADDRESSES + 4))
    assert (len(change.added), len(change.surplus)) == (MOST_ADDRESSES, 3)


@given(st.lists(st.sets(st.integers(1, 12)), max_size=12))
def test_positions_are_never_shared(looks):
    roster = named()
    for numbers in looks:
        resolve(roster, *sorted(numbers))
        positions = [member.position for member in roster]
        assert len(set(positions)) == len(positions)
        assert all(position < roster.positions for position in positions)
        assert {member.server.address.host for member in roster if member.takes_new} == {
            "fixed",
            *(f"10.0.0.{number}" for number in numbers),
        }
