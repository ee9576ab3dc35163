"""How hypothesis runs here: without a deadline, for machines are noisy, and the same everywhere on CI."""

import os

from hypothesis import settings

settings.register_profile("shim", deadline=None)
settings.register_profile("shim-ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("shim-ci" if os.environ.get("CI") else "shim")
