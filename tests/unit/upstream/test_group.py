"""Servers tried in turn: what was refused goes elsewhere or is tried again, what was delivered never is."""

import asyncio
import itertools

import pytest

from shim.errors import (
    ConnectTimeout,
    HeadTooLarge,
    NoDescriptor,
    NoUpstream,
    ResponseTimeout,
    SendTimeout,
    UpstreamClosed,
    UpstreamInvalid,
    UpstreamRefused,
)
from shim.observe.journal import Phase
from shim.upstream.address import parse_upstream
from shim.upstream.balance import Balance
from shim.upstream.group import Upstream
from shim.upstream.health import Health, Sign
from shim.upstream.message import BytesBody, UpstreamRequest, UpstreamTimeouts
from shim.upstream.passage import LONGEST_PAUSE
from shim.upstream.pool import Server
from tests.fakes.loops import let_others_run, loop_time, run_leaping
from tests.fakes.stream import EOF, FakeNetwork, FakeStream, answer
from tests.support.series import series

FIRST = parse_upstream("http://one:80")
SECOND = parse_upstream("http://two:80")
THIRD = parse_upstream("http://three:80")
REFUSED = UpstreamRefused("Connection refused.")
LATE = ConnectTimeout("No connection in time.")
BODY = b"the same bytes for everybody"


class Slow:
    """An outcome that takes its time: no answer to the connection for so long."""

    def __init__(self, seconds, error=LATE):
        self.seconds = seconds
        self.error = error


class Network(FakeNetwork):
    """Knows slow outcomes, and when each attempt was made."""

    def __init__(self, *outcomes):
        super().__init__(*outcomes)
        self.times = []

    async def connect(self, address, timeout):
        self.times.append(loop_time())
        slow = self._at.get(address, [None])[0]
        if isinstance(slow, Slow):
            await asyncio.sleep(slow.seconds)
            raise slow.error
        return await super().connect(address, timeout)

    @property
    def asked(self):
        return [address for address, _ in self.attempts]


class Group:
    """An upstream over a scripted network, on the loop's leaping time."""

    def __init__(self, *addresses, retry=10.0, address_outcomes=()):
        self.network = Network()
        for address, *outcomes in address_outcomes:
            self.network.at(address, *outcomes)
        timeouts = UpstreamTimeouts(send=60, response=300, response_idle=30)
        servers = [
            Server(address, timeouts, connect=self.network.connect, clock=loop_time) for address in addresses
        ]
        self.upstream = Upstream("glance", servers, connect_retry=retry, clock=loop_time)

    async def ask(self, method="PUT", body=BODY):
        """A whole exchange; the answer's body."""
        request = UpstreamRequest(method, b"/", [], None if body is None else BytesBody(body))
        return await self.exchange(request)

    async def exchange(self, request, enter=lambda _phase: None):
        async with self.upstream.exchange(request, interim=self._ignore, enter=enter) as response:
            return b"".join([bytes(piece) async for piece in response.pieces()])

    async def end(self):
        await self.upstream.close()
        assert all(stream.closed for stream in self.network.streams)
        for number, server in enumerate(self.upstream.servers):
            assert (server.inflight, self.upstream.queue.used(number)) == (0, 0)

    async def _ignore(self, _head):
        pass


def run_group(scene, *addresses, retry=10.0, outcomes=()):
    async def whole():
        group = Group(*addresses, retry=retry, address_outcomes=outcomes)
        started = loop_time()
        await scene(group)
        group.lasted = loop_time() - started
        await group.end()
        return group

    return run_leaping(whole())


def test_the_first_server_is_asked_first():
    async def scene(group):
        assert await group.ask() == b"one"
        assert group.network.asked == [FIRST]

    outcomes = [(FIRST, FakeStream(answer(200, b"one"))), (SECOND, REFUSED)]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


@pytest.mark.parametrize("error", [REFUSED, LATE], ids=lambda error: error.code)
def test_a_refused_request_goes_to_the_next_with_the_same_bytes(error):
    async def scene(group):
        assert await group.ask() == b"three"
        assert group.network.asked == [FIRST, SECOND, THIRD]
        assert group.network.streams[0].sent.endswith(b"\r\n\r\n" + BODY)

    outcomes = [(FIRST, error), (SECOND, error), (THIRD, FakeStream(answer(200, b"three")))]
    group = run_group(scene, FIRST, SECOND, THIRD, outcomes=outcomes)
    assert group.lasted == 0


