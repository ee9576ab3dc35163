"""The queue of traces: bounded, counted, emptied by its thread, and never in anybody's way."""

import threading
from collections import Counter

import pytest

from shim.app import tracing
from shim.app.tracing import BATCH, TraceQueue, is_available
from shim.observe.head import RequestHead
from shim.observe.journal import Record
from shim.observe.trace import SAMPLED, Trace, TraceContext

PATIENCE = 10


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Nothing waits for others to be sent with."""
    monkeypatch.setattr(tracing, "EVERY", 0.01)


def record(flags=SAMPLED):
    made = Record("req-1", "GET", "/", "192.0.2.1", 0.0)
    made.trace = Trace(TraceContext("ab" * 16, "cd" * 8, flags))
    return made


class Collector:
    """Takes batches as a collector does; may be slow, refuse them, or fail."""

    def __init__(self):
        self.outcome = True
        self.batches = []
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, batch):
        self.is_asked.set()
        self.batches.append(list(batch))
        assert self.may_answer.wait(PATIENCE)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def end(self):
        """Whatever is under way is given up."""
        self.outcome = False
        self.may_answer.set()


def test_what_has_ended_is_exported_in_batches():
    collector, counts = Collector(), Counter()
    queue = TraceQueue(collector, counts)
    assert counts == {"exported": 0, "failed": 0, "dropped": 0}
    for ended in range(2 * BATCH + 7):
        queue.put(record(), ended)
    queue.close(PATIENCE)
    assert [ended for batch in collector.batches for _, ended in batch] == [*range(2 * BATCH + 7)]
    assert max(map(len, collector.batches)) <= BATCH
    assert counts == {"exported": 2 * BATCH + 7, "failed": 0, "dropped": 0}


def test_what_is_not_recorded_is_not_exported():
    collector, counts = Collector(), Counter()
    queue = TraceQueue(collector, counts)
    untraced = record()
    untraced.trace = None
    queue.put(record(flags=0), 1.0)
    queue.put(untraced, 1.0)
    queue.close(PATIENCE)
    assert (collector.batches, counts.total()) == ([], 0)


@pytest.mark.parametrize("outcome", [False, RuntimeError("broken")])
def test_a_failure_is_counted_and_not_the_end(outcome):
    collector, counts = Collector(), Counter()
    collector.outcome = outcome
    queue = TraceQueue(collector, counts)
    collector.may_answer.clear()
    queue.put(record(), 1.0)
    assert collector.is_asked.wait(PATIENCE)
    queue.put(record(), 2.0)
    collector.may_answer.set()
    queue.close(PATIENCE)
    assert [len(batch) for batch in collector.batches] == [1, 1]
    assert counts == {"exported": 0, "failed": 2, "dropped": 0}


def test_a_collector_that_does_not_answer_costs_traces_only(monkeypatch):
    monkeypatch.setattr(tracing, "MOST_WAITING", 3)
    collector, counts = Collector(), Counter()
    collector.may_answer.clear()
    queue = TraceQueue(collector, counts, end=collector.end)
    queue.put(record(), 0.0)
    assert collector.is_asked.wait(PATIENCE)
    for ended in range(5):
        queue.put(record(), ended)
    assert counts["dropped"] == 2
    queue.close(patience=0)
    queue._thread.join(PATIENCE)
    assert not queue._thread.is_alive()
    assert counts == {"exported": 0, "failed": 1, "dropped": 5}


def test_what_waits_is_short_whatever_a_client_writes():
    collector = Collector()
    queue = TraceQueue(collector, Counter())
    long = record()
    long.method = long.path = long.detail = "x" * 65536
    long.head = RequestHead(b"x" * 65536, "1.1", "http", None, b"x" * 65536, b"x" * 65536)
    long.trace.context = long.trace.context._replace(state=b"a=1," * 4096)
    queue.put(long, 1.0)
    queue.close(PATIENCE)
    (((told, _),),) = collector.batches
    kept = [told.method, told.path, told.detail, *told.head[:1], *told.head[4:], told.trace.context.state]
    assert [len(text) for text in kept] == [1024, 1024, 1024, 0, 0, 1024, 0]


def test_the_library_is_looked_for(monkeypatch):
    assert is_available()
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert not is_available()

    def missing(_name):
        raise ModuleNotFoundError("opentelemetry")

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert not is_available()
