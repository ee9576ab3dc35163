"""The last hour: told the time, never more than an hour, and the same whoever adds it up."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.observe.history import HOUR, STEP, History

BEGIN = 5_000_000.0


def noted(*events):
    """A history of one process; an event is the time, and what was counted up to then."""
    history = History()
    for seconds, received, uploads, refusals in events:
        history.note(BEGIN + seconds, received=received, uploads=uploads, refusals=refusals)
    return history


def test_what_grew_counts_for_the_step_it_grew_in():
    history = noted((1, 100, 2, {}), (9, 350, 1, {"spool_full": 2}), (12, 400, 0, {"spool_full": 3}))
    now = BEGIN + 25
    assert history.rates(now, 3) == [0, 35, 5]
    assert history.uploads(now, 3) == [0, 2, 0]
    assert history.refused(now, 3) == [0, 2, 1]
    assert history.refusals(now) == {"spool_full": 3}
    assert history.refusals(BEGIN + 19, 1) == {"spool_full": 1}


def test_the_step_under_way_is_in_no_line_but_in_the_sum():
    history = noted((1, 100, 2, {"spool_full": 2}))
    assert history.rates(BEGIN + 2, 2) == [0, 0]
    assert history.refusals(BEGIN + 2) == {"spool_full": 2}


def test_the_most_frequent_first():
    history = noted((1, 0, 0, {"a": 1, "b": 5}), (11, 0, 0, {"a": 2, "b": 5, "c": 3}))
    assert list(history.refusals(BEGIN + 11).items()) == [("b", 5), ("c", 3), ("a", 2)]


def test_an_hour_later_it_is_forgotten():
    history = noted((1, 100, 2, {"spool_full": 2}))
    assert history.refusals(BEGIN + HOUR * STEP - 1) == {"spool_full": 2}
    assert history.refusals(BEGIN + HOUR * STEP + 1) == {}
    history.note(BEGIN + HOUR * STEP + 1, received=200, uploads=1, refusals={"spool_full": 2})
    assert history.rates(BEGIN + HOUR * STEP + 1, HOUR)[0] == 100 / STEP, "the hour before the step under way"
    history.note(BEGIN + HOUR * STEP + STEP, received=300, uploads=1, refusals={"spool_full": 2})
    assert len(history.steps) == 2


def test_a_quiet_process_keeps_nothing():
    history = noted(*((second, 0, 0, {}) for second in range(0, 9000, 5)))
    assert history.steps == {}


notes = st.lists(
    st.tuples(
        st.integers(0, 7200),
        st.integers(0, 1 << 40),
        st.integers(0, 9),
        st.dictionaries(st.sampled_from("ab"), st.integers(1, 9)),
    ),
    max_size=20,
)


def grown(events):
    """The same events with sums that never fall, as counters are."""
    received, refusals = 0, Counter()
    for seconds, more, uploads, refused in sorted(events, key=lambda event: event[0]):
        received += more
        refusals.update(refused)
        yield seconds, received, uploads, dict(refusals)


@given(st.lists(notes, min_size=1, max_size=3))
@example([[(3600, 1, 0, {})], [(7200, 0, 1, {})]])
def test_several_add_up(shares):
    each = [noted(*grown(events)) for events in shares]
    whole = History()
    for history in each:
        whole.include(History.decode(history.encode()))
    now = BEGIN + 7200
    lines = zip(*(history.rates(now, HOUR) for history in each), strict=True)
    assert whole.rates(now, HOUR) == pytest.approx([sum(values) for values in lines])
    sums = sum((Counter(history.refusals(now)) for history in each), Counter())
    assert whole.refusals(now) == dict(sums)
    assert len(whole.steps) <= HOUR + 1
    assert all(len(history.steps) <= HOUR + 1 for history in each)