def test_a_server_that_restarts_is_waited_for():
    async def scene(group):
        assert await group.ask() == b"back"
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_PAUSE, LONGEST_PAUSE])

    outcomes = [(FIRST, *[REFUSED] * 7, FakeStream(answer(200, b"back")))]
    times = []

    async def whole(group):
        group.network.times = times
        await scene(group)

    run_group(whole, FIRST, outcomes=outcomes)


def test_every_round_asks_every_server():
    async def scene(group):
        assert await group.ask() == b"two"
        assert group.network.asked == [FIRST, SECOND, FIRST, SECOND, FIRST, SECOND]

    outcomes = [(FIRST, REFUSED), (SECOND, REFUSED, REFUSED, FakeStream(answer(200, b"two")))]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


@series("retry", [0, 0.04, 1, 10, 60])
def test_a_server_that_stays_away(retry):
    async def scene(group):
        with pytest.raises(UpstreamRefused):
            await group.ask()
        assert loop_time() - group.network.times[0] <= retry

    group = run_group(scene, FIRST, retry=retry, outcomes=[(FIRST, REFUSED)])
    # The last attempt is made so late that one more would be too late.
    assert group.lasted >= retry - LONGEST_PAUSE
    if retry < 0.05:
        assert len(group.network.times) == 1


@pytest.mark.parametrize(
    ("errors", "expected"),
    [((REFUSED, LATE), ConnectTimeout), ((LATE, REFUSED), UpstreamRefused)],
    ids=["timeout last", "refused last"],
)
def test_the_last_failure_is_told(errors, expected):
    async def scene(group):
        with pytest.raises(expected):
            await group.ask()

    outcomes = list(zip((FIRST, SECOND), errors, strict=True))
    run_group(scene, FIRST, SECOND, retry=0, outcomes=outcomes)


def test_a_server_that_does_not_answer_is_tried_as_long_as_one_that_refuses():
    async def scene(group):
        with pytest.raises(ConnectTimeout):
            await group.ask()

    group = run_group(scene, FIRST, retry=10, outcomes=[(FIRST, Slow(5))])
    assert group.lasted <= 10 + 5


@series("retry", [0, 1, 10])
def test_many_servers_that_do_not_answer_are_not_all_waited_for(retry):
    async def scene(group):
        with pytest.raises(ConnectTimeout):
            await group.ask()

    servers = [parse_upstream(f"http://silent-{number}:80") for number in range(9)]
    group = run_group(scene, *servers, retry=retry, outcomes=[(server, Slow(5)) for server in servers])
    assert group.lasted <= retry + 5


@series("count", [2, 9])
def test_servers_that_refuse_are_all_asked_though_nothing_is_tried_again(count):
    async def scene(group):
        with pytest.raises(UpstreamRefused):
            await group.ask()
        assert len(group.network.times) == count

    servers = [parse_upstream(f"http://refusing-{number}:80") for number in range(count)]
    run_group(scene, *servers, retry=0, outcomes=[(server, Slow(0.001, REFUSED)) for server in servers])


DELIVERED = [
    ("closed", [EOF], {}, UpstreamClosed),
    ("reset", [UpstreamClosed("Connection reset by peer.")], {}, UpstreamClosed),
    ("cut", [b"HTTP/1.1 2", EOF], {}, UpstreamClosed),
    ("invalid", [b"hello\r\n\r\n"], {}, UpstreamInvalid),
    ("silent", [], {}, ResponseTimeout),
    ("deaf", [], {"stalls_after": 0}, SendTimeout),
    ("broken pipe", [EOF], {"breaks_after": 0}, UpstreamClosed),
]


@series("method", ["GET", "PUT"])
@series(("script", "options", "error"), [case[1:] for case in DELIVERED])
def test_what_was_delivered_is_not_tried_elsewhere(script, options, error, method):
    async def scene(group):
        with pytest.raises(error):
            await group.ask(method, BODY if method == "PUT" else None)
        assert group.network.asked == [FIRST]

    outcomes = [(FIRST, FakeStream(*script, **options)), (SECOND, FakeStream(answer()))]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


def test_an_error_answer_is_an_answer():
    async def scene(group):
        assert await group.ask() == b"down"
        assert group.network.asked == [FIRST]

    run_group(scene, FIRST, SECOND, outcomes=[(FIRST, FakeStream(answer(503, b"down")))])


