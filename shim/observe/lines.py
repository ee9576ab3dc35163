"""Writes log lines to a stream; those of requests that end in one turn of the loop together.

Each write is a call of the system, and a log is written to by every request.
"""

import abc
import asyncio
import logging
import time
from typing import IO, TYPE_CHECKING

from shim.observe.access import AccessLine
from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.observe.journal import Record


class RequestFormatter(logging.Formatter, abc.ABC):
    """A formatter that needs no record of logging's for the line of a request."""

    @abc.abstractmethod
    def format_request(self, record: "Record", seconds: Seconds, created: float) -> str:
        """The line that ``format`` makes of the request's ``AccessLine``."""


class LineHandler(logging.StreamHandler[IO[str]]):
    """A handler like logging's own; lines keep their order."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        # Always the same list, for it is added to without the lock; with what logging's complaint tells of.
        self._kept: list[tuple[str, logging.LogRecord | Record]] = []
        # Whose turn's end writes what is kept; a loop that ended before that comes to nothing any more.
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or keep it until the turn's end."""
        if type(record) is not AccessLine:
            self._write_kept()
            super().emit(record)
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - logging's own rule: no line ends what it tells of
            self.handleError(record)
            return
        self._keep(line, record)

    def emit_request(self, formatter: RequestFormatter, record: "Record", seconds: Seconds) -> None:
        """The same for a request that has ended, without a record of logging's; needs no lock around it."""
        try:
            line = formatter.format_request(record, seconds, time.time())  # noqa: TID251 - a log's
        except Exception:  # noqa: BLE001 - as above
            self.handleError(AccessLine(record, seconds))
            return
        self._keep(line, record)

    def flush(self) -> None:
        """Write what is kept; called by logging at the process's end too."""
        self._write_kept()
        super().flush()

    def _keep(self, line: str, record: "logging.LogRecord | Record") -> None:
        self._kept.append((line + self.terminator, record))
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Outside of a loop nobody would come to write it.
            self._write_kept()
            return
        if loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._loop = None
        self._write_kept()

    def _write_kept(self) -> None:
        self.acquire()
        try:
            if kept := self._kept[:]:
                # Not all that is there by now: lines are added without the lock.
                del self._kept[: len(kept)]
                self.stream.write("".join([line for line, _ in kept]))
                self.stream.flush()
        except (OSError, ValueError):
            # As where one line is written: it is lost, and whoever it tells of goes on.
            newest = kept[-1][1]
            self.handleError(newest if isinstance(newest, logging.LogRecord) else AccessLine(newest, 0.0))
        finally:
            self.release()


def tell(logger: logging.Logger, record: "Record", seconds: Seconds) -> None:
    """Write the line of a request that has ended, which the logger is enabled for.

    Where nobody gets it but our own handler, logging's way there, with a record made for it, cost more than
    all else of the line; in every other case it goes that way.
    """
    handler = _only_handler(logger)
    if (
        type(handler) is LineHandler
        and isinstance(handler.formatter, RequestFormatter)
        and not (handler.filters or logger.filters)
        and handler.level <= logging.INFO
    ):
        handler.emit_request(handler.formatter, record, seconds)
    else:
        logger.handle(AccessLine(record, seconds))


def _only_handler(logger: logging.Logger) -> logging.Handler | None:
    """Who gets the logger's records; None where it is nobody, or several.

    Found anew for each line: handlers come and go without a word, and it is three steps.
    """
    found: logging.Handler | None = None
    above: logging.Logger | None = logger
    while above is not None:
        if above.handlers:
            if found is not None or len(above.handlers) > 1:
                return None
            found = above.handlers[0]
        above = above.parent if above.propagate else None
    return found
