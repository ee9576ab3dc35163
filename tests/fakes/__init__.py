"""Stand-ins for the outside world: they do what the world does, and record what was done to them."""

import pytest

pytest.register_assert_rewrite(
    *(
        f"tests.fakes.{name}"
        for name in ("descriptors", "disk", "flow", "loops", "pumping", "stream", "transport")
    )
)
