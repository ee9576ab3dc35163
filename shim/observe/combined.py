"""Access lines in Apache's combined log format, byte for byte as mod_log_config writes them.

``%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"``, for whatever reads such logs already.
"""

import datetime as dt
import functools
import logging

from shim.observe.head import RequestHead

# Not strftime's: it would follow the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# ap_escape_logitem: C's names where it knows one, else \xhh; so no client ends a field or a line.
_NAMED = {
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0B: "\\v",
    0x0D: "\\r",
    0x22: '\\"',
    0x5C: "\\\\",
}
_ESCAPED = [
    _NAMED.get(octet, chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}")  # noqa: PLR2004 - ASCII
    for octet in range(256)
]


class CombinedFormatter(logging.Formatter):
    """One line for each request; its record carries the ``fields`` of the access log, and ``head``."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record; its time is the request's beginning, as Apache has it."""
        fields, head = vars(record)["fields"], vars(record)["head"]
        began = int(record.created - fields["seconds"])
        return (
            f"{escape(fields['client'].encode())} - - [{_apache_time(began)}] "
            f'"{escape(_request_line(fields["method"], head))}" '
            # A request that was cut before it had a status, and a body of no bytes, are "-".
            f"{fields['status'] or '-'} {fields['sent'] or '-'} "
            f'"{escape(head.referer) or "-"}" "{escape(head.user_agent) or "-"}"'
        )


def escape(value: bytes) -> str:
    """A value as Apache writes it between quotes."""
    return "".join([_ESCAPED[octet] for octet in value])


def _request_line(method: str, head: RequestHead) -> bytes:
    return b" ".join((method.encode(), head.target, b"HTTP/" + head.http_version.encode()))


@functools.lru_cache(1)
def _apache_time(moment: int) -> str:
    """A second in local time; a busy second has many lines."""
    local = dt.datetime.fromtimestamp(moment, dt.UTC).astimezone()
    return f"{local.day:02d}/{_MONTHS[local.month - 1]}/{local:%Y:%H:%M:%S %z}"
