"""The poller: sockets are told of one at a time and once, and whatever fails leaves nothing behind."""

import os
import select
import socket
import threading

import pytest

from shim.poller import BUFFER, Poller
from tests.fakes.descriptors import none_left
from tests.fakes.pumping import pump_threads
from tests.fakes.turns import PATIENCE, Noted


@pytest.fixture(name="poller")
def _poller():
    with none_left():
        poller = Poller(2)
        yield poller
        assert poller.active == 0
        poller.close()
    assert pump_threads() == []


@pytest.fixture(name="pair")
def _pair(poller):
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_a_turn_for_an_event_and_only_one(poller, pair):
    one, other = pair
    worker = Noted()
    poller.watch(worker, one.fileno(), select.EPOLLIN)
    assert worker.is_idle
    other.send(b"foo")
    assert worker.turn().name.startswith("pump-")
    assert worker.size == BUFFER
    assert worker.is_idle, "the bytes are still there, but nobody has asked again"
    poller.watch(worker, one.fileno(), select.EPOLLIN)
    worker.turn()
    poller.forget(one.fileno())


def test_other_events_of_the_same_descriptor(poller, pair):
    one, other = pair
    worker = Noted()
    poller.watch(worker, one.fileno(), select.EPOLLIN)
    poller.watch(worker, one.fileno(), select.EPOLLOUT)
    worker.turn()
    other.send(b"foo")
    assert worker.is_idle
    poller.watch(worker, one.fileno(), select.EPOLLIN)
    worker.turn()
    assert poller.active == 1
    poller.forget(one.fileno())


def test_one_worker_with_two_descriptors(poller, pair):
    one, other = pair
    worker = Noted()
    for end in pair:
        poller.watch(worker, end.fileno(), select.EPOLLIN)
    assert repr(poller) == "<Poller pump: 2 threads, 2 sockets>"
    one.send(b"x")
    worker.turn()
    other.send(b"x")
    worker.turn()
    assert worker.is_idle
    for end in pair:
        poller.forget(end.fileno())


def test_nothing_is_told_of_what_is_forgotten(poller, pair):
    one, other = pair
    worker = Noted()
    poller.watch(worker, one.fileno(), select.EPOLLIN)
    poller.forget(one.fileno())
    other.send(b"foo")
    assert worker.is_idle


def test_workers_at_the_same_time(poller, pair):
    gate = threading.Event()
    workers = [Noted(gate), Noted(gate)]
    for worker, end in zip(workers, pair, strict=True):
        poller.watch(worker, end.fileno(), select.EPOLLOUT)
    assert len({worker.turn() for worker in workers}) == 2
    gate.set()
    for end in pair:
        poller.forget(end.fileno())


@pytest.mark.parametrize("stalled", [1, 2, 7])
def test_stalled_workers_stop_no_other(poller, stalled):
    """More of them than threads: a disk that stalls must not stop those that have nothing to do with it."""
    gate = threading.Event()
    pairs = [socket.socketpair() for _ in range(stalled + 1)]
    workers = [Noted(gate) for _ in range(stalled)] + [Noted()]
    for worker, (one, _) in zip(workers, pairs, strict=True):
        poller.watch(worker, one.fileno(), select.EPOLLOUT)
        worker.turn()
    gate.set()
    for one, other in pairs:
        poller.forget(one.fileno())
        one.close()
        other.close()


def test_everybody_gets_turns():
    """A socket that is always ready comes again only after all others that are."""
    # One thread: with several, one that has lost its processor keeps its socket from its turns.
    poller = Poller(1, most=1)
    pairs = [socket.socketpair() for _ in range(20)]
    counts = dict.fromkeys(range(20), 0)
    ready, enough = threading.Event(), threading.Event()

    class Greedy:
        def __init__(self, number, descriptor):
            self.number, self.descriptor = number, descriptor

        def step(self, _buffer):
            counts[self.number] += ready.is_set()
            if counts[self.number] == 200:
                enough.set()
            if not enough.is_set():
                poller.watch(self, self.descriptor, select.EPOLLOUT)

    for number, (one, _) in enumerate(pairs):
        poller.watch(Greedy(number, one.fileno()), one.fileno(), select.EPOLLOUT)
    ready.set()
    assert enough.wait(PATIENCE)
    for one, other in pairs:
        poller.forget(one.fileno())
        one.close()
        other.close()
    poller.close()
    assert min(counts.values()) >= 198


def test_what_epoll_refuses_is_not_watched(poller, tmp_path):
    file = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(PermissionError):
        poller.watch(Noted(), file, select.EPOLLIN)
    os.close(file)
    with pytest.raises(OSError, match="Bad file descriptor"):
        poller.watch(Noted(), file, select.EPOLLIN)
    assert poller.active == 0


@pytest.mark.parametrize("call", ["epoll", "eventfd", "thread"])
def test_a_start_that_fails_leaves_nothing_and_may_be_tried_again(poller, pair, monkeypatch, call):
    def refuse(*_args):
        raise RuntimeError("can't start new thread") if call == "thread" else OSError(24, "too many")

    place, name = {
        "epoll": (select, "epoll"),
        "eventfd": (os, "eventfd"),
        "thread": (threading.Thread, "start"),
    }[call]
    worker = Noted()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, refuse)
        with none_left(), pytest.raises((OSError, RuntimeError)):
            poller.watch(worker, pair[0].fileno(), select.EPOLLOUT)
    assert poller.active == 0
    poller.watch(worker, pair[0].fileno(), select.EPOLLOUT)
    worker.turn()
    poller.forget(pair[0].fileno())


def test_closing(poller, pair):
    poller.close()
    poller.watch(Noted(), pair[0].fileno(), select.EPOLLIN)
    with pytest.raises(AssertionError, match="still being served"):
        poller.close()
    poller.forget(pair[0].fileno())
    poller.close()
    assert pump_threads() == []
    poller.close()
