"""Notices that another process opens a file of ours, by inotify: the one sign that it got at it."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator

try:
    from inotify_simple import INotify, flags
except ImportError:
    # Another system than Linux: there is no inotify, and so no hand-off.
    INotify = None


class OpenWatch:
    """Watches files for being opened; costs a descriptor once it was used."""

    def __init__(self) -> None:
        self._inotify: INotify | None = None
        self._waiting: dict[int, asyncio.Event] = {}

    @contextlib.contextmanager
    def on(self, descriptor: int) -> Iterator[asyncio.Event]:
        """Watch the file behind a descriptor while the block runs; the event is set when it was opened.

        Raises:
            OSError: The system has no inotify, or no more of it for this user (fs.inotify limits).
        """
        opened = asyncio.Event()
        number = self._started().add_watch(f"/proc/self/fd/{descriptor}", flags.OPEN)
        self._waiting[number] = opened
        try:
            yield opened
        finally:
            del self._waiting[number]
            # It is gone already where the file is.
            with contextlib.suppress(OSError):
                self._started().rm_watch(number)

    def look(self) -> None:
        """Take the news that the loop has not seen yet."""
        if self._inotify is None:
            return
        for event in self._inotify.read(timeout=0):
            # Others are farewells of watches that were taken back.
            if event.mask & flags.OPEN and event.wd in self._waiting:
                self._waiting[event.wd].set()

    def close(self) -> None:
        """Give back the kernel's part; nothing may be watched."""
        if self._inotify is None:
            return
        asyncio.get_running_loop().remove_reader(self._inotify.fileno())
        self._inotify.close()
        self._inotify = None

    def _started(self) -> INotify:
        if INotify is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if self._inotify is None:
            self._inotify = INotify(nonblocking=True)
            asyncio.get_running_loop().add_reader(self._inotify.fileno(), self.look)
        return self._inotify
