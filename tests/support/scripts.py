"""Python in a process of its own, for what a test process cannot do: be killed, or fork without threads."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.support.shim import ROOT


@contextlib.contextmanager
def running(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A script that runs until the block ends; its standard output is a pipe, its errors are ours."""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()
