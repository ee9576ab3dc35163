"""What a person got, as a cell of the table: from an image's end, or from a failed program's words.

Pure: texts in, short texts out.
"""

import re

OK = "ok"
HANGS = "hangs"
RESET = "reset"
EMPTY = "empty image!"
WRONG = "wrong bytes!"
FAILED = "failed"

# As the glance command, openstacksdk, curl and our own clients name the status of an answer.
_STATUS = re.compile(r"(?:HTTP |error: |Exception: )([45]\d\d)\b|\b([45]\d\d)[: ] ?[A-Z]")
_LOST = (
    "connection reset",
    "broken pipe",
    "connection aborted",
    "remote end closed",
    "empty reply",
    "disconnected",
    "eof occurred",
    "(56)",
    "readerror",
    "writeerror",
)


def of_failure(output: str) -> str:
    """Of a program that failed: the status it showed, or that the connection was lost, or just that."""
    if found := _STATUS.search(output):
        return found[1] or found[2]
    told = output.lower()
    return RESET if any(sign in told for sign in _LOST) else FAILED


def of_image(status: str, size: int | None, digest: str | None, *, expected: str) -> str:
    """Of an image as Glance describes it afterwards.

    Args:
        status: Its state.
        size: In bytes.
        digest: Its sha512 as Glance has it.
        expected: The sha512 of what was sent.
    """
    if status != "active":
        return status
    if digest == expected:
        return OK
    return WRONG if size else EMPTY
