"""The shim's errors as a family tree: three families, and every concrete error with a code of its own."""

import re

from shim.errors import (
    BodyTooSlow,
    ClientFault,
    DigestMismatch,
    LimitReached,
    NoDescriptor,
    ServerKeptWaiting,
    ShimError,
    SizeMismatch,
    SpoolFull,
    UpstreamFault,
    UpstreamRefused,
)
from tests.support.series import series

FAMILIES = {ClientFault, LimitReached, UpstreamFault}


def concrete(kind: type[ShimError] = ShimError) -> list[type[ShimError]]:
    """Every error of the shim that has none below it; not those that tests make up."""
    below = [child for child in kind.__subclasses__() if child.__module__.startswith("shim.")]
    return [error for child in below for error in concrete(child)] or [kind]


INSIDE = {
    DigestMismatch: SizeMismatch,
    ServerKeptWaiting: BodyTooSlow,
    NoDescriptor: UpstreamRefused,
}
"""What is told apart inside only: clients and operators know it by the code of another one."""

ERRORS = [INSIDE.get(error, error) for error in concrete()]
EACH = series("error", ERRORS)


def test_there_are_three_families():
    assert {kind for kind in ShimError.__subclasses__() if kind.__module__.startswith("shim.")} == FAMILIES


def test_an_error_has_one_code_and_a_code_one_error():
    codes = [error.code for error in ERRORS]
    assert len(set(codes)) == len(codes)
    assert ShimError.code not in codes


@EACH
def test_each_has_a_code_of_its_own(error):
    assert "code" in vars(error)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)


@EACH
def test_each_belongs_to_one_family(error):
    assert sum(issubclass(error, family) for family in FAMILIES) == 1


@EACH
def test_a_code_is_the_name_in_another_spelling(error):
    assert error.code == re.sub(r"(?<!^)([A-Z])", r"_\1", error.__name__).lower()


@EACH
def test_each_says_what_happened(error):
    made = error("What happened.")
    assert (made.detail, str(made), made.retry_after) == ("What happened.", "What happened.", None)
    assert made.for_operator == "What happened."


def test_when_to_come_back():
    assert SpoolFull("Full.", retry_after=30).retry_after == 30


def test_operators_may_hear_more_than_clients():
    made = ShimError("The upstream refused.", for_operator="No connection to 10.0.0.1:80.")
    assert made.detail == "The upstream refused."
    assert made.for_operator == str(made) == "No connection to 10.0.0.1:80."