def test_a_failure_while_the_answer_is_relayed_is_not_tried_elsewhere():
    async def scene(group):
        with pytest.raises(UpstreamClosed):
            await group.ask()
        assert group.network.asked == [FIRST]

    stream = FakeStream(answer(200, b"o", framing=b"Content-Length: 2"), EOF)
    run_group(scene, FIRST, SECOND, outcomes=[(FIRST, stream), (SECOND, FakeStream(answer()))])


def test_a_head_too_large_is_the_clients():
    async def scene(group):
        request = UpstreamRequest("GET", b"/", [(b"x-large", b"x" * 65536)])
        with pytest.raises(HeadTooLarge):
            await group.exchange(request)
        assert group.network.asked == []

    run_group(scene, parse_upstream("uwsgi://one:1"), SECOND)


@pytest.mark.parametrize("outcome", [REFUSED, Slow(5)], ids=["pausing", "connecting"])
def test_cancelled_between_attempts(outcome):
    async def scene(group):
        task = asyncio.ensure_future(group.ask())
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await let_others_run()
        assert task.cancelled()

    run_group(scene, FIRST, outcomes=[(FIRST, outcome)])


# -- slots ----------------------------------------------------------------------------------------


def sized(group, *slots):
    """Limit the servers of a group."""
    for server, limit in enumerate(slots):
        group.upstream.queue.limit(server, limit)


def test_a_slot_is_held_until_the_answer_is_read():
    event, phases = asyncio.Event(), []

    async def scene(group):
        sized(group, 1)
        first = asyncio.ensure_future(group.ask())
        await let_others_run()
        waiting = asyncio.ensure_future(group.exchange(UpstreamRequest("GET", b"/", []), phases.append))
        await let_others_run()
        assert (phases, group.network.asked) == ([Phase.QUEUE], [FIRST])
        event.set()
        assert (await first, await waiting) == (b"ok", b"two")
        assert phases[:2] == [Phase.QUEUE, Phase.CONNECT]

    half = answer(200, b"o", framing=b"Content-Length: 2\r\nConnection: close")
    outcomes = [(FIRST, FakeStream(half, event, b"k"), FakeStream(answer(200, b"two")))]
    run_group(scene, FIRST, outcomes=outcomes)


def test_a_request_goes_to_the_server_that_does_least():
    async def scene(group):
        sized(group, 5, 5)
        asked = [asyncio.ensure_future(group.ask()) for _ in range(4)]
        await let_others_run()
        assert group.network.asked == [FIRST, SECOND, FIRST, SECOND]
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)

    outcomes = [(FIRST, FakeStream(), FakeStream()), (SECOND, FakeStream(), FakeStream())]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


def test_no_slot_is_held_while_a_server_is_away():
    """So a second request may find it back while the first pauses."""

    async def scene(group):
        sized(group, 1)
        first = asyncio.ensure_future(group.ask())
        await let_others_run()
        assert group.upstream.queue.used(0) == 0
        assert await group.ask() == b"back"
        assert await first == b"again"

    outcomes = [(FIRST, REFUSED, FakeStream(answer(200, b"back")), FakeStream(answer(200, b"again")))]
    run_group(scene, FIRST, outcomes=outcomes)


def test_a_refused_request_waits_for_a_slot_of_the_other_server():
    async def scene(group):
        sized(group, 1, 1)
        group.upstream.queue.lose(1, 1)
        asked = asyncio.ensure_future(group.ask())
        await let_others_run()
        assert (group.network.asked, group.upstream.queue.waiting) == ([FIRST], 1)
        group.upstream.queue.lose(1, 0)
        assert await asked == b"two"

    run_group(scene, FIRST, SECOND, outcomes=[(FIRST, REFUSED), (SECOND, FakeStream(answer(200, b"two")))])


def test_the_time_in_line_is_not_taken_from_the_attempts():
    async def scene(group):
        group.upstream.queue.lose(0, 1)
        sized(group, 1)
        asked = asyncio.ensure_future(group.ask())
        await asyncio.sleep(50)
        group.upstream.queue.lose(0, 0)
        assert await asked == b"back"

    outcomes = [(FIRST, *[REFUSED] * 3, FakeStream(answer(200, b"back")))]
    run_group(scene, FIRST, retry=10, outcomes=outcomes)


