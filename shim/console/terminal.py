"""The keyboard of a terminal: keys as they are pressed, by name, and the terminal as it was afterwards."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator

# What terminals send for keys without a character (ECMA-48, and the "application" form of the arrows).
_SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "q",
    "\x04": "q",
}
_MOST = 1024


def keys_of(data: str) -> list[str]:
    """The keys in what was read at once; sequences that mean nothing here are passed over."""
    keys: list[str] = []
    while data:
        length = 3 if data[:3] in _SEQUENCES else 1
        if data[0] == "\x1b" and length == 1 and len(data) > 1:
            # Of an unknown sequence nothing may be taken for keys: it could hold a "c" and a "y".
            return keys
        keys.append(_SEQUENCES.get(data[:length], data[:length]))
        data = data[length:]
    return keys


@contextlib.contextmanager
def keyboard() -> Iterator[asyncio.Queue[str]]:
    """A queue of the keys pressed during the block; empty where standard input is no terminal."""
    keys: asyncio.Queue[str] = asyncio.Queue()
    if not sys.stdin.isatty():
        yield keys
        return
    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        data = os.read(descriptor, _MOST)
        if not data:
            # The terminal has gone: nobody can end us any more.
            loop.remove_reader(descriptor)
            keys.put_nowait("q")
        for key in keys_of(data.decode("utf-8", "ignore")):
            keys.put_nowait(key)

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield keys
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
