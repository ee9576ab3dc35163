"""A request's part in a trace: whose trace it is, whether it is recorded, and what is kept of its phases."""

import itertools

from shim.observe.trace import MOST_INTERVALS, RANDOM, SAMPLED, Interval, Trace, TraceContext, begin_trace
from tests.support.series import series

CALLER = TraceContext("ab" * 16, "cd" * 8, SAMPLED, b"vendor=1")


def drawn(*values):
    """A source of randomness that gives these."""
    draws = iter(values)
    return lambda _size: next(draws)


def test_a_trace_begins_here():
    trace = begin_trace(None, 1.0, drawn(b"\x01" * 8, b"\x02" * 16))
    assert trace == Trace(TraceContext("02" * 16, "01" * 8, SAMPLED | RANDOM))


@series("flags", [0, SAMPLED, SAMPLED | RANDOM])
@series("share", [0.001, 1.0])
def test_the_caller_decides_for_its_trace(flags, share):
    caller = CALLER._replace(flags=flags)
    trace = begin_trace(caller, share, drawn(b"\x01" * 8))
    assert trace == Trace(caller._replace(span_id="01" * 8), caller.span_id)
    assert trace.context.is_sampled is bool(flags & SAMPLED)


@series(
    ("random", "share", "is_sampled"),
    [
        ("00000000000000", 0.001, True),
        ("3fffffffffffff", 0.25, True),
        ("40000000000000", 0.25, False),
        ("ffffffffffffff", 0.999, False),
        ("ffffffffffffff", 1.0, True),
    ],
)
def test_the_end_of_its_id_decides_for_a_new_trace(random, share, is_sampled):
    trace_id = bytes.fromhex("ff" * 9 + random)
    assert begin_trace(None, share, drawn(b"\x01" * 8, trace_id)).context.is_sampled is is_sampled


def test_ids_differ():
    ids = [begin_trace(None, 1.0).context for _ in range(50)]
    assert all(one.trace_id != other.trace_id for one, other in itertools.combinations(ids, 2))


def test_stays_are_kept_in_order_and_not_without_end():
    trace = Trace(CALLER)
    for number in range(MOST_INTERVALS + 5):
        trace.note("send", number, number + 1)
    assert trace.intervals[:2] == [Interval("send", 0, 1), Interval("send", 1, 2)]
    assert len(trace.intervals) == MOST_INTERVALS


def test_of_what_nobody_records_nothing_is_kept():
    trace = Trace(CALLER._replace(flags=RANDOM))
    trace.note("send", 0, 1)
    assert trace.intervals == []