def test_who_finds_out_the_size_is_asked_before_each_request_and_told_of_refusals():
    class Watch:
        told = ()

        async def refresh(self):
            self.told += ("refresh",)

        def doubt(self):
            self.told += ("doubt",)

    async def scene(group):
        watch = group.upstream.watch = Watch()
        await group.ask()
        assert watch.told == ("refresh", "doubt")

    run_group(scene, FIRST, SECOND, outcomes=[(FIRST, REFUSED), (SECOND, FakeStream(answer(200, b"two")))])


def test_a_group_describes_itself():
    async def scene(group):
        assert repr(group.upstream) == (
            "<Upstream glance: <Server http://one:80, 0 in flight, 0 idle>, "
            "<Server http://two:80, 0 in flight, 0 idle>>"
        )

    run_group(scene, FIRST, SECOND)


# -- who is left out --------------------------------------------------------------------------------


def closing(body):
    return answer(200, body, framing=b"Content-Length: 3\r\nConnection: close")


def test_one_that_keeps_refusing_is_left_alone_until_it_returns():
    async def scene(group):
        for asked in (1, 1, 1, 2, 2, 2, 3):
            assert await group.ask() == b"two"
            assert group.network.asked.count(FIRST) == asked
            # After its first failure it is tried again only when that is a while ago.
            await asyncio.sleep(4)
        await asyncio.sleep(7)
        # It comes back with a tenth of its part: the first request again is not its.
        assert await group.ask() == b"two"
        await asyncio.sleep(30)
        assert {await group.ask() for _ in range(3)} == {b"one", b"two"}
        assert failures == [("glance", "http://one:80")] * 3

    failures = []

    async def whole(group):
        group.upstream._count_failure = lambda *failure: failures.append(failure)
        await scene(group)

    one, two = ([FakeStream(closing(body)) for _ in range(9)] for body in (b"one", b"two"))
    run_group(whole, FIRST, SECOND, outcomes=[(FIRST, *[REFUSED] * 3, *one), (SECOND, *two)])


def test_an_ejected_server_is_tried_when_all_others_refuse():
    async def scene(group):
        for _ in range(3):
            group.upstream.roster.at(0).standing.fail(loop_time())
        assert await group.ask() == b"one"
        assert group.network.asked == [SECOND, FIRST]

    outcomes = [(FIRST, FakeStream(answer(200, b"one"))), (SECOND, REFUSED)]
    assert run_group(scene, FIRST, SECOND, outcomes=outcomes).lasted == 0


def test_what_breaks_after_delivery_speaks_against_a_server_too():
    async def scene(group):
        for _ in range(3):
            with pytest.raises(UpstreamClosed):
                await group.ask()
        assert group.upstream.roster.at(0).state(loop_time()) == "ejected"
        assert await group.ask() == b"two"

    outcomes = [(FIRST, *(FakeStream(EOF) for _ in range(3))), (SECOND, FakeStream(answer(200, b"two")))]

    async def whole(group):
        group.upstream.roster.balancer.balance = Balance.FIRST_AVAILABLE
        await scene(group)

    run_group(whole, FIRST, SECOND, outcomes=outcomes)


def test_a_drained_server_ends_what_it_has_and_those_in_line_go_elsewhere():
    event = asyncio.Event()

    async def scene(group):
        sized(group, 1, 1)
        group.upstream.queue.lose(1, 1)
        under_way = asyncio.ensure_future(group.ask())
        await let_others_run()
        in_line = asyncio.ensure_future(group.ask())
        await let_others_run()
        group.upstream.take_out(frozenset({"http://one:80"}))
        event.set()
        assert await under_way == b"ok"
        await let_others_run()
        assert not in_line.done()
        group.upstream.queue.lose(1, 0)
        assert await in_line == b"two"
        group.upstream.take_out(frozenset({"http://one:80", "http://two:80"}))
        with pytest.raises(NoUpstream):
            await group.ask()
        assert group.network.asked == [FIRST, SECOND]

    half = answer(200, b"o", framing=b"Content-Length: 2\r\nConnection: close")
    outcomes = [(FIRST, FakeStream(half, event, b"k")), (SECOND, FakeStream(answer(200, b"two")))]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


