"""Snapshots add up, and survive the way from process to process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.observe.cloud import CloudView
from shim.observe.counters import PHASE_BUCKETS, Counters
from shim.observe.snapshot import (
    Snapshot,
    add_up,
    decode_counters,
    decode_snapshot,
    encode_counters,
    encode_snapshot,
    together,
)
from tests.support.series import series

words = st.sampled_from(["a", "b", 'odd "label"\n'])
events = st.lists(
    st.tuples(st.just("request"), words, st.sampled_from(["PUT", "GET"]), st.integers(200, 599))
    | st.tuples(st.just("refusal"), words)
    | st.tuples(st.just("trace"), words)
    | st.tuples(st.just("bytes"), words, st.integers(0, 1 << 50))
    | st.tuples(st.just("phase"), words, st.floats(0, 10_000))
    | st.tuples(st.just("failure"), words, words),
    max_size=30,
)


def count(counters, happened):
    for kind, *values in happened:
        match kind:
            case "request":
                counters.add_request(*values)
            case "refusal":
                counters.refusals[values[0]] += 1
            case "trace":
                counters.traces[values[0]] += 1
            case "bytes":
                counters.body_bytes[values[0]] += values[1]
            case "phase":
                counters.add_phases({values[0]: values[1]})
            case "failure":
                counters.add_failure(*values)
    return counters


def plain(counters):
    """Something to compare; sums of seconds may differ in their last digits."""
    phases = {
        name: (histogram.counts, round(histogram.total, 3)) for name, histogram in counters.phases.items()
    }
    sums = +counters.refusals, +counters.body_bytes, +counters.traces
    return counters.requests, *sums, phases, counters.failures


@given(st.lists(events, max_size=4))
def test_what_several_count_is_what_one_would_have_counted(shares):
    one = count(Counters(), [event for share in shares for event in share])
    assert plain(add_up(count(Counters(), share) for share in shares)) == plain(one)


@given(events)
def test_counters_come_back_whole(happened):
    counters = count(Counters(), happened)
    assert plain(decode_counters(encode_counters(counters))) == plain(counters)


@series("name", encode_counters(Counters()))
def test_what_is_missing_is_not_taken_for_nothing(name):
    """All workers of a shim are of one version: a sum without it would be too small, unnoticed."""
    told = encode_counters(Counters())
    del told[name]
    with pytest.raises(KeyError, match=name):
        decode_counters(told)


def test_adding_up_leaves_the_parts_alone():
    counters = count(Counters(), [("phase", "send", 0.2)])
    add_up([counters, counters])
    assert sum(counters.phases["send"].counts) == 1
    assert len(counters.phases["send"].counts) == len(PHASE_BUCKETS) + 1


def snapshot(**given):
    upload = {"id": "req-1", "age": 2.0, "length": None, "phase": "receive"}
    defaults = {
        "counters": count(Counters(), [("request", "a", "PUT", 200)]),
        "phases": {"receiving": 1, "waiting": 0},
        "uploads": (upload,),
        "held": 10,
        "files": 1,
        "inflight": {("glance", "http://one:80"): 2},
        "states": {("glance", "http://one:80", "up"): 1},
        "drain_rates": {("glance", "http://one:80"): 5.0},
    }
    return Snapshot(**{**defaults, **given})


def test_together():
    older = {"id": "req-2", "age": 5.0}
    whole = together(
        [
            snapshot(),
            snapshot(
                uploads=(older,),
                inflight={("glance", "http://one:80"): 1, ("glance", "http://two:80"): 4},
                states={("glance", "http://one:80", "ejected"): 1},
                drain_rates={("glance", "http://one:80"): 7.0, ("glance", "http://two:80"): 3.0},
            ),
        ]
    )
    assert whole.counters.requests.total() == 2
    assert whole.phases == {"receiving": 2, "waiting": 0}
    assert [upload["id"] for upload in whole.uploads] == ["req-2", "req-1"]
    assert (whole.held, whole.files, whole.workers) == (20, 2, 2)
    assert whole.inflight == {("glance", "http://one:80"): 3, ("glance", "http://two:80"): 4}
    assert whole.states == {("glance", "http://one:80", state): 1 for state in ("up", "ejected")}
    assert whole.drain_rates == {("glance", "http://one:80"): 7.0, ("glance", "http://two:80"): 3.0}


def test_a_shim_serves_as_long_as_one_worker_does():
    assert together([snapshot(life="leaving"), snapshot()]).life == "serving"
    assert together([snapshot(life="draining"), snapshot(life="leaving")]).life == "draining"


def test_a_snapshot_comes_back_whole():
    told = decode_snapshot(encode_snapshot(snapshot(life="leaving")))
    assert plain(told.counters) == plain(snapshot().counters)
    assert (told.life, told.phases, told.uploads) == ("leaving", snapshot().phases, snapshot().uploads)
    assert (told.held, told.files, told.inflight, told.workers) == (10, 1, snapshot().inflight, 1)
    assert (told.states, told.drain_rates) == (snapshot().states, snapshot().drain_rates)


def test_a_cloud_is_there_where_all_workers_reach_it():
    there, away = CloudView(True, "", 5, 2), CloudView(False, "refused", 3, 1)
    assert decode_snapshot(encode_snapshot(snapshot(cloud=away))).cloud == away
    assert decode_snapshot(encode_snapshot(snapshot())).cloud is None
    assert together([snapshot(cloud=there), snapshot(cloud=away)]).cloud == CloudView(False, "refused", 5, 2)
    # Those that have died say nothing of it.
    assert together([snapshot(cloud=there), snapshot()]).cloud == there
