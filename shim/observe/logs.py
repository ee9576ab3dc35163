"""Log lines: JSON for machines, a plain line for the eye; both from the same records.

A record may carry ``fields`` (a dict) in its ``extra``; client bytes appear only escaped, as names.
"""

import contextlib
import datetime as dt
import json
import logging
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from shim.observe.combined import CombinedFormatter
from shim.observe.json_line import json_line, moment
from shim.observe.lines import LineHandler, RequestFormatter
from shim.timing import Seconds

if TYPE_CHECKING:
    from shim.observe.journal import Record

# What writes our log: the shim, and the libraries that serve for it.
_OWN = ("shim", "uvicorn", "asyncio")
_ACCESS = "shim.access"
_PLAIN_FIELDS = (
    "request_id",
    "upstream_request_id",
    "client",
    "image",
    "server",
    "mode",
    "received",
    "sent",
    "seconds",
    "end",
    "detail",
)


_encode = json.JSONEncoder(ensure_ascii=True, default=str).encode


class JsonFormatter(RequestFormatter):
    """One JSON object a line: time (UTC, RFC 3339), level, logger, message, and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record."""
        entry: dict[str, Any] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _fields(record)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return _encode(entry)

    def format_request(self, record: "Record", seconds: Seconds, created: float) -> str:
        """Render a request that has ended."""
        return json_line(record, seconds, created)


class TextFormatter(logging.Formatter):
    """A line for the eye: time, level, message, and what is worth reading of the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record."""
        fields = _fields(record)
        told = [
            f"{name}={_escape(str(fields[name]))}"
            for name in _PLAIN_FIELDS
            if fields.get(name) not in (None, "", 0)
        ]
        line = " ".join(
            [
                f"{_time(record):%H:%M:%S}",
                f"{record.levelname.lower():7}",
                _escape(record.getMessage()),
                *told,
            ]
        )
        # Indented, for an exception's text may have line ends too: no line of it can look like one of ours.
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n".join([line, *(f"  {_escape(part)}" for part in trace)])


def configure_logs(
    form: str, level: str, stream: IO[str] | None = None, *, combined: IO[str] | None = None
) -> None:
    """Send all logging to ``stream`` (standard error) in one form.

    Args:
        form: ``json``, ``text``, or ``auto``: text on a terminal, else JSON.
        level: A level of the logging module, in lower case.
        stream: Where to.
        combined: Where access lines go in Apache's form, apart from all others; None: they are like others.
    """
    stream = stream or sys.stderr
    # What no line of ours shows need not be found out for each (the logging module's own advice).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - as "Optimization" there has it
    if hasattr(logging, "logAsyncioTasks"):  # Python 3.12
        logging.logAsyncioTasks = False
    plain = form == "text" or (form == "auto" and stream.isatty())
    handler = LineHandler(stream)
    handler.setFormatter(TextFormatter() if plain else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Who changed what is written down whatever the level.
    logging.getLogger("shim.audit").setLevel(logging.INFO)
    _part_access_lines(combined)
    # httpx tells of each question to Keystone at "info"; uvicorn of its life, which we tell ourselves.
    for name in ("httpx", "httpcore", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _part_access_lines(combined: IO[str] | None) -> None:
    """Give access lines a handler of their own, or take it away: a reload may have changed the form."""
    access = logging.getLogger(_ACCESS)
    access.handlers.clear()
    access.propagate = combined is None
    if combined is not None:
        handler = LineHandler(combined)
        handler.setFormatter(CombinedFormatter())
        access.addHandler(handler)


@contextlib.contextmanager
def own_lines_kept() -> Iterator[None]:
    """Keep our own lines as they are configured, whatever foreign code in the block does to logging.

    Frameworks take the root logger for theirs: oslo.log removes its handlers, Django switches off every
    logger that it does not know. So ours leave the root logger before; the rest is theirs.
    """
    root = logging.getLogger()
    ours = [
        handler for handler in root.handlers if isinstance(handler.formatter, JsonFormatter | TextFormatter)
    ]
    if ours:
        for name in _OWN:
            logger = logging.getLogger(name)
            logger.handlers[:], logger.propagate = ours, False
            logger.setLevel(logger.level or root.level)
    try:
        yield
    finally:
        for name, known in logging.root.manager.loggerDict.items():
            if isinstance(known, logging.Logger) and name.partition(".")[0] in _OWN:
                known.disabled = False


def _time(record: logging.LogRecord) -> dt.datetime:
    return dt.datetime.fromtimestamp(record.created, dt.UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def _escape(text: str) -> str:
    """Control characters made visible: a client's path must not write lines of its own."""
    return text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
