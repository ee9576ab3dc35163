"""The size of an upstream: from the operator, the threads of an application, or a stats server."""

import asyncio

import pytest

from shim.admission.room import QueueOptions, WaitingRoom
from shim.admission.table import LocalTable
from shim.errors import UpstreamRefused
from shim.findings import Level
from shim.timing import UNLIMITED
from shim.upstream import sizing
from shim.upstream.address import parse_upstream
from shim.upstream.application import THREADS
from shim.upstream.message import UpstreamTimeouts
from shim.upstream.pool import Server
from shim.upstream.sizing import Sizing, inspect_size, shared_line, size_watch, sized_queue
from shim.upstream.stats import parse_stats
from tests.fakes.application import Exchange, Gate, rest, serving
from tests.fakes.loops import run

STATS = parse_stats("127.0.0.1:9191")
HTTP = parse_upstream("http://one:80")
WSGI = parse_upstream("wsgi:made:application")


def servers(count):
    return [Server(HTTP, UpstreamTimeouts()) for _ in range(count)]


def queue_of(made, given):
    return sized_queue(made, given, QueueOptions(), WaitingRoom())


@pytest.mark.parametrize(("given", "expected"), [(None, UNLIMITED), (5, 5), (UNLIMITED, UNLIMITED)])
def test_a_number_is_for_each_server(given, expected):
    queue = queue_of(servers(2), Sizing(max_inflight=given))
    assert [queue.slots(server) for server in (0, 1)] == [expected] * 2


@pytest.mark.parametrize(("given", "expected"), [(None, THREADS), (UNLIMITED, THREADS), (3, 3)])
def test_threads_of_an_application(given, expected):
    assert Sizing(max_inflight=given).threads == expected


def test_an_application_is_known():
    with serving(lambda *_: [], most=5) as server:
        queue = queue_of([server], Sizing(stats=STATS))
        assert queue.slots(0) == 5
        assert size_watch("glance", [server], Sizing(stats=STATS), queue) is None


def test_threads_that_work_for_nobody_are_no_slots():
    gate = Gate()

    def application(_environ, start_response):
        gate.wait()
        start_response("204 No Content", [])
        return []

    async def scene():
        with serving(application, most=2, valid=False) as server:
            queue = queue_of([server], Sizing())
            given_up = Exchange(server)
            await gate.reached()
            assert (queue.used(0), queue.slots(0)) == (0, 2)
            await given_up.cancel()
            assert (queue.used(0), queue.slots(0)) == (1, 2)
            gate.open()
            await rest(server)
            while queue.used(0):
                await asyncio.sleep(0)
            for _ in range(20):
                await Exchange(server).task
            await rest(server)
            while queue.used(0):
                await asyncio.sleep(0)

    run(scene())


@pytest.mark.parametrize(
    "given", [Sizing(), Sizing(max_inflight=4, stats=STATS), Sizing(max_inflight=UNLIMITED, stats=STATS)]
)
def test_nobody_is_asked_where_there_is_nobody_or_no_need(given):
    made = servers(1)
    assert size_watch("glance", made, given, queue_of(made, given)) is None


def test_what_is_told_holds_for_every_server(monkeypatch):
    async def read(address):
        assert address is STATS
        return 6

    monkeypatch.setattr(sizing, "read_slots", read)
    made, given = servers(2), Sizing(stats=STATS)
    queue = queue_of(made, given)
    watch = size_watch("glance", made, given, queue)
    run(watch.refresh())
    assert [queue.slots(server) for server in (0, 1)] == [6, 6]


# -- check ------------------------------------------------------------------------------------------

