"""What a run sends in which order, and the names that it gives."""

from dataclasses import replace

from shim.bench.plan import Case, Plan, is_name_of, is_run, mark_of, name_of, new_run
from tests.support.series import series

PLAN = Plan(
    run="0123456789ab",
    sizes=(100, 200),
    chunks=(64, None),
    count=2,
    concurrency=3,
    slow=0,
    slow_rate=1,
    askers=0,
    declare=False,
    keep_going=False,
)


def test_every_size_with_every_framing():
    assert PLAN.cases() == [Case(100, 64), Case(100, None), Case(200, 64), Case(200, None)]


def test_targets_take_turns_within_a_repetition():
    rounds = list(replace(PLAN, sizes=(100,), chunks=(None,), count=4).rounds(2))
    assert [(turn.repetition, turn.target) for turn in rounds] == [
        (0, 0), (0, 1), (1, 1), (1, 0), (2, 1), (2, 0), (3, 0), (3, 1),
    ]  # fmt: skip


def test_volume_is_what_the_rounds_move():
    moved = sum(turn.case.size * PLAN.concurrency for turn in PLAN.rounds(2))
    assert PLAN.volume(2, downloads=False) == moved
    assert PLAN.volume(2, downloads=True) == 2 * moved


def test_runs_have_ids_of_their_own():
    ids = {new_run() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_run, ids))


@series(
    "text", ["", "0123456789a", "0123456789abc", "0123456789AB", "*", "0123456789a\n", "\u0660123456789ab"]
)
def test_what_is_no_run(text):
    assert not is_run(text)


@series(("name", "is_ours"), [
    (name_of(PLAN.run, 1), True),
    (name_of(PLAN.run, 1234567), True),
    (name_of("ba9876543210", 1), False),
    (mark_of(PLAN.run), False),
    (f"{name_of(PLAN.run, 1)}-copy", False),
    (f"x{name_of(PLAN.run, 1)}", False),
    (f"{name_of(PLAN.run, 1)}\n", False),
    (None, False),
])  # fmt: skip
def test_names(name, is_ours):
    assert is_name_of(PLAN.run, name) is is_ours
