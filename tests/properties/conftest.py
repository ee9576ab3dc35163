"""How hypothesis runs here: without a deadline, for machines are noisy, and the same everywhere on CI.

``make test-fast`` tries a quarter of the examples.
"""

import os

from hypothesis import settings

settings.register_profile("shim", deadline=None)
settings.register_profile("shim-ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("shim-fast", deadline=None, max_examples=25)
settings.load_profile(os.environ.get("SHIM_EXAMPLES") or ("shim-ci" if os.environ.get("CI") else "shim"))
