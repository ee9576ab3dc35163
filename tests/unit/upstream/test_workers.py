"""Threads for blocking work: as many as are needed, never more than allowed, in order, and all gone after."""

import threading

import pytest

from shim.upstream.workers import WorkerThreads

LAST_RESORT = 30


class Work:
    """Jobs that wait until they may end, and what was seen of them."""

    def __init__(self, workers):
        self.workers = workers
        self.begun = []
        self.threads = set()
        self._changed = threading.Condition()
        self._gates = {}

    def submit(self, name):
        def job():
            with self._changed:
                self.begun.append(name)
                self.threads.add(threading.current_thread())
                self._changed.notify_all()
            assert gate.wait(LAST_RESORT)

        gate = self._gates[name] = threading.Event()
        self.workers.submit(job)
        return job

    def end(self, *names):
        for name in names:
            self._gates[name].set()

    def await_begun(self, *names):
        with self._changed:
            assert self._changed.wait_for(lambda: set(names) <= set(self.begun), LAST_RESORT), self.begun

    def end_all(self):
        self.end(*self._gates)
        for thread in self.threads:
            thread.join(LAST_RESORT)
            assert not thread.is_alive()


@pytest.fixture
def work():
    made = Work(WorkerThreads(2, "worker"))
    yield made
    made.workers.close()
    made.end_all()
    assert made.workers.load == 0


def test_no_thread_before_there_is_work(work):
    assert repr(work.workers) == "<WorkerThreads worker: 0 of 2 busy, 0 waiting>"
    work.submit("one")
    work.await_begun("one")
    assert [thread.name for thread in work.threads] == ["worker-1"]


def test_what_finds_no_thread_waits_in_line(work):
    for name in ("one", "two", "three", "four"):
        work.submit(name)
    work.await_begun("one", "two")
    assert repr(work.workers) == "<WorkerThreads worker: 2 of 2 busy, 2 waiting>"
    assert work.workers.load == 4
    work.end("two")
    work.await_begun("three")
    assert "four" not in work.begun
    work.end("one")
    work.await_begun("four")
    assert len(work.threads) == 2


def test_what_is_withdrawn_never_runs(work):
    first = work.submit("one")
    work.submit("two")
    third = work.submit("three")
    work.submit("four")
    work.await_begun("one", "two")
    assert work.workers.withdraw(third)
    assert not work.workers.withdraw(third)
    assert not work.workers.withdraw(first), "it has begun"
    work.end("one")
    work.await_begun("four")
    assert "three" not in work.begun


def test_idle_threads_are_used_again(work):
    for name in ("one", "two", "three"):
        work.submit(name)
        work.await_begun(name)
        work.end(name)
        while work.workers.load:
            threading.Event().wait(0.001)
    assert len(work.threads) == 1


def test_closing_ends_idle_threads_now_and_others_after_their_work(work):
    work.submit("idle")
    work.submit("busy")
    work.await_begun("idle", "busy")
    work.end("idle")
    idle, busy = sorted(work.threads, key=lambda thread: thread.name)
    work.workers.close()
    idle.join(LAST_RESORT)
    assert busy.is_alive()
    work.end("busy")
    busy.join(LAST_RESORT)
    assert not idle.is_alive()
    assert not busy.is_alive()


def test_what_waits_is_run_after_closing_too(work):
    for name in ("one", "two", "three"):
        work.submit(name)
    work.workers.close()
    work.end("one")
    work.await_begun("three")


def test_after_closing_there_are_new_threads(work):
    work.submit("before")
    work.await_begun("before")
    work.workers.close()
    work.submit("after")
    work.await_begun("after")
    assert len(work.threads) == 2


def test_no_more_threads_to_be_had(work, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            work.workers.submit(lambda: None)
    assert work.workers.load == 0
    work.submit("later")
    work.await_begun("later")


def test_a_thread_says_when_it_has_nothing_more_to_do():
    loads, told = [], threading.Semaphore(0)

    def on_idle():
        loads.append(made.load)
        told.release()

    made = WorkerThreads(1, "worker", on_idle=on_idle)
    work = Work(made)
    work.submit("one")
    work.submit("two")
    work.end("one", "two")
    assert told.acquire(timeout=LAST_RESORT)
    # Not between the two, and not before its load has sunk.
    assert loads == [0]
    made.close()
    work.end_all()
