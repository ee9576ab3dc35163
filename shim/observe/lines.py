"""Writes log lines to a stream; those of requests that end in one turn of the loop together.

Each write is a call of the system, and a log is written to by every request.
"""

import asyncio
import logging
from typing import IO

from shim.observe.access import AccessLine


class LineHandler(logging.StreamHandler[IO[str]]):
    """A handler like logging's own; lines keep their order."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._kept: list[str] = []
        # Whose turn's end writes what is kept; a loop that ended before that comes to nothing any more.
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or keep it until the turn's end."""
        if type(record) is not AccessLine:
            self._write_kept()
            super().emit(record)
            return
        try:
            line = self.format(record) + self.terminator
        except Exception:  # noqa: BLE001 - logging's own rule: no line ends what it tells of
            self.handleError(record)
            return
        self._newest = record
        self._kept.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Outside of a loop nobody would come to write it.
            self._write_kept()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._end_turn)

    def flush(self) -> None:
        """Write what is kept; called by logging at the process's end too."""
        self.acquire()
        try:
            self._write_kept()
            super().flush()
        finally:
            self.release()

    def _end_turn(self) -> None:
        self.acquire()
        self._loop = None
        try:
            self._write_kept()
        finally:
            self.release()

    def _write_kept(self) -> None:
        if not self._kept:
            return
        lines, self._kept = "".join(self._kept), []
        try:
            self.stream.write(lines)
            self.stream.flush()
        except (OSError, ValueError):
            # As where one line is written: it is lost, and whoever it tells of goes on.
            self.handleError(self._newest)
