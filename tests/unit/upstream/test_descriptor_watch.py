"""Waiting for a descriptor from one request to the next: who is called, and that nobody is after the end."""

import asyncio
import socket

import pytest

from shim.upstream.descriptor_watch import DescriptorWatch
from tests.fakes.loops import REAL_LOOPS, let_others_run

on_both_loops = pytest.mark.parametrize("run", REAL_LOOPS)


class Watched:
    """A watch over one end of a pair of sockets; what it called."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.calls = []
        self.watch = DescriptorWatch(asyncio.get_running_loop())
        self.watch.start(self.ours.fileno(), self._end)

    def _end(self):
        self.calls.append("end")
        self.watch.stop()

    def answer(self):
        self.calls.append(self.ours.recv(100))

    def close(self):
        self.watch.stop()
        self.ours.close()
        self.theirs.close()


@on_both_loops
def test_from_answer_to_answer_and_to_the_end(run):
    async def scene():
        one = Watched()
        for text in (b"first", b"second"):
            one.watch.wait(one.answer)
            one.theirs.send(text)
            await let_others_run()
            one.watch.rest()
        assert one.watch.is_on
        one.theirs.close()
        await let_others_run()
        assert one.calls == [b"first", b"second", "end"]
        assert not one.watch.is_on
        one.close()

    run(scene())


@on_both_loops
def test_bytes_that_nobody_asked_for_are_an_end(run):
    async def scene():
        one = Watched()
        one.theirs.send(b"stray")
        await let_others_run()
        assert one.calls == ["end"]
        one.close()

    run(scene())


@on_both_loops
def test_the_next_owner_of_the_number_wakes_nobody(run):
    async def scene():
        one = Watched()
        one.watch.wait(one.answer)
        one.watch.stop()
        number = one.ours.fileno()
        one.ours.close()
        other, far = socket.socketpair()
        assert other.fileno() == number
        far.send(b"not for you")
        await let_others_run()
        assert one.calls == []
        other.close()
        far.close()
        one.close()

    run(scene())


@on_both_loops
def test_started_again_it_waits_again(run):
    """As a connection does that went the ordinary way between two short ones."""

    async def scene():
        one = Watched()
        one.watch.stop()
        one.watch.stop()
        one.watch.start(one.ours.fileno(), one._end)
        one.watch.wait(one.answer)
        one.theirs.send(b"hello")
        await let_others_run()
        assert one.calls == [b"hello"]
        one.close()

    run(scene())
