"""How much of a disk an operator means."""

from shim.spool.space import NOTHING, Amount
from tests.support.series import series


@series(
    ("amount", "bytes_of_1000"),
    [
        (Amount(5), 5),
        (Amount(5, share=0.25), 250),
        (Amount(share=0), 0),
        (Amount(share=1), 1000),
        (NOTHING, 0),
    ],
)
def test_amounts(amount, bytes_of_1000):
    assert amount.of(1000) == bytes_of_1000
