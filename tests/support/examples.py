"""How hypothesis runs here: without a deadline, for machines are noisy, and the same everywhere on CI.

``make test`` tries half of the examples that hypothesis would, ``make test-fast`` a sixteenth, also where a
test has a number of its own; ``make fuzz`` looks further.
"""

import os

from hypothesis import HealthCheck, settings

# Mutated requests are mostly none that we accept: what is filtered out is many, and cheap.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
ALL = settings.get_profile("default").max_examples
settings.register_profile("shim", **SLOW, max_examples=ALL // 2)
settings.register_profile("shim-ci", **SLOW, max_examples=ALL // 2, derandomize=True, print_blob=True)
settings.register_profile("shim-fast", **SLOW, max_examples=ALL // 16)
settings.load_profile(os.environ.get("SHIM_EXAMPLES") or ("shim-ci" if os.environ.get("CI") else "shim"))


def examples(most: int, **others: int) -> settings:
    """Settings for a number of examples of its own: so many, or the part of them that the profile tries."""
    return settings(max_examples=max(1, most * settings.default.max_examples // ALL), **others)
