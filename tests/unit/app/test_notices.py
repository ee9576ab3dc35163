"""What is told to an operator: a state in a word, and notices that say what to do, the worst first."""

from dataclasses import replace

import pytest

from shim.app.health import Readiness, ServerHealth
from shim.app.notices import Facts, judge
from shim.observe.snapshot import Snapshot
from shim.spool.space import Space
from shim.timing import UNLIMITED
from shim.upstream.address import parse_upstream
from shim.upstream.health import Health, Sign
from tests.support.series import series

ONE, TWO = parse_upstream("http://one:80"), parse_upstream("uwsgi://two:3031")
UP, DOWN = Health(Sign.ANSWERS, "ok"), Health(Sign.DOWN, "http://one:80 refused.")
NOT_READY = Readiness(ready=False, faults=["x"])
WELL = Facts(
    whole=Snapshot(),
    readiness=Readiness(ready=True, faults=[]),
    servers=[ServerHealth("glance", ONE, 0, UP), ServerHealth("glance", TWO, 0, UP)],
    limit=1000,
    space=Space(10_000, 5000, 500),
    lately={},
)
UPLOADS = ({"key": "1-1"},)
BUSY = Snapshot(uploads=UPLOADS, held=10)
DRAINED = ServerHealth("glance", TWO, 0, UP, state="draining", is_drained=True)
LEAVING = ServerHealth("glance", TWO, 0, UP, state="draining")
ALL_DOWN = [ServerHealth("glance", ONE, 0, DOWN), ServerHealth("glance", TWO, 0, DOWN)]


def case(name, state, *titles, **changes):
    return pytest.param(replace(WELL, **changes), state, list(titles), id=name)


CASES = [
    case("nothing to do", "idle"),
    case("an upload", "busy", whole=BUSY),
    case("no limit", "busy", whole=replace(BUSY, held=1 << 50), limit=UNLIMITED),
    case("it fills up", "busy", "The spool is 85% full", whole=replace(BUSY, held=850)),
    case("promised bytes count", "full", "The spool is full", whole=replace(BUSY, leased=951)),
    case("somebody was refused", "full", "The spool is full", whole=BUSY, lately={"spool_full": 1}),
    case("a budget of nothing", "full", "The spool is full", limit=0),
    case(
        "its disk fills up",
        "idle",
        "The spool's disk is nearly down to its reserve",
        space=Space(10_000, 699, 500),
    ),
    case("its disk does not answer", "idle", space=None),
    case(
        "one of two is down",
        "idle",
        "1 of 2 servers of upstream glance is down",
        servers=[ServerHealth("glance", ONE, 0, DOWN), WELL.servers[1]],
    ),
    case(
        "all are down", "broken", "No server of upstream glance is up", servers=ALL_DOWN, readiness=NOT_READY
    ),
    case(
        "one of two is drained",
        "idle",
        "1 of 2 servers of upstream glance is drained",
        servers=[WELL.servers[0], DRAINED],
    ),
    case(
        "one is down, one drained, one serves",
        "idle",
        "2 of 3 servers of upstream glance are down or drained",
        servers=[ServerHealth("glance", ONE, 0, DOWN), DRAINED, WELL.servers[1]],
    ),
    case(
        "the last one that served is drained",
        "broken",
        "No server of upstream glance takes requests",
        servers=[ServerHealth("glance", ONE, 0, DOWN), DRAINED],
        readiness=NOT_READY,
    ),
    case("one whose name leads elsewhere", "idle", servers=[WELL.servers[0], LEAVING]),
    case(
        "and nothing else",
        "broken",
        "No server of upstream glance is up",
        servers=[LEAVING],
        readiness=NOT_READY,
    ),
    case(
        "the spool takes nothing",
        "broken",
        "The spool takes no bodies",
        readiness=Readiness(ready=False, faults=["x"], spool="The spool could not open a file."),
    ),
    case("it drains", "draining", "The shim is draining", whole=Snapshot(life="draining")),
    case(
        "the line does not empty",
        "busy",
        "The line for a server does not empty",
        whole=replace(BUSY, waiting={"glance": 4}),
        lately={"queue_timeout": 2},
    ),
    case("a line alone is no news", "busy", whole=replace(BUSY, waiting={"glance": 4})),
    case(
        "the worst first",
        "full",
        "The spool is full",
        "1 of 2 servers of upstream glance is down",
        whole=replace(BUSY, held=1000),
        servers=[ServerHealth("glance", ONE, 0, DOWN), WELL.servers[1]],
    ),
]


@series(("facts", "state", "titles"), CASES)
def test_what_is_told(facts, state, titles):
    judged, notices = judge(facts)
    assert judged == state
    assert [notice.title for notice in notices] == titles
    assert all(notice.text.endswith(".") for notice in notices)


def test_a_reason_that_names_its_server_is_not_told_twice():
    _, (notice,) = judge(replace(WELL, servers=ALL_DOWN))
    assert notice.text.startswith("http://one:80 refused; uwsgi://two:3031: http://one:80 refused. ")


def test_a_drained_server_is_told_with_the_way_back():
    """Its probe is answered: nothing else says why no request is served."""
    _, (notice,) = judge(replace(WELL, servers=[DRAINED], readiness=NOT_READY))
    assert notice.level == "bad"
    assert notice.text.startswith("uwsgi://two:3031 is drained. ")
    assert "/servers/restore?server=" in notice.text