@pytest.mark.parametrize("addresses", [(FIRST,), (FIRST, SECOND)], ids=["one", "two"])
def test_those_in_line_hear_at_once_that_all_servers_are_drained(addresses):
    async def scene(group):
        sized(group, *[0] * len(addresses))
        in_line = [asyncio.ensure_future(group.ask()) for _ in range(3)]
        await let_others_run()
        assert group.upstream.queue.waiting == 3
        began = loop_time()
        group.upstream.take_out(frozenset(str(address) for address in addresses))
        for outcome in await asyncio.gather(*in_line, return_exceptions=True):
            assert isinstance(outcome, NoUpstream)
        assert loop_time() == began
        assert group.upstream.queue.waiting == 0

    run_group(scene, *addresses)


def test_one_in_line_goes_back_to_who_had_refused_it_when_no_other_is_left():
    async def scene(group):
        sized(group, 1, 0)
        in_line = asyncio.ensure_future(group.ask())
        await let_others_run()
        assert group.network.asked == [FIRST]
        assert group.upstream.queue.waiting == 1
        group.upstream.take_out(frozenset({str(SECOND)}))
        assert await in_line == b"one"
        assert group.network.asked == [FIRST, FIRST]

    run_group(scene, FIRST, SECOND, outcomes=[(FIRST, REFUSED, FakeStream(answer(200, b"one")))])


def test_our_own_lack_of_descriptors_speaks_against_no_server():
    lack = NoDescriptor("The proxy has no descriptor left.")

    async def scene(group):
        counted = []
        group.upstream._count_failure = lambda *names: counted.append(names)
        for _ in range(5):
            with pytest.raises(NoDescriptor):
                await group.ask()
        assert counted == []
        assert [member.standing.failures for member in group.upstream.roster] == [0, 0]
        assert {member.state(loop_time()) for member in group.upstream.roster} == {"up"}

    run_group(scene, FIRST, SECOND, retry=0, outcomes=[(FIRST, *[lack] * 5), (SECOND, *[lack] * 5)])


def test_those_in_line_for_one_server_take_another_that_comes_back():
    async def scene(group):
        sized(group, 1, 1)
        second = group.upstream.roster.at(1)
        for _ in range(2):
            group.upstream.note_probe(second, Health(Sign.DOWN, "refused"))
        holding = asyncio.ensure_future(group.ask())
        await let_others_run()
        in_line = asyncio.ensure_future(group.ask())
        await let_others_run()
        assert group.network.asked == [FIRST]
        group.upstream.note_probe(second, Health(Sign.ANSWERS, "answers"))
        assert await in_line == b"two"
        holding.cancel()
        await asyncio.wait([holding])

    outcomes = [(FIRST, FakeStream()), (SECOND, FakeStream(answer(200, b"two")))]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


def test_requests_about_one_image_meet_in_one_server():
    async def scene(group):
        group.upstream.roster.balancer.balance = Balance.STICKY
        for number in range(8):
            request = UpstreamRequest("GET", b"/", [], about=f"image-{number % 4}")
            answers.setdefault(request.about, set()).add(await group.exchange(request))
        assert all(len(met) == 1 for met in answers.values())
        assert set.union(*answers.values()) == {b"one", b"two"}

    answers = {}
    outcomes = [
        (address, *(FakeStream(closing(body)) for _ in range(8)))
        for address, body in ((FIRST, b"one"), (SECOND, b"two"))
    ]
    run_group(scene, FIRST, SECOND, outcomes=outcomes)


# -- what its servers can do ----------------------------------------------------------------------


@series(
    ("urls", "growing", "chunked"),
    [
        (["http://one"], True, True),
        (["https://one", "http+unix:///two.sock"], True, True),
        (["uwsgi://one:1"], True, False),
        (["http://one", "uwsgi+unix:///two.sock"], True, False),
        (["wsgi:one:application"], False, False),
        (["http://one", "wsgi:two:application"], False, False),
    ],
)
def test_which_bodies_it_takes(urls, growing, chunked):
    """Any of its servers may be the one that takes the request."""
    group = Upstream("images", [Server(parse_upstream(url), UpstreamTimeouts()) for url in urls])
    assert (group.takes_growing, group.takes_chunked) == (growing, chunked)


@series(("rates", "rate"), [([None], None), ([None, None], None), ([5, None], 5), ([5, 9, 7], 9)])
def test_its_fastest_server_counts(rates, rate):
    """Thought slower than it is, a server would be kept waiting."""
    servers = [Server(FIRST, UpstreamTimeouts()) for _ in rates]
    for server, value in zip(servers, rates, strict=True):
        server.drain_meter.value = value
    assert Upstream("images", servers).drain_rate == rate
