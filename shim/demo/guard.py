"""Become another program, one that the kernel ends together with the process that started it.

``processes`` runs this file as a script in front of every program of the demo: even a demo that is killed
leaves nothing behind. A ``preexec_fn`` would do the same, but is unsafe where threads run.
"""

import ctypes
import os
import signal
import sys

# linux/prctl.h
PR_SET_PDEATHSIG = 1


def main(parent: str, program: list[str]) -> None:
    """Replace this process by ``program``, bound to the life of the pid ``parent``."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # A parent that died before the line above will never cause the signal.
    if os.getppid() != int(parent):
        sys.exit(1)
    # Python ignores these two from its start on, and what is ignored stays so in the next program.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(program[0], program)  # noqa: S606 - there is no shell to be wanted


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
