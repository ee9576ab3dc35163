"""Stand-ins for the outside world: they do what the world does, and record what was done to them."""

import pytest

pytest.register_assert_rewrite("tests.fakes.descriptors", "tests.fakes.loops", "tests.fakes.stream")