FINDINGS = [
    ("not known", Sizing(), [HTTP], [("WARNING", "max_inflight is not known")]),
    ("no limit wanted", Sizing(max_inflight=UNLIMITED), [HTTP], [("FINE", "any number of requests")]),
    ("a number", Sizing(max_inflight=8), [HTTP], [("FINE", "takes 8 requests at once, 6 of them uploads")]),
    ("two servers", Sizing(max_inflight=4), [HTTP] * 2, [("FINE", "takes 8 requests at once, 6 of")]),
    ("an application", Sizing(), [WSGI], [("FINE", "takes 8 requests at once, 6 of them uploads")]),
    ("told", Sizing(stats=STATS), [HTTP], [("FINE", "takes 2 requests at once, 1 of them uploads")]),
    ("one", Sizing(max_inflight=1), [HTTP], [("FINE", "takes 1 "), ("WARNING", "everything else waits")]),
    (
        "all for uploads",
        Sizing(max_inflight=8, upload_share=1.0),
        [HTTP],
        [("FINE", "7 of them uploads"), ("WARNING", "leaves no slot to small requests: one is kept")],
    ),
    (
        "nothing for uploads",
        Sizing(max_inflight=8, upload_share=0.1),
        [HTTP],
        [("FINE", "1 of them uploads"), ("WARNING", "less than one slot: uploads get one all the same")],
    ),
]


@pytest.mark.parametrize(
    ("given", "addresses", "expected"), [case[1:] for case in FINDINGS], ids=[case[0] for case in FINDINGS]
)
def test_findings(given, addresses, expected, monkeypatch):
    async def read(_address):
        return 2

    monkeypatch.setattr(sizing, "read_slots", read)
    findings = run(inspect_size(addresses, given))
    assert [finding.level for finding in findings] == [Level[level] for level, _ in expected]
    assert all(text in finding.text for finding, (_, text) in zip(findings, expected, strict=True))


def test_a_stats_server_that_is_away(monkeypatch):
    async def read(_address):
        raise UpstreamRefused("No.", for_operator="No connection to 127.0.0.1:9191: refused.")

    monkeypatch.setattr(sizing, "read_slots", read)
    (finding,) = run(inspect_size([HTTP], Sizing(stats=STATS)))
    assert finding.level is Level.WARNING
    assert finding.text.startswith(
        "stats server 127.0.0.1:9191: No connection to 127.0.0.1:9191: refused. Until it answers"
    )


# -- a line in common -----------------------------------------------------------------------------


class Lines:
    """What has been asked for of the lines that processes have in common."""

    def __init__(self):
        self.names = []
        self.told_later = []

    def table(self, name, capacity, *, is_told_later):
        self.names.append(name)
        self.told_later.append(is_told_later)
        return LocalTable(capacity)


OTHER = parse_upstream("uwsgi://two:3031")


@pytest.mark.parametrize(
    ("addresses", "given", "is_shared"),
    [
        ([HTTP], Sizing(max_inflight=2), True),
        ([HTTP, OTHER], Sizing(stats=STATS), True),
        pytest.param([HTTP], Sizing(max_uploads=2), True, id="uploads alone have a limit"),
        pytest.param([HTTP], Sizing(), False, id="no limit is known, or ever will be"),
        pytest.param([HTTP], Sizing(max_inflight=UNLIMITED), False, id="there is none"),
        pytest.param([WSGI], Sizing(max_inflight=2), False, id="threads of our own"),
        pytest.param([HTTP] * 63, Sizing(max_inflight=2), False, id="more than a row can tell apart"),
    ],
)
def test_who_waits_in_a_line_with_others(addresses, given, is_shared):
    lines = Lines()
    assert (shared_line("main", addresses, given, lines) is not None) is is_shared
    assert len(lines.names) == is_shared


def test_whose_size_is_told_later():
    lines = Lines()
    for given in (Sizing(stats=STATS), Sizing(stats=STATS, max_inflight=2), Sizing(max_uploads=2)):
        shared_line("main", [HTTP], given, lines)
    assert lines.told_later == [True, False, False]


def test_a_line_is_that_of_the_same_servers():
    lines = Lines()
    both = [HTTP, OTHER]
    for name, addresses in [("a", [HTTP]), ("a", [HTTP]), ("b", [HTTP]), ("a", both), ("a", both[::-1])]:
        shared_line(name, addresses, Sizing(max_inflight=2), lines)
    assert lines.names[0] == lines.names[1]
    assert len({*lines.names}) == 4
