"""``python -m shim.demo``: install the environment of the demo and of the tests, and do nothing else.

The Makefile runs it before the tests, so that the first of them does not seem to hang.
"""

import sys

from shim.demo import DemoError
from shim.demo.environment import ensure_environment


def main() -> int:
    """Install; the exit status."""
    try:
        ensure_environment()
    except (DemoError, KeyboardInterrupt) as error:
        print(f"glance-shim demo: {error or 'interrupted'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
