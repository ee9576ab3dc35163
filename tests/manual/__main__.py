"""``python -m tests.manual``: the quick start followed to the letter; prints the time.

A real Glance under uWSGI stands behind, as the page asks for; everything else is what the page says.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shim.demo.environment import ensure_environment
from shim.demo.glance import Glance
from tests.manual.blocks import ROOT, all_commands
from tests.manual.sandbox import Sandbox

PAGE = "docs/quickstart.md"
LIMIT = 5 * 60
"""Seconds: what the page promises."""


def main() -> int:
    """Follow the page; 1 where it takes longer than it says, an AssertionError where it does not work."""
    environment = ensure_environment()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        folder = Path(name)
        clone = folder / "clone"
        _copy_tree(clone)
        with Glance.make(folder / "glance", environment=environment) as glance:
            socket = Path(glance.serve("uwsgi-unix").url.removeprefix("uwsgi+unix://"))
            sandbox = Sandbox(
                folder / "home",
                socket,
                installed=folder / "installed",
                programs={"glance": environment.program("glance")},
                variables={"OS_AUTH_TOKEN": "newcomer"},
            )
            with sandbox:
                seconds = _follow(sandbox, clone)
    print(f"{PAGE}: from an empty directory to two images in {seconds:.0f} s")
    return 0 if seconds < LIMIT else 1


def _follow(sandbox: Sandbox, clone: Path) -> float:
    begin = time.monotonic()
    for command in all_commands():
        if command.page == PAGE:
            sandbox.run(command, directory=clone)
            print(f"{time.monotonic() - begin:6.1f} s  {command.text}", flush=True)
    return time.monotonic() - begin


def _copy_tree(clone: Path) -> None:
    """What a clone would have, with what is not committed yet."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for file in filter(None, files.split("\0")):
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, clone / file)


if __name__ == "__main__":
    sys.exit(main())
