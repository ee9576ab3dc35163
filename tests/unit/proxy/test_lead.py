"""Holding back a client that is far ahead of its server: when, for how long, and never for good."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.proxy.lead import LEAST_AHEAD, LONGEST_HOLD, STEP, Lead
from tests.fakes.loops import loop_time, run_leaping
from tests.support.series import series

MIB = 1024**2
LENGTH = 2048 * MIB


class Clock:
    """Time as a test sets it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def being_sent(taken, seconds, *, length=LENGTH, guess=256 * MIB):
    """A body of which the server took so much in so many seconds."""
    clock = Clock()
    lead = Lead(length, guess, clock=clock)
    lead.take(0)
    clock.now = seconds
    lead.take(taken)
    return lead


# Received, and the client's rate; taken, and the seconds that took; in MiB. Whether the rest can wait.
CASES = [
    pytest.param((400, 500), (150, 1.0), True, id="a fast client far ahead of a slow server"),
    pytest.param((200, 500), (150, 1.0), False, id="the same, with too little ahead"),
    pytest.param((1000, 100), (150, 1.0), False, id="a client that would be done just before the server"),
    pytest.param((1000, 100), (300, 1.0), False, id="a client slower than its server"),
    pytest.param(
        (200, 600), (1, 0.01), True, id="a server that only filled its buffers is guessed at: 256 MiB/s"
    ),
    pytest.param((200, 400), (1, 0.01), False, id="by that guess this client might be done too late"),
    pytest.param((400, 0), (150, 1.0), False, id="a client whose pace is not known yet"),
    pytest.param((400, float("inf")), (150, 1.0), True, id="a client that sent at once what had come before"),
    pytest.param((2048, 500), (150, 1.0), True, id="all has come"),
]


@series("client, server, expected", CASES)
def test_whether_the_rest_can_wait(client, server, expected):
    (received, rate), (taken, seconds) = client, server
    assert being_sent(taken * MIB, seconds).is_enough(received * MIB, rate * MIB) is expected


def test_nobody_is_held_back_before_a_server_is_sent_anything():
    assert not Lead(LENGTH, 1.0).is_enough(LENGTH - 1, 1e9)


def test_nobody_is_held_back_once_the_server_is_sent_no_more():
    lead = being_sent(150 * MIB, 1.0)
    lead.end()
    assert not lead.is_enough(400 * MIB, 500 * MIB)


@given(
    st.integers(0, LENGTH),
    st.integers(0, LENGTH),
    st.floats(0.001, 1000),
    st.floats(1, 1e10),
    st.floats(1, 1e10),
)
def test_who_is_held_back_would_be_done_in_half_the_time(taken, ahead, seconds, rate, guess):
    received = min(LENGTH, taken + ahead)
    lead = being_sent(taken, seconds, guess=guess)
    if lead.is_enough(received, rate):
        drain = taken / seconds if taken >= STEP else guess
        assert received - taken >= LEAST_AHEAD
        assert (LENGTH - received) / rate <= 0.51 * (LENGTH - taken) / drain


# -- the wait -------------------------------------------------------------------------------------


class Upload:
    """A client at so many bytes per second, received a step at a time, and a server behind it."""

    def __init__(self, length, client, drain, *, stops_at=None):
        self.lead = Lead(length, 256 * MIB, clock=loop_time)
        self.length, self.client, self.drain = length, client, drain
        self.received = self.taken = 0
        self.stops_at = length if stops_at is None else stops_at
        self.starved = 0.0
        self.longest_silence = 0.0
        self.done_at = None

    async def receive(self):
        while self.received < self.length:
            since = loop_time()
            step = await self.lead.hold_back(self.received)
            self.longest_silence = max(self.longest_silence, loop_time() - since)
            until = min(self.length, self.received + step)
            while self.received < until:
                piece = min(4 * MIB, until - self.received)
                await asyncio.sleep(piece / self.client)
                self.received += piece
        self.done_at = loop_time()

    async def send(self):
        while self.taken < self.stops_at:
            self.lead.take(self.taken)
            since = loop_time()
            while self.received == self.taken:
                await asyncio.sleep(0.001)
            self.starved += loop_time() - since
            piece = min(16 * MIB, self.received - self.taken)
            await asyncio.sleep(piece / self.drain)
            self.taken += piece

    async def run(self):
        began = loop_time()
        sending, receiving = asyncio.ensure_future(self.send()), asyncio.ensure_future(self.receive())
        await sending
        self.sent_at = loop_time() - began
        await receiving
        self.done_at -= began
        return self


@pytest.mark.parametrize("client", [160 * MIB, 400 * MIB, 1200 * MIB])
def test_a_server_never_waits_for_a_client_that_is_held_back(client):
    upload = run_leaping(Upload(LENGTH, client, 150 * MIB).run())
    # Its first bytes alone: nothing had come when it began.
    assert upload.starved <= 4 * MIB / client + 0.01
    assert upload.sent_at <= LENGTH / (150 * MIB) + 0.1


def test_a_fast_client_is_spread_over_the_time_that_the_server_needs():
    upload = run_leaping(Upload(LENGTH, 1200 * MIB, 150 * MIB).run())
    alone, server = LENGTH / (1200 * MIB), LENGTH / (150 * MIB)
    assert upload.done_at > 4 * alone
    assert upload.done_at < server


def test_a_server_that_takes_nothing_holds_a_client_back_for_a_second_a_step():
    upload = Upload(LENGTH, 1200 * MIB, 150 * MIB, stops_at=200 * MIB)
    run_leaping(upload.run())
    assert 0.9 * LONGEST_HOLD < upload.longest_silence <= LONGEST_HOLD + 0.01
    assert upload.received == LENGTH


def test_the_end_of_the_sending_lets_the_client_go_on_at_once():
    async def scene():
        lead = Lead(LENGTH, 256 * MIB, clock=loop_time)
        lead.take(0)
        await lead.hold_back(0)
        await asyncio.sleep(0.1)
        began = loop_time()
        asyncio.get_running_loop().call_later(0.25, lead.end)
        await lead.hold_back(400 * MIB)
        return loop_time() - began

    assert run_leaping(scene()) == pytest.approx(0.25, abs=0.01)
