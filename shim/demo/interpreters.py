"""Which Python the environment is made with: the system's own where it serves, else the one that runs us.

Debian's mod_wsgi is linked to Debian's Python and can use no other's packages; and Apache's user can enter
/usr, but seldom the home directory in which pyenv and its kind keep theirs.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

from shim.timing import Seconds

SYSTEM_PYTHON = Path("/usr/bin/python3")
_ANSWER_LIMIT: Seconds = 30.0
# The pinned packages have wheels for these; Debian parts ensurepip from Python (python3-venv).
_QUESTION = "import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"


@functools.cache
def find_system_python() -> Path | None:
    """The system's Python, links resolved, if a virtual environment for Glance can be made with it."""
    if not os.access(SYSTEM_PYTHON, os.X_OK):
        return None
    asked: list[str | Path] = [SYSTEM_PYTHON, "-I", "-c", _QUESTION]
    try:
        ended = subprocess.run(asked, capture_output=True, timeout=_ANSWER_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return SYSTEM_PYTHON.resolve() if ended.returncode == 0 else None


def choose_python() -> Path:
    """The interpreter to make an environment with."""
    return find_system_python() or Path(sys.executable)
