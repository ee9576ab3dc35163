"""``python -m tests.identity``: install the environment with keystone, and do nothing else.

Whoever runs it before the tests sees how far pip is; otherwise the first test that needs keystone waits.
"""

import sys

from shim.demo import DemoError
from tests.identity.installations import KEYSTONE


def main() -> int:
    """Install; the exit status."""
    try:
        KEYSTONE.ensure()
    except DemoError as error:
        sys.stderr.write(f"keystone: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
