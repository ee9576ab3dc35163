"""Shared by all tests: helpers of tests.support say what they compared when an assertion fails."""

import pytest

pytest.register_assert_rewrite("tests.support")
