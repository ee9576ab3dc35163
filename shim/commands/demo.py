"""``glance-shim demo``: the story of ``shim.demo``, with signals and exit statuses around it.

Ctrl-C and SIGTERM end everything that was started and remove its files: with 0 where the demo stays up,
with 1 where it was still being set up.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from shim.demo import DemoError
from shim.demo.story import tell_story
from shim.demo.terminal import Terminal

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(*, once: bool) -> int:
    """Run the demo to its end; the exit status.

    Args:
        once: End after the upload: 0 only if the image is active and its hash equal.
    """
    try:
        with _interrupted_once():
            return tell_story(Terminal(sys.stdout), once=once)
    except DemoError as error:
        print(f"glance-shim demo: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nglance-shim demo: interrupted; everything is stopped", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _interrupted_once() -> Iterator[None]:
    """Make the first of the ending signals a KeyboardInterrupt, and ignore the others.

    The clean-up that follows is bounded by the servers' graces; a second Ctrl-C would only break it.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in _ENDING:
            signal.signal(number, lambda _number, _frame: None)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
