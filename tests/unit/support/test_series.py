"""Series: rows that are no tests of their own, and still none of them fails unseen."""

import pytest

from tests.support.series import series


class Renewed:
    def __init__(self, *faults: str) -> None:
        self.rows: list[int] = []
        self.begun = 0
        self.faults = list(faults)

    def begin(self) -> None:
        self.begun += 1
        assert not self.faults, self.faults.pop()


def told(group: BaseExceptionGroup) -> list[tuple[str, list[str]]]:
    return [(type(fault).__name__, fault.__notes__) for fault in group.exceptions]


def test_all_rows_run_and_each_failure_names_its_own():
    seen = []

    @series("value", [1, 2, pytest.param(3, id="three"), 4])
    def table(value):
        seen.append(value)
        assert value % 2 == 0
        with pytest.raises(ZeroDivisionError):
            assert value / (value - 4)

    with pytest.raises(BaseExceptionGroup, match="3 faults in 4 rows") as caught:
        table()
    assert seen == [1, 2, 3, 4]
    assert told(caught.value) == [
        ("AssertionError", ["in the row: 1"]),
        ("Failed", ["in the row: 2"]),
        ("AssertionError", ["in the row: three"]),
    ]


def test_two_multiply_and_both_rows_are_named():
    seen = []

    @series("left", "ab")
    @series(("right", "more"), [(1, None), (2, None)])
    def table(left, right, more):
        seen.append((left, right))
        assert (left, right) != ("b", 2)

    with pytest.raises(BaseExceptionGroup) as caught:
        table()
    assert seen == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    (inner,) = caught.value.exceptions
    assert inner.__notes__ == ["in the row: 'b'"]
    assert told(inner) == [("AssertionError", ["in the row: 2, None"])]


def test_what_a_row_leaves_behind_is_its_own_fault():
    fixture = Renewed("left behind")

    @series("value", [1, 2, 3])
    def table(fixture, value):
        assert fixture.begun == value - 1
        fixture.rows.append(value)

    with pytest.raises(BaseExceptionGroup, match="1 faults") as caught:
        table(fixture=fixture)
    assert told(caught.value) == [("AssertionError", ["in the row: 1"])]
    assert fixture.rows == [1, 2, 3]
    assert fixture.begun == 3


def test_a_row_that_skips_itself_does_not_hide_behind_the_others():
    @series("value", [1, 2])
    def table(value):
        if value == 1:
            pytest.skip("not here")

    with pytest.raises(BaseExceptionGroup) as caught:
        table()
    assert told(caught.value) == [("Skipped", ["in the row: 1"])]


@series(
    ("names", "rows", "said"),
    [
        ("value", [pytest.param(1, marks=pytest.mark.more)], "cannot be marked"),
        ("value", [], "proves nothing"),
        ("other", [1], "does not take"),
    ],
)
def test_what_is_no_series_is_refused(names, rows, said):
    def table(value): ...

    with pytest.raises(AssertionError, match=said):
        series(names, rows)(table)


@series("value", [1, 2])
def test_pytest_asks_for_the_fixtures_alone(tmp_path, value):
    assert tmp_path.is_dir()
    assert value in (1, 2)
