"""Who falls behind and who does not: by the seconds in which the client was waited for, and by no others."""

import pytest

from shim.errors import ClientTooSlow
from shim.observe.journal import Record
from shim.proxy.lag import KEEPING_UP, LOOK
from shim.proxy.request import Answer
from shim.proxy.taking import AnswerTaker
from tests.fakes.loops import run
from tests.support.series import series

FAST, SLOW = 2 * KEEPING_UP, KEEPING_UP // 2


class Client:
    """Takes bytes at a rate, by a clock that stands still meanwhile; while it does, somebody may look on."""

    def __init__(self, rate, *, is_spoolable=True):
        self.now = 1000.0
        self.rate = rate
        self.error = None
        self.seen = []
        self.record = Record("an-id", "GET", "/", "198.51.100.7", self.now)
        answer = Answer(self.send)
        self.taker = AnswerTaker(answer, self.record, lambda: self.now, is_spoolable=is_spoolable)

    async def send(self, message):
        self.now += len(message["body"]) / self.rate
        self.seen.append((self.taker.is_under_way, self.taker.is_behind()))
        if self.error is not None:
            raise self.error

    def take(self, seconds):
        """Let it take a piece that takes it so long; what was seen of it then, and after it."""
        run(self.taker.write(bytes(int(seconds * self.rate))))
        return self.seen.pop(), (self.taker.is_under_way, self.taker.is_behind())


@series(
    ("rate", "seconds", "spoolable", "behind"),
    [
        (SLOW, 2 * LOOK, True, True),
        (SLOW, LOOK / 2, True, False),
        (FAST, 2 * LOOK, True, False),
        (SLOW, 2 * LOOK, False, False),
    ],
)
def test_who_is_behind(rate, seconds, spoolable, behind):
    client = Client(rate, is_spoolable=spoolable)
    # In the middle of the write nothing counts as taken yet: also a fast one may look slow then.
    assert client.take(seconds)[1] == (False, behind)
    assert client.record.sent == int(seconds * rate)


def test_it_is_seen_in_the_middle_of_a_write():
    assert Client(SLOW).take(2 * LOOK)[0] == (True, True)


def test_a_slow_server_makes_no_client_slow():
    client = Client(FAST)
    for _ in range(3):
        client.take(LOOK / 4)
        client.now += 100
        assert not client.taker.is_behind()


def test_borne_with_for_a_while():
    client = Client(SLOW)
    client.taker.bear_with(5)
    assert client.take(2 * LOOK)[1] == (False, False)
    client.now += 5
    assert client.taker.is_behind()
    client.taker.begin_anew()
    assert not client.taker.is_behind()


def test_a_write_that_fails_was_waited_for_all_the_same():
    client = Client(SLOW)
    client.error = ClientTooSlow("It took nothing.")
    with pytest.raises(ClientTooSlow):
        client.take(2 * LOOK)
    assert (client.taker.is_under_way, client.record.sent) == (False, 0)
    assert client.taker.is_behind()


@series(("rate", "goes_on"), [(FAST, True), (SLOW, False)])
def test_a_faster_way_is_looked_on_at(rate, goes_on):
    client = Client(FAST)
    client.take(LOOK / 2)
    sent, moved = client.record.sent, client.taker.onlooker()
    # Each time in all since it began, as movers tell it.
    assert [moved(int(seconds * rate), seconds) for seconds in (0.25 * LOOK, 2 * LOOK)] == [True, goes_on]
    assert client.record.sent == sent + int(2 * LOOK * rate)
