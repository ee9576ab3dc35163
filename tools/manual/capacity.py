"""docs/capacity.md: the table that ``glance-shim capacity`` prints, between its markers.

The markers name the command, so that a reader can run what the page shows; the text around them is by hand.
"""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"
_TABLE = re.compile(
    r"(<!-- glance-shim (capacity .*): begin -->\n)(.*?)(<!-- glance-shim \2: end -->\n)", re.DOTALL
)


def render() -> str:
    """The page as it is, with what its command prints now; raises subprocess.CalledProcessError."""
    return _TABLE.sub(lambda found: found[1] + _printed(found[2]) + found[4], PAGE.read_text("utf-8"))


def _printed(command: str) -> str:
    program = [sys.executable, "-m", "shim", *command.split()]
    # A command of our own, from a page of our own.
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout  # noqa: S603 - see above
